/* serve.c - the order in which a stream gets its bytes.
 *
 *      private bytes ── frames ─┬─ replaying: `ready` ──► frames again
 *                               └─ live: presence snapshots ──► caught up
 *
 * Nothing is copied for a stream that takes what it is offered: frames go from the room's ring to
 * the socket, snapshots from the room's only copy. A socket that is full ends the turn: what it did
 * not take of a frame is still in the ring, so that moving the cursor is enough to remember it. A
 * slow reader thus costs no memory of ours, and is closed when the ring has passed its cursor.
 * Whether to wait, to close or to go on is client.c's decision. */

#include "net/serve.h"

#include "base/clock.h"
#include "base/print.h"
#include "net/output.h"

#include <sys/socket.h>

/* Sends the frames that were gathered, all of them in one system call. A short write may end in the
 * middle of a frame, and the cursor then stands there. */
static enum outcome send_frames(struct client *c, struct gather *g)
{
    int flags = stream_is_replaying(&c->stream) ? MSG_MORE : 0; /* `ready` follows */
    ssize_t sent = output_send(c, g->pieces, g->count, flags);
    if (sent < 0)
        return GONE_RESET;
    stream_advance(g, (size_t)sent);
    return (size_t)sent == g->bytes ? SENT_ALL : SENT_SOME;
}

/* A round sends the kept bytes, the frames, and then either ends the replay or sends one snapshot.
 * Rounds follow until the socket is full or nothing is left. Before the cursor is used it must not
 * be overrun: behind the ring's tail lie other bytes by now. Snapshots come last because they tell
 * of the present: a stream that lags skips all but the latest. */
enum outcome serve_stream(struct client *c)
{
    struct stream *stream = &c->stream;
    struct gather g;
    struct span snapshot;
    enum outcome outcome;
    for (;;) {
        if (c->out != NULL && (outcome = output_flush(c)) != SENT_ALL)
            return outcome;
        if (stream_is_overrun(stream))
            return GONE_OVERRUN;
        stream_gather(stream, &g);
        if (g.bytes > 0 && (outcome = send_frames(c, &g)) != SENT_ALL)
            return outcome;
        if (!g.all) /* a merge stops after GATHER_PIECES pieces */
            continue;
        if (stream_is_replaying(stream)) {
            stream_go_live(stream);
            output_release(c);
        } else if (!stream_next_presence(stream, &snapshot)) {
            return SENT_ALL;
        } else if ((outcome = output_piece(c, snapshot)) != SENT_ALL) {
            return outcome;
        }
    }
}

/* ==== Between two frames ====================================================================== */

/* One buffer for all short events; what it holds is sent or copied before the next call. */
static struct buffer *scratch(void)
{
    static struct buffer buffer;
    buffer_clear(&buffer);
    return &buffer;
}

/* The caller asks for none while the stream is blocked: its cursor may then be in the middle of a
 * frame. Without memory the heartbeat is left out, and the next one is due as usual. */
enum outcome serve_heartbeat(struct client *c)
{
    if (c->out != NULL)
        return SENT_ALL;
    struct buffer *out = scratch();
    size_t begin = frame_begin(out, c->stream.chunked);
    buffer_add(out, SPAN("event: heartbeat\ndata: "));
    buffer_add_number(out, clock_unix_ms());
    buffer_add(out, SPAN("\n"));
    frame_end(out, begin, c->stream.chunked);
    return out->failed ? SENT_ALL : output_piece(c, buffer_span(out));
}

/* A chunked body ends with its last chunk (RFC 9112 7.1): the client can tell this end from a cut
 * connection. An HTTP/1.0 stream is ended by the close alone. */
struct span serve_last_words(const struct client *c, uint64_t retry_ms)
{
    struct buffer *out = scratch();
    frame_retry(out, retry_ms, c->stream.chunked);
    if (c->stream.chunked)
        buffer_add(out, SPAN("0\r\n\r\n"));
    return out->failed ? (struct span) { NULL, 0 } : buffer_span(out);
}
