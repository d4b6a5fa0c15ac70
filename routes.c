/* routes.c - what each URL does: from a request that is complete to an answer that is on its way.
 *
 * A request passes through here twice. routes_admit sees its head and refuses what no body can make
 * right, so that nobody uploads in vain; routes_handle sees all of it. Texts in a request are
 * decoded where they lie, in the client's input buffer. An answer is put together in server.scratch
 * and handed to client.c whole.
 *
 * This file knows nothing of sockets. */

#include "routes.h"

#include "files.h"
#include "frame.h"
#include "json.h"
#include "rules.h"
#include "server.h"
#include "text.h"

#include <stdio.h>
#include <unistd.h>

enum {
    HISTORY_DEFAULT = 50, /* of GET /messages */
    WAIT_MAX_SECONDS = 60,
    RETRY_AFTER_SECONDS = 5,
    BUSY_RETRY_MS = 10000, /* and up to twice as much on top */
};

enum { TAKES_GET = 1, TAKES_POST = 2 };

struct route {
    const char *path; /* NULL: the page's files */
    unsigned takes;
    void (*get)(struct client *c);
    void (*post)(struct client *c);
};

/* ==== Answers ================================================================================ */

static struct span request_field(const struct client *c, enum http_field name)
{
    return http_find(&c->in->request, name, c->in->bytes);
}

static bool is_head(const struct client *c)
{
    return c->in->request.method == HTTP_HEAD;
}

/* The origin of the page that asks, when --cors lists it; else "*" when that is listed; else none.
 */
static struct span allowed_origin(struct span origin)
{
    struct span allowed = { NULL, 0 };
    for (size_t i = 0; i < server.options.cors.count; i++) {
        struct span item = server.options.cors.items[i];
        if (origin.at != NULL && span_equal_nocase(item, origin))
            return origin;
        if (span_equal(item, SPAN("*")))
            allowed = item;
    }
    return allowed;
}

/* CORS (Fetch Standard 3.2). Credentials go only to an origin that was named: never with "*". */
static void add_cors(struct buffer *out, const struct client *c)
{
    struct span origin = request_field(c, HTTP_ORIGIN), allowed = allowed_origin(origin);
    if (server.options.cors.count == 0)
        return;
    buffer_add(out, SPAN("Vary: Origin\r\n"));
    if (origin.at == NULL || allowed.at == NULL)
        return;
    buffer_add(out, SPAN("Access-Control-Allow-Origin: "));
    buffer_add(out, allowed);
    if (!span_equal(allowed, SPAN("*")))
        buffer_add(out, SPAN("\r\nAccess-Control-Allow-Credentials: true"));
    buffer_add(out, SPAN("\r\nAccess-Control-Expose-Headers: Retry-After\r\n"));
}

/* Begins an answer in server.scratch: the lines that every head has. */
static struct buffer *begin(struct client *c, int status)
{
    struct buffer *out = &server.scratch;
    out->len = 0;
    out->failed = false;
    http_response_line(out, status, server.date);
    if (c->close)
        buffer_add(out, SPAN("Connection: close\r\n"));
    else if (c->in->request.http10)
        buffer_add(out, SPAN("Connection: keep-alive\r\n"));
    add_cors(out, c);
    return out;
}

/* Ends it with a body that is short enough to be copied. HEAD gets the head of the same answer. */
static void end(struct client *c, const char *type, struct span body)
{
    struct buffer *out = &server.scratch;
    buffer_printf(out,
        "Content-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n\r\n",
        type, body.len);
    if (!is_head(c))
        buffer_add(out, body);
    client_answer(c, (struct span) { NULL, 0 });
}

/* An error (RFC 9457). `detail` tells the person what to change; it never repeats the request. */
static void problem_with(struct client *c, int status, const char *fields, const char *detail)
{
    static struct buffer body;
    body.len = 0;
    buffer_printf(&body,
        "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":", http_reason(status),
        status);
    json_string_add(&body, span_of(detail));
    buffer_add(&body, SPAN("}\n"));
    struct buffer *out = begin(c, status);
    buffer_add_string(out, fields);
    if (status == 429 || status == 503)
        buffer_printf(out, "Retry-After: %d\r\n", RETRY_AFTER_SECONDS);
    out->failed |= body.failed;
    body.failed = false;
    end(c, "application/problem+json", buffer_span(&body));
}

static void problem(struct client *c, int status, const char *detail)
{
    problem_with(c, status, "", detail);
}

void routes_refuse(struct client *c, int status)
{
    const char *detail = "The request is not HTTP/1.1 as RFC 9112 defines it.";
    switch (status) {
    case 408:
        detail = "The request took too long to arrive; send it faster.";
        break;
    case 413:
        detail = "The body is larger than this server takes (--max-body); send less.";
        break;
    case 414:
        detail = "The URL is longer than 8000 bytes; shorten it.";
        break;
    case 417:
        detail = "Of all expectations only 100-continue can be met here.";
        break;
    case 431:
        detail = "The head has over 16 KiB or over 100 fields; send fewer or shorter ones, "
                 "cookies for example.";
        break;
    case 501:
        detail = "Of all transfer codings only chunked is understood here.";
        break;
    case 505:
        detail = "This server speaks HTTP/1.1 and HTTP/1.0.";
        break;
    }
    /* What was parsed so far may be half a request: nothing of it shapes the answer. */
    http_start(&c->in->request, server.options.max_body);
    c->close = c->linger = true;
    problem(c, status, detail);
}

/* ==== Parameters ============================================================================= */

enum parameter {
    PARAM_ROOM,
    PARAM_NAME,
    PARAM_HISTORY,
    PARAM_LAST_EVENT_ID,
    PARAM_EVENT,
    PARAM_AFTER,
    PARAM_BEFORE,
    PARAM_LIMIT,
    PARAM_WAIT,
    PARAM_COUNT
};

/* The parameters of a URL's query, decoded where they lie. What is not given has a NULL `at`. */
struct parameters {
    struct span values[PARAM_COUNT];
    struct span rooms[HUB_STREAM_ROOMS_MAX];
    size_t room_count;
};

static const char *add_rooms(struct parameters *p, struct span list)
{
    struct span room;
    while (span_split(&list, ',', &room)) {
        const char *why = rule_room(room);
        if (why != NULL)
            return why;
        bool known = false;
        for (size_t i = 0; i < p->room_count; i++)
            known |= span_equal(p->rooms[i], room);
        if (known)
            continue;
        if (p->room_count == HUB_STREAM_ROOMS_MAX)
            return "A stream has at most 16 rooms; open another one for the rest.";
        p->rooms[p->room_count++] = room;
    }
    return NULL;
}

/* lastEventId is a second spelling of last_event_id, and yields to it. */
static const char *add_parameter(struct parameters *p, struct span name, struct span value)
{
    static const char *const names[PARAM_COUNT] = { "room", "name", "history", "last_event_id",
        "event", "after", "before", "limit", "wait" };
    if (span_equal(name, SPAN("room")))
        return add_rooms(p, value);
    if (span_equal(name, SPAN("lastEventId"))) {
        if (p->values[PARAM_LAST_EVENT_ID].at == NULL)
            p->values[PARAM_LAST_EVENT_ID] = value;
        return NULL;
    }
    for (int i = 0; i < PARAM_COUNT; i++) {
        if (!span_equal(name, span_of(names[i])))
            continue;
        if (p->values[i].at != NULL && i != PARAM_LAST_EVENT_ID)
            return "A parameter is given twice; give it once.";
        p->values[i] = value;
    }
    return NULL;
}

static bool decode(struct span *s, bool plus)
{
    ptrdiff_t len = http_percent_decode(*s, plus, (char *)(uintptr_t)s->at);
    s->len = len < 0 ? 0 : (size_t)len;
    return len >= 0;
}

/* Reads the query. False when it was wrong, and then that is answered. */
static bool read_parameters(struct client *c, struct parameters *p)
{
    struct span query = http_span(c->in->request.query, c->in->bytes), name, value;
    const char *why = NULL;
    *p = (struct parameters) { 0 };
    while (why == NULL && span_split(&query, '&', &value)) {
        span_split(&value, '=', &name);
        if (value.at == NULL)
            value = (struct span) { name.at + name.len, 0 };
        if (!decode(&name, true) || !decode(&value, true))
            why = "In a URL a % must be followed by two hexadecimal digits.";
        else
            why = add_parameter(p, name, value);
    }
    if (why == NULL && p->room_count == 0)
        p->rooms[p->room_count++] = SPAN("lobby");
    if (why == NULL && p->values[PARAM_NAME].at != NULL)
        why = rule_name(&p->values[PARAM_NAME]);
    if (why != NULL)
        problem(c, 400, why);
    return why == NULL;
}

/* A number from a parameter: `initial` when it is not given, `max` when it is more. False when it
 * is no number. */
static bool read_count(struct span value, unsigned initial, unsigned max, unsigned *count)
{
    unsigned long long number;
    *count = initial;
    if (value.at == NULL)
        return true;
    if (!span_number(value, 999999999999, &number))
        return false;
    *count = number < max ? (unsigned)number : max;
    return true;
}

/* False when the settings do not allow one of the rooms, and then that is answered. */
static bool check_rooms(struct client *c, const struct span *rooms, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!hub_allows(server.hub, rooms[i])) {
            problem(c, 403, "This server has only the rooms it was started with (--room).");
            return false;
        }
    }
    return true;
}

/* ==== GET /events ============================================================================ */

/* The head of a stream. The space after it is the body's; 1.0 clients read it to the close. */
static struct buffer *begin_stream(struct client *c, const char *connection)
{
    struct buffer *out = &server.scratch;
    out->len = 0;
    out->failed = false;
    http_response_line(out, 200, server.date);
    add_cors(out, c);
    buffer_add(out, SPAN("Content-Type: text/event-stream\r\n"
                         "Cache-Control: no-cache, no-transform\r\n"
                         "X-Accel-Buffering: no\r\n"
                         "X-Content-Type-Options: nosniff\r\n"));
    buffer_printf(out, "Connection: %s\r\n", c->in->request.http10 ? "close" : connection);
    if (!c->in->request.http10)
        buffer_add(out, SPAN("Transfer-Encoding: chunked\r\n"));
    buffer_add(out, SPAN("\r\n"));
    return out;
}

/* A stream that cannot be had now. An EventSource that gets 4xx or 5xx gives up for ever; this one
 * comes back, some time later. */
static void busy(struct client *c, const char *reason)
{
    bool chunked = !c->in->request.http10;
    struct buffer *out = begin_stream(c, "close");
    frame_retry(out, BUSY_RETRY_MS, 2 * BUSY_RETRY_MS, chunked);
    size_t frame = frame_begin(out, chunked);
    buffer_printf(out, "event: busy\ndata: {\"reason\":\"%s\"}\n", reason);
    frame_end(out, frame, chunked);
    if (chunked)
        buffer_add(out, SPAN("0\r\n\r\n"));
    c->close = true;
    client_answer(c, (struct span) { NULL, 0 });
}

/* `ready`, and the presence to begin with. */
static void add_ready(struct buffer *out, struct client *c)
{
    bool chunked = c->stream.chunked;
    size_t frame = frame_begin(out, chunked);
    buffer_add(out, SPAN("id: "));
    id_add(out, hub_newest(server.hub));
    buffer_add(out, SPAN("\nevent: ready\ndata: {\"rooms\":["));
    hub_add_online(&c->stream, out);
    buffer_add(out, SPAN("],\"time\":\""));
    time_add(out, server.unix_ms);
    buffer_printf(
        out, "\",\"heartbeat\":%llu}\n", (unsigned long long)(server.options.heartbeat_ms / 1000));
    frame_end(out, frame, chunked);
    hub_add_presence(&c->stream, out);
}

/* Where a stream begins. The header wins over the URL, which a reconnecting EventSource still has
 * from its first start; an id wins over `history`, or a reconnect would double. */
static bool read_start(struct client *c, const struct parameters *p, struct start *start)
{
    struct span id = request_field(c, HTTP_LAST_EVENT_ID);
    *start = (struct start) { 0 };
    if (id.len == 0)
        id = p->values[PARAM_LAST_EVENT_ID];
    if (!read_count(p->values[PARAM_HISTORY], 0, HUB_HISTORY_MAX, &start->count)) {
        problem(c, 400, "history is a number of messages, for example history=50.");
        return false;
    }
    if (id.len > 0)
        start->since = id_parse(id, &start->id) ? SINCE_ID : SINCE_UNKNOWN;
    else
        start->since = start->count > 0 ? SINCE_LAST : SINCE_NOW;
    return true;
}

static void get_events(struct client *c)
{
    struct parameters p;
    struct start start;
    if (!read_parameters(c, &p) || !read_start(c, &p, &start) ||
        !check_rooms(c, p.rooms, p.room_count))
        return;
    if (is_head(c)) {
        begin_stream(c, c->close ? "close" : "keep-alive");
        client_answer(c, (struct span) { NULL, 0 });
        return;
    }
    if (server.draining || server.streams >= server.max_streams) {
        busy(c, server.draining ? "draining" : "full");
        return;
    }
    enum join join = client_join(c, p.rooms, p.room_count, p.values[PARAM_NAME], true);
    if (join != JOIN_OK) {
        busy(c, join == JOIN_NO_ROOM ? "rooms" : "full");
        return;
    }
    struct buffer *out = begin_stream(c, "keep-alive");
    frame_retry(out, server.options.retry_ms, server.options.retry_ms / 2, c->stream.chunked);
    bool replay = hub_seek(server.hub, &c->stream, &start, out);
    size_t hold = out->len;
    add_ready(out, c);
    client_stream(c, replay ? hold : out->len);
}

/* ==== POST /messages ========================================================================= */

enum field { FIELD_MESSAGE, FIELD_DATA, FIELD_EVENT, FIELD_ROOM, FIELD_NAME, FIELD_COUNT };

/* A field's text, decoded where it lies. `null` is the same as absent. */
static const char *read_text(struct json_field *field, struct span *text)
{
    *text = (struct span) { NULL, 0 };
    if (field->type == JSON_ABSENT || field->type == JSON_NULL)
        return NULL;
    if (field->type != JSON_STRING)
        return "message, event, room and name must be strings.";
    char *at = (char *)(uintptr_t)field->raw.at;
    *text = (struct span) { at, json_decode(field->raw, at) };
    return NULL;
}

/* What `data` holds: a string is text, everything else stays JSON, on one line. */
static void read_data(struct json_field *field, struct message *m)
{
    char *at = (char *)(uintptr_t)field->raw.at;
    bool text = field->type == JSON_STRING;
    m->kind = text ? MESSAGE_TEXT : MESSAGE_JSON;
    m->body.at = at;
    m->body.len = text ? json_decode(field->raw, at) : json_compact(field->raw, at);
}

/* Makes a message of a JSON body. Returns what is wrong with it, or NULL. */
static const char *read_json(struct span body, struct message *m)
{
    struct json_field fields[FIELD_COUNT] = { { .name = "message" }, { .name = "data" },
        { .name = "event" }, { .name = "room" }, { .name = "name" } };
    const char *why = json_find(body, fields, FIELD_COUNT);
    if (why != NULL)
        return why;
    bool has_data = fields[FIELD_DATA].type > JSON_NULL;
    bool has_message = fields[FIELD_MESSAGE].type > JSON_NULL;
    if (has_data == has_message)
        return "A message needs either `message`, which is a text, or `data`, and not both.";
    if ((why = read_text(&fields[FIELD_MESSAGE], &m->body)) != NULL ||
        (why = read_text(&fields[FIELD_EVENT], &m->event)) != NULL ||
        (why = read_text(&fields[FIELD_ROOM], &m->room)) != NULL ||
        (why = read_text(&fields[FIELD_NAME], &m->name)) != NULL)
        return why;
    if (has_data && m->name.at != NULL)
        return "name goes with `message` only; put it into `data`.";
    if (has_message && m->event.at != NULL)
        return "event goes with `data` only; a chat message is always the default event.";
    m->kind = MESSAGE_CHAT;
    if (has_data)
        read_data(&fields[FIELD_DATA], m);
    return NULL;
}

/* Fills in what was not given and checks what was. */
static const char *check_message(struct message *m)
{
    const char *why = NULL;
    if (m->room.at == NULL)
        m->room = SPAN("lobby");
    if (m->name.at == NULL)
        m->name = SPAN("anonymous");
    if ((why = rule_room(m->room)) == NULL && (why = rule_name(&m->name)) == NULL &&
        m->event.at != NULL)
        why = rule_event(m->event);
    if (why == NULL && m->kind == MESSAGE_CHAT)
        why = rule_message(m->body);
    return why;
}

/* Bytes as they are; room, name and event come from the URL. */
static bool read_binary(struct client *c, struct span body, struct message *m)
{
    struct parameters p;
    if (!read_parameters(c, &p))
        return false;
    if (p.room_count > 1 || body.len == 0) {
        problem(c, 400,
            body.len == 0 ? "The body is empty; send the bytes to publish."
                          : "A message goes to one room.");
        return false;
    }
    m->kind = MESSAGE_BINARY;
    m->body = body;
    m->room = p.rooms[0];
    m->name = p.values[PARAM_NAME];
    m->event = p.values[PARAM_EVENT];
    return true;
}

static void answer_receipt(struct client *c, int status, const struct receipt *receipt)
{
    static struct buffer body;
    body.len = 0;
    buffer_add(&body, SPAN("{\"id\":"));
    id_add_json(&body, &receipt->id);
    buffer_add(&body, SPAN(",\"room\":"));
    json_string_add(&body, receipt->room);
    buffer_add(&body, SPAN(",\"time\":\""));
    time_add(&body, receipt->id.ms);
    buffer_printf(&body, "\",\"online\":%u}\n", receipt->online);
    begin(c, status)->failed |= body.failed;
    body.failed = false;
    end(c, "application/json", buffer_span(&body));
}

/* The batch with the client's message is safe. */
static void published(struct waiter *waiter, const struct receipt *receipt)
{
    struct client *c = CONTAINER(waiter, struct input, waiter)->client;
    answer_receipt(c, waiter->repeated ? 200 : 201, receipt);
    client_resume(c);
}

static void post_messages(struct client *c)
{
    struct input *in = c->in;
    struct span body = { in->bytes + in->request.body_start, in->request.body_len };
    struct message m = { .key = request_field(c, HTTP_IDEMPOTENCY_KEY) };
    struct receipt receipt;
    const char *why = NULL;
    if (!http_is_type(request_field(c, HTTP_CONTENT_TYPE), "application/octet-stream"))
        why = read_json(body, &m);
    else if (!read_binary(c, body, &m))
        return;
    if (why == NULL)
        why = check_message(&m);
    if (why != NULL) {
        problem(c, 400, why);
        return;
    }
    if (!check_rooms(c, &m.room, 1))
        return;
    in->client = c;
    in->waiter.done = published;
    switch (hub_publish(server.hub, &m, &in->waiter, &receipt)) {
    case PUBLISH_WAIT:
        client_wait(c, DEADLINE_NONE);
        return;
    case PUBLISH_REPEATED:
        answer_receipt(c, 200, &receipt);
        return;
    case PUBLISH_CONFLICT:
        problem(c, 422, "This Idempotency-Key came before, with another message; use a new key.");
        return;
    case PUBLISH_TOO_LARGE:
        problem(c, 413, "The message takes over half of a room's history (--history); send less.");
        return;
    case PUBLISH_NO_ROOM:
        problem(c, 503, "There are as many rooms as there may be; use one that exists.");
        return;
    case PUBLISH_NO_MEMORY:
        problem(c, 503, "The server is short of memory; try again.");
        return;
    }
}

/* Takes `piece` off the front of `*s`, or with `end` off its end, when it is there. */
static bool take_off(struct span *s, struct span piece, bool end)
{
    if (s->len <= piece.len)
        return false;
    const char *at = end ? s->at + s->len - piece.len : s->at;
    if (!span_equal_nocase((struct span) { at, piece.len }, piece))
        return false;
    s->at += end ? 0 : piece.len;
    s->len -= piece.len;
    return true;
}

/* Whether `origin` is the page's own: it has the authority that Host names. The scheme may differ,
 * since TLS ends in front of us; a default port may be written or not. */
static bool is_same_origin(struct span origin, struct span host)
{
    bool plain = take_off(&origin, SPAN("http://"), false);
    if (!plain && !take_off(&origin, SPAN("https://"), false))
        return false;
    struct span port = plain ? SPAN(":80") : SPAN(":443");
    take_off(&origin, port, true);
    take_off(&host, port, true);
    return span_equal_nocase(origin, host);
}

/* What of a POST's head cannot be mended by its body. Returns the status, or 0. */
static int check_post(const struct client *c, const char **why)
{
    const struct http_request *r = &c->in->request;
    struct span origin = request_field(c, HTTP_ORIGIN), type = request_field(c, HTTP_CONTENT_TYPE);
    struct span key = request_field(c, HTTP_IDEMPOTENCY_KEY);
    if (origin.at != NULL && allowed_origin(origin).at == NULL &&
        !is_same_origin(origin, http_span(r->host, c->in->bytes))) {
        *why = "A page of another origin may not post here; start the server with --cors and that "
               "origin. If it is the server's own page: a proxy in between must pass Host on as it "
               "came.";
        return 403;
    }
    if (!http_is_type(type, "application/json") &&
        !http_is_type(type, "application/octet-stream")) {
        *why = "Send the message as Content-Type: application/json (or application/octet-stream).";
        return 415;
    }
    if (!r->has_length) {
        *why = "Say how long the body is: Content-Length, or Transfer-Encoding: chunked.";
        return 411;
    }
    *why = key.at != NULL ? rule_key(key) : NULL;
    return *why != NULL ? 400 : 0;
}

/* ==== GET /messages ========================================================================== */

static void answer_page(struct client *c, const struct buffer *page)
{
    begin(c, 200)->failed |= page->failed;
    end(c, "application/json", buffer_span(page));
}

/* Writes the page that a request asks for. Returns whether there is anything on it. */
static bool read_page(struct client *c, struct buffer *page)
{
    page->len = 0;
    page->failed = false;
    bool any = hub_add_page(server.hub, &c->in->poll, page);
    buffer_add(page, SPAN("\n"));
    return any;
}

/* A page may be large; the memory for it is not kept. */
bool routes_poll(struct client *c, bool timeout)
{
    struct buffer page = { 0 };
    bool answer = read_page(c, &page) || timeout;
    if (answer) {
        client_leave(c);
        answer_page(c, &page);
        client_resume(c);
    }
    buffer_free(&page);
    return answer;
}

/* Fills in what a page is to show, from the URL. Returns what is wrong, or NULL. */
static const char *read_page_query(
    const struct parameters *p, struct page_query *q, unsigned *wait_seconds)
{
    struct span after = p->values[PARAM_AFTER], before = p->values[PARAM_BEFORE];
    *q = (struct page_query) { .room = p->rooms[0], .has_before = before.at != NULL };
    if (p->room_count > 1)
        return "A page is of one room.";
    if (after.at != NULL && before.at != NULL)
        return "after and before do not go together; choose one.";
    if ((after.at != NULL && !id_parse(after, &q->start.id)) ||
        (before.at != NULL && !id_parse(before, &q->before)))
        return "after and before take the id of a message, like 1760000000000-0.";
    if (!read_count(p->values[PARAM_LIMIT], HISTORY_DEFAULT, HUB_HISTORY_MAX, &q->limit) ||
        q->limit == 0)
        return "limit is a number of messages from 1 on.";
    if (!read_count(p->values[PARAM_WAIT], 0, UINT32_MAX, wait_seconds) ||
        *wait_seconds > WAIT_MAX_SECONDS)
        return "wait is a number of seconds, 60 at most.";
    if (*wait_seconds > 0 && before.at != NULL)
        return "wait goes with after, not with before: older messages do not arrive.";
    q->start.since = after.at != NULL ? SINCE_ID : SINCE_NOW;
    return NULL;
}

static void get_messages(struct client *c)
{
    struct parameters p;
    struct page_query *q = &c->in->poll;
    unsigned wait;
    if (!read_parameters(c, &p))
        return;
    const char *why = read_page_query(&p, q, &wait);
    if (why != NULL) {
        problem(c, 400, why);
        return;
    }
    if (!check_rooms(c, &q->room, 1))
        return;
    if (wait > 0 && q->start.since == SINCE_NOW)
        q->start = (struct start) { .since = SINCE_ID, .id = hub_newest(server.hub) };
    struct buffer page = { 0 };
    bool answer = read_page(c, &page) || wait == 0 || is_head(c) || server.draining;
    if (answer)
        answer_page(c, &page);
    buffer_free(&page);
    if (answer)
        return;
    if (server.streams >= server.max_streams ||
        client_join(c, &q->room, 1, (struct span) { NULL, 0 }, false) != JOIN_OK) {
        problem(c, 503, "There are as many streams or rooms as there may be; ask without wait.");
        return;
    }
    client_wait(c, DEADLINE_POLL + (wait - 1));
    hub_start(server.hub, &c->stream);
}

/* ==== The small ones ========================================================================= */

static void get_rooms(struct client *c)
{
    struct buffer body = { 0 };
    buffer_add(&body, SPAN("{\"rooms\":["));
    hub_add_rooms(server.hub, &body);
    buffer_add(&body, SPAN("]}\n"));
    begin(c, 200)->failed |= body.failed;
    end(c, "application/json", buffer_span(&body));
    buffer_free(&body);
}

static void get_health(struct client *c)
{
    begin(c, 200);
    end(c, "application/json", SPAN("{\"status\":\"ok\"}\n"));
}

/* ==== The page's files ======================================================================= */

/* The request's path, decoded. A slash or a NUL that was encoded is in no file's name. */
static bool read_path(const struct client *c, struct span *path)
{
    *path = http_span(c->in->request.path, c->in->bytes);
    size_t slashes = 0;
    for (size_t i = 0; i < path->len; i++)
        slashes += path->at[i] == '/';
    if (!decode(path, false))
        return false;
    for (size_t i = 0; i < path->len; i++)
        slashes -= path->at[i] == '/';
    return slashes == 0 && memchr(path->at, '\0', path->len) == NULL;
}

/* The fields that both kinds of file share. True when the client has it already: answered. */
static bool answer_unchanged(struct client *c, const char *etag, const char *fields)
{
    bool unchanged = http_etag_matches(&c->in->request, c->in->bytes, span_of(etag));
    struct buffer *out = begin(c, unchanged ? 304 : 200);
    buffer_printf(out,
        "ETag: %s\r\nCache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n"
        "Referrer-Policy: no-referrer\r\n%s",
        etag, fields);
    if (unchanged) {
        buffer_add(out, SPAN("\r\n"));
        client_answer(c, (struct span) { NULL, 0 });
    }
    return unchanged;
}

static void answer_page_file(struct client *c, const struct page_file *file)
{
    bool gzip = http_accepts_gzip(&c->in->request, c->in->bytes);
    struct span body = gzip ? file->gzip : file->plain;
    const char *fields = "Vary: Accept-Encoding\r\n"
                         "Content-Security-Policy: default-src 'none'; script-src 'self'; "
                         "style-src 'self'; img-src 'self'; connect-src 'self'; "
                         "form-action 'self'; base-uri 'none'; frame-ancestors 'none'\r\n";
    if (answer_unchanged(c, gzip ? file->gzip_etag : file->etag, fields))
        return;
    buffer_printf(&server.scratch, "Content-Type: %s\r\n%sContent-Length: %zu\r\n\r\n", file->type,
        gzip ? "Content-Encoding: gzip\r\n" : "", body.len);
    client_answer(c, is_head(c) ? (struct span) { NULL, 0 } : body);
}

/* A file of --www. Its pages are somebody else's: no policy of ours says what may run in them. */
static void answer_www_file(struct client *c, int file, struct span path, const struct stat *st)
{
    char etag[96];
    files_etag(st, etag, sizeof etag);
    if (answer_unchanged(c, etag, "")) {
        close(file);
        return;
    }
    buffer_printf(&server.scratch, "Content-Type: %s\r\nContent-Length: %llu\r\n\r\n",
        files_type(path), (unsigned long long)st->st_size);
    if (!is_head(c)) {
        client_answer_file(c, file, (uint64_t)st->st_size);
        return;
    }
    close(file);
    client_answer(c, (struct span) { NULL, 0 });
}

static void get_file(struct client *c)
{
    struct span path;
    struct stat st;
    const struct page_file *page = NULL;
    int file = -1;
    if (read_path(c, &path)) {
        if (server.www < 0)
            page = files_find(path);
        else
            file = files_open(server.www, path, &st);
    }
    if (page != NULL)
        answer_page_file(c, page);
    else if (file >= 0)
        answer_www_file(c, file, path, &st);
    else
        problem(c, 404,
            "There is nothing at this path. Streams are at /events, messages at "
            "/messages, rooms at /rooms.");
}

static bool file_exists(struct client *c)
{
    struct span path;
    struct stat st;
    if (!read_path(c, &path))
        return false;
    if (server.www < 0)
        return files_find(path) != NULL;
    int file = files_open(server.www, path, &st);
    if (file >= 0)
        close(file);
    return file >= 0;
}

/* ==== Which URL it is ======================================================================== */

static const struct route routes[] = {
    { "/events", TAKES_GET, get_events, NULL },
    { "/messages", TAKES_GET | TAKES_POST, get_messages, post_messages },
    { "/rooms", TAKES_GET, get_rooms, NULL },
    { "/healthz", TAKES_GET, get_health, NULL },
    { NULL, TAKES_GET, get_file, NULL },
};

static const struct route *find_route(struct span path)
{
    const struct route *route = routes;
    while (route->path != NULL && !span_equal(span_of(route->path), path))
        route++;
    return route;
}

static const char *allowed_methods(const struct route *route)
{
    return route->takes & TAKES_POST ? "GET, HEAD, POST, OPTIONS" : "GET, HEAD, OPTIONS";
}

/* OPTIONS, which is also how a browser asks whether a page of another origin may (the preflight of
 * the Fetch Standard, 3.2.2). */
static void answer_options(struct client *c, const struct route *route)
{
    struct span origin = request_field(c, HTTP_ORIGIN);
    const char *methods = route != NULL ? allowed_methods(route) : "GET, HEAD, POST, OPTIONS";
    struct buffer *out = begin(c, 204);
    buffer_printf(out, "Allow: %s\r\n", methods);
    if (origin.at != NULL && allowed_origin(origin).at != NULL)
        buffer_printf(out,
            "Access-Control-Allow-Methods: %s\r\n"
            "Access-Control-Allow-Headers: Content-Type, Authorization, Idempotency-Key, "
            "Last-Event-ID\r\n"
            "Access-Control-Max-Age: 600\r\n",
            methods);
    buffer_add(out, SPAN("\r\n"));
    client_answer(c, (struct span) { NULL, 0 });
}

/* The method does not fit the path, or the path is nothing: answers, and returns false. */
static bool check_method(struct client *c, const struct route *route)
{
    enum http_method method = c->in->request.method;
    const char *why;
    if (method == HTTP_GET || method == HTTP_HEAD)
        return true;
    if (method == HTTP_UNKNOWN_METHOD) {
        problem(c, 501, "This method is unknown here; use GET, HEAD, POST or OPTIONS.");
        return false;
    }
    if (c->in->request.asterisk) {
        answer_options(c, NULL);
        return false;
    }
    if (route->path == NULL && !file_exists(c)) {
        problem(c, 404, "There is nothing at this path; messages are posted to /messages.");
        return false;
    }
    if (method == HTTP_OPTIONS) {
        answer_options(c, route);
        return false;
    }
    if (method == HTTP_POST && (route->takes & TAKES_POST)) {
        int status = check_post(c, &why);
        if (status != 0)
            problem(c, status, why);
        return status == 0;
    }
    char allow[64];
    snprintf(allow, sizeof allow, "Allow: %s\r\n", allowed_methods(route));
    problem_with(c, 405, allow, "This path does not take this method; Allow says which it takes.");
    return false;
}

bool routes_admit(struct client *c)
{
    struct http_request *r = &c->in->request;
    struct span path = http_span(r->path, c->in->bytes);
    bool has_body = r->chunked || r->content_length > 0;
    bool keep = r->keep_alive && !server.draining && !c->close;
    c->in->route = find_route(path);
    /* If the answer comes now, an unread body must not be taken for the next request. */
    c->close = !keep || has_body;
    c->linger = has_body;
    if (!check_method(c, c->in->route))
        return false;
    c->close = !keep;
    c->linger = false;
    return true;
}

void routes_handle(struct client *c)
{
    const struct route *route = c->in->route;
    if (c->in->request.method == HTTP_POST)
        route->post(c);
    else
        route->get(c);
}
