/* events.c - GET /events: from the request to the first bytes of a stream (HTML Standard 9.2,
 * "Server-sent events").
 *
 *      what the client gets        where it comes from                         its event id
 *
 *      the head                    begin_stream
 *      retry: N                    begin: 1 to 1.5 times --retry, at random; the first line of
 *                                  the block that follows
 *      gap, for some rooms         stream_seek: messages were lost             none
 *      the replay                  the rooms' rings, up to now                 each its own
 *      ready                       add_ready: the replay is over               the newest
 *      presence, for each room     add_ready: the current state                none
 *      live events                 the rooms' rings, from now on               each its own
 *
 * "Now" is one moment: `begin` fixes the end of the replay in each room and the id of `ready` in
 * one step, during which no message can arrive. So messages up to that id come before `ready`, and
 * later messages come after it: a client that resumes from `ready` misses nothing and gets nothing
 * twice. The lines from the head to `gap`, and from `ready` to `presence`, are private bytes of the
 * client. The replay between them is sent from the rings without a copy. After the first bytes,
 * net/serve.c serves the stream. */

#include "api/events.h"

#include "api/answer.h"
#include "api/parameters.h"
#include "base/clock.h"
#include "base/print.h"
#include "base/random.h"
#include "net/limits.h"

/* A refused stream comes back after 10 to 30 s: late enough to relieve the server, and not at the
 * same moment as all others (thundering herd). */
enum { BUSY_RETRY_MS = 10000, BUSY_SPREAD_MS = 20000 };

static const struct net_settings *settings; /* both borrowed from sse.c */
static struct hub *hub;
static uint64_t replays[GAP_COUNT]; /* streams that have resumed, by what they had missed */

void events_start(const struct net_settings *given, struct hub *streams)
{
    settings = given;
    hub = streams;
}

/* Writes the head of a stream. HTTP/1.0 has no chunks, so its body ends when the connection closes
 * (RFC 9112 6.3). The charset is always UTF-8, but libraries that know nothing of event streams
 * read text without one as Latin-1. `no-store` keeps what a token allowed out of caches (RFC
 * 6750 2.3); `no-transform` and X-Accel-Buffering (nginx) ask proxies not to compress or buffer the
 * stream, because then events would arrive late and in bursts. */
static struct buffer *begin_stream(struct client *c)
{
    bool chunked = !exchange_request(c)->http10;
    if (!chunked)
        exchange_set_closing(c);
    struct buffer *out = answer_begin(c, 200);
    if (!exchange_closes(c))
        buffer_add(out, SPAN("Connection: keep-alive\r\n"));
    if (chunked)
        buffer_add(out, SPAN("Transfer-Encoding: chunked\r\n"));
    buffer_add(out, SPAN("Content-Type: text/event-stream; charset=utf-8\r\n"
                         "Cache-Control: no-cache, no-store, no-transform\r\n"
                         "X-Accel-Buffering: no\r\n"
                         "X-Content-Type-Options: nosniff\r\n"
                         "Cross-Origin-Resource-Policy: same-origin\r\n\r\n"));
    return out;
}

/* Answers a request for a stream when the server has no place for one. The status is still 200: an
 * EventSource that gets an error status gives up and never reconnects ("Processing model" in the
 * HTML Standard), so a short overload would cost the page its stream for good. When a 200 ends, the
 * EventSource waits for the time in `retry:` and comes back. The event `busy` gives the reason and
 * the time to pages that want to show them. The client has joined no room and does not count as a
 * stream. */
static void busy(struct client *c, const char *reason)
{
    bool chunked = !exchange_request(c)->http10;
    exchange_set_closing(c);
    struct buffer *out = begin_stream(c);
    uint64_t retry_ms = random_spread(BUSY_RETRY_MS, BUSY_SPREAD_MS);
    frame_retry(out, retry_ms, chunked);
    size_t frame = frame_begin(out, chunked);
    buffer_printf(out, "event: busy\ndata: {\"reason\":\"%s\",\"retry\":%llu}\n", reason,
        (unsigned long long)retry_ms);
    frame_end(out, frame, chunked);
    if (chunked)
        buffer_add(out, SPAN("0\r\n\r\n"));
    answer_send(c, (struct span) { NULL, 0 });
}

/* Writes `ready`, with the id `newest`, and the presence of each room. With that id even a client
 * that is cut off before its first message can resume. `heartbeat` is the number of seconds of
 * silence after which a heartbeat comes (0: never): a client that hears nothing for much longer can
 * consider its connection dead. `retry` is the number of the line `retry:`, which an EventSource
 * keeps to itself: a page that tells its user when it comes back has to reconnect by itself. */
static void add_ready(
    struct buffer *out, struct stream *stream, struct id newest, uint64_t retry_ms)
{
    size_t frame = frame_begin(out, stream->chunked);
    buffer_add(out, SPAN("id: "));
    id_add(out, newest);
    buffer_add(out, SPAN("\nevent: ready\ndata: {\"rooms\":["));
    stream_add_online(stream, out);
    buffer_add(out, SPAN("],\"time\":\""));
    time_add(out, clock_unix_ms());
    buffer_printf(out, "\",\"heartbeat\":%llu,\"retry\":%llu}\n",
        (unsigned long long)(settings->heartbeat_ms / 1000), (unsigned long long)retry_ms);
    frame_end(out, frame, stream->chunked);
    stream_add_presence(stream, out);
}

/* Reads where the stream begins. The Last-Event-ID field takes precedence over the parameter,
 * because a reconnecting EventSource sends both: the field, and the URL with which it first
 * started. Both take precedence over `history`; otherwise messages would come twice after a
 * reconnect. A malformed or repeated id does not get an error, because that would end the
 * EventSource; instead the stream begins with a `gap`. Returns false if it has answered 400. */
static bool read_start(struct client *c, const struct parameters *p, struct start *start)
{
    struct span id = answer_field(c, HTTP_LAST_EVENT_ID);
    *start = (struct start) { .scoped = access_wants_token() };
    if (id.len == 0)
        id = p->values[PARAM_LAST_EVENT_ID];
    if (!parameters_count(p->values[PARAM_HISTORY], 0, HISTORY_MAX, &start->count)) {
        answer_problem(c, 400, "`history` must be a number of messages, for example history=50.");
        return false;
    }
    if (answer_repeats(c, HTTP_LAST_EVENT_ID))
        start->since = SINCE_UNKNOWN;
    else if (id.len > 0)
        start->since = id_parse(id, &start->id) ? SINCE_ID : SINCE_UNKNOWN;
    else
        start->since = start->count > 0 ? SINCE_LAST : SINCE_NOW;
    return true;
}

/* Puts the stream into its rooms, at their newest message. A name in the token takes precedence
 * over the name in the URL. Returns NULL, or the reason for `busy` if the stream could not join. */
static const char *join(struct client *c, const struct parameters *p, const struct token *token)
{
    struct span name = access_name(token, p->values[PARAM_NAME]);
    enum limit limit = limits_stream(exchange_peer(c));
    if (limit != LIMIT_NONE)
        return limit == LIMIT_SERVER ? "full" : "address";
    switch (client_join(c, p->rooms, p->room_count, name, true, token->expires)) {
    case JOIN_OK:
        break;
    case JOIN_NO_ROOM:
    case JOIN_NO_SHARE:
        limits_refuse(exchange_peer(c), LIMITS_ROOM);
        return "rooms";
    case JOIN_NO_MEMORY:
        return "full";
    }
    return NULL;
}

/* Sends the first bytes of a stream that has joined its rooms. Each client gets a different
 * `retry:` time, so that clients do not all come back at once after a restart.
 *
 *      out:   head, retry, gap, ... | ready, presence, ...
 *                                  hold
 *
 * If there is a replay, the bytes from `hold` on wait until it is sent. Without a replay, all bytes
 * leave in one send. */
static void begin(struct client *c, const struct parameters *p, const struct start *start)
{
    struct stream *stream = exchange_reader(c);
    struct buffer *out = begin_stream(c);
    uint64_t retry_ms = random_spread(settings->retry_ms, settings->retry_ms / 2);
    frame_retry(out, retry_ms, stream->chunked);
    enum gap gap;
    bool replay = stream_seek(hub, stream, start, out, &gap);
    replays[gap] += start->since == SINCE_ID || start->since == SINCE_UNKNOWN;
    size_t hold = out->len;
    add_ready(out, stream, history_newest(hub, start, p->rooms, p->room_count), retry_ms);
    answer_stream(c, replay ? hold : out->len);
}

uint64_t events_replays(enum gap gap)
{
    return replays[gap];
}

/* First answers the errors that a retry cannot fix (400, 403). They end an EventSource for good, as
 * they should; no other error may do that. HEAD gets the head of a stream and joins no room. */
void events_get(struct client *c, const struct token *token)
{
    struct parameters p;
    struct start start;
    if (!parameters_read(c, &p) || !read_start(c, &p, &start) ||
        answer_refusal(c, access_rooms(hub, token, p.rooms, p.room_count)))
        return;
    if (answer_is_head(c)) {
        begin_stream(c);
        answer_send(c, (struct span) { NULL, 0 });
        return;
    }
    const char *why = client_is_draining() ? "draining" : join(c, &p, token);
    if (why != NULL)
        busy(c, why);
    else
        begin(c, &p, &start);
}
