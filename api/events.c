/* events.c - GET /events: from the request to the first bytes of a stream (HTML Standard 9.2,
 * "Server-sent events").
 *
 *      what the client gets        where it comes from                         its event id
 *
 *      the head                    begin_stream
 *      retry: N                    begin: 1 to 1.5 times --retry, by chance
 *      gap, for some rooms         stream_seek: messages were lost             none
 *      the replay                  the rooms' rings, up to now                 each its own
 *      ready                       add_ready: the replay is over               the newest of all
 *      presence, for each room     add_ready: the state now                    none
 *      live events                 the rooms' rings, from now on               each its own
 *
 * "Now" is one moment: `begin` fixes the end of the replay in each room and the id of `ready` in
 * one step, in which no message can arrive. So messages up to that id come only before `ready`, and
 * later ones only after it: a client that resumes from `ready` misses nothing and gets nothing
 * twice. The lines from the head to `gap`, and from `ready` to `presence`, are private bytes of the
 * client. The replay between them is not copied, but goes from the rings to the socket. After the
 * first bytes the stream is net/serve.c's. */

#include "api/events.h"

#include "api/answer.h"
#include "api/parameters.h"
#include "base/clock.h"
#include "base/print.h"
#include "base/random.h"
#include "net/limits.h"

/* A refused stream comes back after 10 to 30 s: late enough to be a relief, and not all of them at
 * the same moment (thundering herd). */
enum { BUSY_RETRY_MS = 10000, BUSY_SPREAD_MS = 20000 };

static const struct net_settings *settings; /* both are borrowed from sse.c */
static struct hub *hub;

void events_start(const struct net_settings *given, struct hub *streams)
{
    settings = given;
    hub = streams;
}

/* The head of a stream. HTTP/1.0 has no chunks: there the body ends when the connection closes (RFC
 * 9112 6.3). `no-transform` and X-Accel-Buffering (nginx) ask proxies not to compress or collect
 * the stream, because then events would arrive late and in bursts. */
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
    buffer_add(out, SPAN("Content-Type: text/event-stream\r\n"
                         "Cache-Control: no-cache, no-transform\r\n"
                         "X-Accel-Buffering: no\r\n"
                         "X-Content-Type-Options: nosniff\r\n"
                         "Cross-Origin-Resource-Policy: same-origin\r\n\r\n"));
    return out;
}

/* Answers a stream that the server has no place for. The status is 200 all the same: an EventSource
 * that gets an error status gives up and never reconnects ("Processing model" in the HTML
 * Standard), so a short overload would cost the page its stream for good. After a 200 that ends, it
 * waits for the time in `retry:` and comes back. The event `busy` gives the reason to a page that
 * wants to show it. The client has joined no room and does not count as a stream. */
static void busy(struct client *c, const char *reason)
{
    bool chunked = !exchange_request(c)->http10;
    exchange_set_closing(c);
    struct buffer *out = begin_stream(c);
    frame_retry(out, random_spread(BUSY_RETRY_MS, BUSY_SPREAD_MS), chunked);
    size_t frame = frame_begin(out, chunked);
    buffer_printf(out, "event: busy\ndata: {\"reason\":\"%s\"}\n", reason);
    frame_end(out, frame, chunked);
    if (chunked)
        buffer_add(out, SPAN("0\r\n\r\n"));
    answer_send(c, (struct span) { NULL, 0 });
}

/* Writes `ready` and the presence of each room. The id of `ready` is the newest one of all rooms,
 * so a client that is cut off before it has seen any message can still resume. `heartbeat` is after
 * how many seconds of silence a heartbeat comes (0: never): a client that waits much longer than
 * that can take its connection for dead. */
static void add_ready(struct buffer *out, struct stream *stream)
{
    size_t frame = frame_begin(out, stream->chunked);
    buffer_add(out, SPAN("id: "));
    id_add(out, hub_newest(hub));
    buffer_add(out, SPAN("\nevent: ready\ndata: {\"rooms\":["));
    stream_add_online(stream, out);
    buffer_add(out, SPAN("],\"time\":\""));
    time_add(out, clock_unix_ms());
    buffer_printf(
        out, "\",\"heartbeat\":%llu}\n", (unsigned long long)(settings->heartbeat_ms / 1000));
    frame_end(out, frame, stream->chunked);
    stream_add_presence(stream, out);
}

/* Reads where the stream begins. The Last-Event-ID field wins over the parameter, because a
 * reconnecting EventSource sends both: the field and the URL of its first start. Either wins over
 * `history`; otherwise messages would come twice after a reconnect. A malformed id is not an error,
 * which would end the EventSource; the stream then begins with a `gap`. False when the client has
 * been answered 400. */
static bool read_start(struct client *c, const struct parameters *p, struct start *start)
{
    struct span id = answer_field(c, HTTP_LAST_EVENT_ID);
    *start = (struct start) { 0 };
    if (id.len == 0)
        id = p->values[PARAM_LAST_EVENT_ID];
    if (!parameters_count(p->values[PARAM_HISTORY], 0, HISTORY_MAX, &start->count)) {
        answer_problem(c, 400, "`history` must be a number of messages, for example history=50.");
        return false;
    }
    if (id.len > 0)
        start->since = id_parse(id, &start->id) ? SINCE_ID : SINCE_UNKNOWN;
    else
        start->since = start->count > 0 ? SINCE_LAST : SINCE_NOW;
    return true;
}

/* Puts the stream into its rooms, at their newest message. A name in the token wins over the one in
 * the URL. Returns NULL, or the reason that `busy` gives; then the stream is in no room. */
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
        limits_log(exchange_peer(c), LIMITS_ROOM);
        return "rooms";
    case JOIN_NO_MEMORY:
        return "full";
    }
    return NULL;
}

/* Sends the first bytes of a stream that has joined its rooms. Each client gets another `retry:`
 * time, so that they do not all come back at once after a restart.
 *
 *      out:   head, retry, gap, ... | ready, presence, ...
 *                                  hold
 *
 * If there is a replay, the bytes from `hold` on wait until it has been sent. Without one, all of
 * it goes out in one send. */
static void begin(struct client *c, const struct start *start)
{
    struct stream *stream = exchange_reader(c);
    struct buffer *out = begin_stream(c);
    frame_retry(out, random_spread(settings->retry_ms, settings->retry_ms / 2), stream->chunked);
    bool replay = stream_seek(hub, stream, start, out);
    size_t hold = out->len;
    add_ready(out, stream);
    answer_stream(c, replay ? hold : out->len);
}

/* Errors come first, and only those that a retry cannot mend (400, 403): they end an EventSource
 * for good, and should. HEAD gets the head of a stream and joins nothing. */
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
        begin(c, &start);
}
