/* serve.c - the order of what a stream gets.
 *
 *      private bytes ── frames ─┬─ replaying: `ready` ──► frames again
 *                               └─ live: presence snapshots ──► caught up
 *
 * Nothing is copied for a stream that takes what it is given: frames go from the room's ring to the
 * socket, snapshots from the room's one copy. */

#include "net/serve.h"

#include "base/clock.h"
#include "base/print.h"
#include "net/output.h"

#include <sys/socket.h>

/* Sends the frames that were gathered. */
static enum outcome send_frames(struct client *c, struct gather *g)
{
    int flags = stream_is_replaying(&c->stream) ? MSG_MORE : 0; /* `ready` follows */
    ssize_t sent = output_send(c, g->pieces, g->count, flags);
    if (sent < 0)
        return GONE_RESET;
    stream_advance(g, (size_t)sent);
    return (size_t)sent == g->bytes ? SENT_ALL : SENT_SOME;
}

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
        if (!g.all)
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

static struct buffer *scratch(void)
{
    static struct buffer buffer;
    buffer_clear(&buffer);
    return &buffer;
}

/* A stream that has just begun has yet to get its first bytes. */
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

struct span serve_last_words(const struct client *c, uint64_t retry_ms)
{
    struct buffer *out = scratch();
    frame_retry(out, retry_ms, c->stream.chunked);
    if (c->stream.chunked)
        buffer_add(out, SPAN("0\r\n\r\n"));
    return out->failed ? (struct span) { NULL, 0 } : buffer_span(out);
}
