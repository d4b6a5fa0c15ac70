/* serve.c - the order in which a stream gets its bytes.
 *
 *      private bytes ── frames ─┬─ replaying: `ready` ──► frames again
 *                               └─ live: presence snapshots ──► caught up
 *
 * Nothing is copied for a stream that keeps up: frames are sent from the room's ring, snapshots
 * from the room's only copy. A full socket ends the turn. The unsent part of a frame is still in
 * the ring, so moving the cursor is enough to continue there. A slow reader thus uses none of the
 * server's memory, and is closed when the ring has passed its cursor. client.c decides whether to
 * wait, close or continue. */

#include "net/serve.h"

#include "base/clock.h"
#include "base/print.h"
#include "net/output.h"

#include <sys/socket.h>

/* A stream whose frames must be merged gets about this much in one turn, because merging takes time
 * even if the socket is never full. */
enum { SHARE_BYTES = 16384 };

/* Sends all gathered frames in one system call. A short write can end in the middle of a frame; the
 * cursor then points there. */
static enum outcome send_frames(struct client *c, struct gather *g)
{
    int flags = stream_is_replaying(&c->stream) ? MSG_MORE : 0; /* `ready` follows */
    struct span first = { g->pieces[0].iov_base, g->pieces[0].iov_len };
    ssize_t sent = g->count == 1 ? output_send(c, first, flags)
                                 : output_send_pieces(c, g->pieces, g->count, flags);
    if (sent < 0)
        return GONE_RESET;
    stream_advance(&c->stream, g, (size_t)sent);
    return (size_t)sent == g->bytes ? SENT_ALL : SENT_SOME;
}

/* Works in rounds until the socket is full or nothing is left. A round sends the kept bytes and the
 * frames, and then either ends the replay or sends one snapshot. Snapshots come last because they
 * show the current state: a stream that lags skips all but the latest. */
enum outcome serve_stream(struct client *c)
{
    struct stream *stream = &c->stream;
    static struct gather g; /* 10 KiB on the stack would cost each delivery 11 instructions */
    struct span snapshot;
    enum outcome outcome;
    for (size_t sent = 0;; sent += g.bytes) {
        if (c->out != NULL && (outcome = output_flush(c)) != SENT_ALL)
            return outcome;
        if (!stream_gather(stream, &g))
            return GONE_OVERRUN;
        if (g.bytes > 0 && (outcome = send_frames(c, &g)) != SENT_ALL)
            return outcome;
        if (!g.all && sent > SHARE_BYTES)
            return SENT_SHARE;
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

/* Returns the buffer for all short events; its bytes are sent or copied before the next call. */
static struct buffer *scratch(void)
{
    static struct buffer buffer;
    buffer_clear(&buffer);
    return &buffer;
}

/* Writes a heartbeat, with the server's Unix time in milliseconds. */
static void add_heartbeat(struct buffer *out, bool chunked)
{
    size_t begin = frame_begin(out, chunked);
    buffer_add(out, SPAN("event: heartbeat\ndata: "));
    buffer_add_number(out, clock_unix_ms());
    buffer_add(out, SPAN("\n"));
    frame_end(out, begin, chunked);
}

/* Sends a heartbeat. The stream must not be blocked: a blocked stream's cursor can be in the middle
 * of a frame. If there is no memory, the heartbeat is skipped, and the next one is due as usual. */
enum outcome serve_heartbeat(struct client *c)
{
    if (c->out != NULL)
        return SENT_ALL;
    struct buffer *out = scratch();
    add_heartbeat(out, c->stream.chunked);
    return out->failed ? SENT_ALL : output_piece(c, buffer_span(out));
}

/* Writes a last heartbeat for `retry:` to stand in (see frame_retry). Ends a chunked body with its
 * last chunk (RFC 9112 7.1), so that the client can tell a proper end from a lost connection. An
 * HTTP/1.0 stream ends only when the connection is closed. */
struct span serve_last_words(const struct client *c, uint64_t retry_ms)
{
    struct buffer *out = scratch();
    frame_retry(out, retry_ms, c->stream.chunked);
    add_heartbeat(out, c->stream.chunked);
    if (c->stream.chunked)
        buffer_add(out, SPAN("0\r\n\r\n"));
    return out->failed ? (struct span) { NULL, 0 } : buffer_span(out);
}
