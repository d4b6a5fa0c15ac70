/* events.c - GET /events: the head of a stream, where it begins, and `busy`.
 *
 * From here on the stream is net/serve.c's: what follows it needs no URL. */

#include "api/events.h"

#include "api/answer.h"
#include "api/parameters.h"
#include "base/clock.h"
#include "base/print.h"
#include "base/random.h"
#include "net/limits.h"

enum { BUSY_RETRY_MS = 10000, BUSY_SPREAD_MS = 20000 };

static const struct net_settings *settings;
static struct hub *hub;

void events_start(const struct net_settings *given, struct hub *streams)
{
    settings = given;
    hub = streams;
}

/* The head of a stream. Without chunks its end is the close, and HTTP/1.0 knows no chunks. */
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

/* A stream that cannot be had now. An EventSource that gets 4xx or 5xx gives up for ever; this one
 * comes back, some time later. */
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

/* `ready`, and the presence to begin with. */
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

/* Where a stream begins. The header wins over the URL, which a reconnecting EventSource still has
 * from its first start; an id wins over `history`, or a reconnect would double. */
static bool read_start(struct client *c, const struct parameters *p, struct start *start)
{
    struct span id = answer_field(c, HTTP_LAST_EVENT_ID);
    *start = (struct start) { 0 };
    if (id.len == 0)
        id = p->values[PARAM_LAST_EVENT_ID];
    if (!parameters_count(p->values[PARAM_HISTORY], 0, HISTORY_MAX, &start->count)) {
        answer_problem(c, 400, "history is a number of messages, for example history=50.");
        return false;
    }
    if (id.len > 0)
        start->since = id_parse(id, &start->id) ? SINCE_ID : SINCE_UNKNOWN;
    else
        start->since = start->count > 0 ? SINCE_LAST : SINCE_NOW;
    return true;
}

/* Puts the stream into its rooms. Returns why it cannot be, as `busy` says it; or NULL. */
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

/* The first bytes, and where the frames go between them. */
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
