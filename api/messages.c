/* messages.c - POST /messages publishes a message; GET /messages returns history, and with `wait`
 * waits for new messages (long polling).
 *
 *      POST   body ──► read_message ──► publish ──► the hub's batch ──► the keeper
 *                                          │ client_wait                    │ safe, or refused
 *                                          └── repeated, or refused      published
 *                                                    └──────► answer ◄──────┘
 *
 * A POST is answered with 201 only when its message is safe. Until then the client waits and keeps
 * its input buffer; all messages of a batch wait for the same fsync. With an Idempotency-Key, a
 * client can repeat a POST whose answer it did not get, and still publish the message only once.
 *
 * The fields of a body are decoded in place, in the client's input buffer, which stays valid until
 * the answer: nothing is allocated or copied before the hub accepts it. No text gets longer. */

#include "api/messages.h"

#include "api/answer.h"
#include "api/parameters.h"
#include "api/values.h"
#include "base/print.h"
#include "hub/rules.h"
#include "json.h"
#include "net/limits.h"

enum {
    LIMIT_DEFAULT = 50, /* messages on a page if the URL has no `limit` */
    RECEIPT_BYTES = 160 /* more than a receipt can have without its room */
};

static struct hub *hub; /* borrowed from sse.c */

void messages_start(struct hub *streams)
{
    hub = streams;
}

/* ==== Refused messages ======================================================================= */

/* Answers a POST, or a long poll in a new room, that the hub has refused, with what the client can
 * change. */
static void refuse(struct client *c, enum publish why)
{
    static const struct {
        int status;
        const char *detail;
    } answers[] = {
        /* 422 as in the IETF's draft for the Idempotency-Key field. */
        [PUBLISH_CONFLICT] = { 422,
            "This Idempotency-Key was already used for another message; use a new key." },
        [PUBLISH_TOO_LARGE] = { 413,
            "The message is larger than half of a room's history (--history); send a shorter "
            "one." },
        [PUBLISH_NO_ROOM] = { 503,
            "The server has reached its maximum number of rooms (--max-rooms); use an existing "
            "room." },
        [PUBLISH_NO_SHARE] = { 429,
            "Your address has made as many rooms as one address may (a quarter of --max-rooms); "
            "use an existing room, or wait until one of yours is empty and forgotten." },
        [PUBLISH_NO_MEMORY] = { 503, "The server is out of memory; try again later." },
    };
    if (why == PUBLISH_NO_ROOM || why == PUBLISH_NO_SHARE)
        limits_refuse(exchange_peer(c), LIMITS_ROOM);
    answer_problem(c, answers[why].status, answers[why].detail);
}

/* Counts a complete body whose length was not in its head. Returns false if it has answered 429,
 * because bodies of the same address that have arrived meanwhile have used up its allowance. */
static bool count_body(struct client *c)
{
    const struct http_request *r = exchange_request(c);
    unsigned seconds = limits_owes(exchange_peer(c));
    if (seconds > 0) {
        answer_too_fast(c, seconds);
        return false;
    }
    limits_post_more(exchange_peer(c), r->chunked ? 0 : r->content_length, r->body_len);
    return true;
}

/* ==== POST /messages ========================================================================= */

/* The fields of a JSON body, in the order in which read_json looks for them. */
enum field { FIELD_MESSAGE, FIELD_DATA, FIELD_EVENT, FIELD_ROOM, FIELD_NAME, FIELD_COUNT };

/* Decodes a string in place. `null` means the same as an absent field: `at` is NULL for both, but
 * not for an empty string. Returns NULL or an error message; so do read_json and check_message. */
static inline const char *read_text(struct json_field *field, struct span *text)
{
    *text = (struct span) { NULL, 0 };
    if (field->type == JSON_ABSENT || field->type == JSON_NULL)
        return NULL;
    if (field->type != JSON_STRING)
        return "The fields message, event, room and name must be JSON strings; write them in "
               "quotes.";
    char *at = span_bytes(field->raw) + 1; /* after the quote */
    *text = (struct span) { at, json_decode(field->raw, at) };
    return NULL;
}

/* Takes `data` as plain text if it is a string, and otherwise as JSON without white space, because
 * an event's data line must not contain a line end. No value is converted: numbers keep digits. */
static void read_data(struct json_field *field, struct message *m)
{
    bool text = field->type == JSON_STRING;
    char *at = span_bytes(field->raw) + text; /* after the quote of a text */
    m->kind = text ? MESSAGE_TEXT : MESSAGE_JSON;
    m->body.at = at;
    m->body.len = text ? json_decode(field->raw, at) : json_compact(field->raw, at);
}

/* Reads a JSON body into `m`, whose spans then point into the body. Ignores unknown fields, so that
 * clients can send more than this version knows. */
static const char *read_json(struct span body, struct message *m)
{
    struct json_field fields[FIELD_COUNT] = { { .name = SPAN("message") }, { .name = SPAN("data") },
        { .name = SPAN("event") }, { .name = SPAN("room") }, { .name = SPAN("name") } };
    static char sentence[256]; /* valid until the next call; the caller sends it at once */
    const char *why = json_find(body, fields, FIELD_COUNT);
    if (why != NULL) {
        print_into(sentence, sizeof sentence, "The JSON body has an error: %s.", why);
        return sentence;
    }
    bool has_data = fields[FIELD_DATA].type > JSON_NULL; /* neither absent nor null */
    bool has_message = fields[FIELD_MESSAGE].type > JSON_NULL;
    if (has_data == has_message)
        return "Send either `message` (a text) or `data` (any JSON value), not both.";
    if ((why = read_text(&fields[FIELD_MESSAGE], &m->body)) != NULL ||
        (why = read_text(&fields[FIELD_EVENT], &m->event)) != NULL ||
        (why = read_text(&fields[FIELD_ROOM], &m->room)) != NULL ||
        (why = read_text(&fields[FIELD_NAME], &m->name)) != NULL)
        return why;
    /* If the name were ignored, the client would believe that readers see it. */
    if (has_data && m->name.at != NULL)
        return "`name` can only be sent with `message`; put the name inside `data`.";
    if (has_message && m->event.at != NULL)
        return "`event` can only be sent with `data`; remove it, or send the text as `data`.";
    m->kind = MESSAGE_CHAT;
    if (has_data)
        read_data(&fields[FIELD_DATA], m);
    return NULL;
}

/* Fills in the defaults and checks each field against its rule (hub/rules.h). A name in the token
 * takes precedence over the name that was sent. If tokens are required, `data` in the default event
 * is refused, because its JSON could look like a chat message under any name. An EventSource calls
 * the default event "message", so an event of that name is refused too. */
static const char *check_message(struct message *m, const struct token *token)
{
    const char *why = NULL;
    if (access_wants_token() && (m->kind == MESSAGE_TEXT || m->kind == MESSAGE_JSON) &&
        (m->event.at == NULL || span_equal(m->event, SPAN("message"))))
        return "This server uses tokens, so `data` needs an `event` other than message.";
    m->name = access_name(token, m->name);
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

/* Reads an octet-stream body, which is published unchanged. The body has no place for fields, so
 * room, name and event come from the URL. Returns false if it has answered 400. */
static bool read_binary(struct client *c, struct span body, struct message *m)
{
    struct parameters p;
    if (!parameters_read(c, &p))
        return false;
    if (p.room_count > 1 || body.len == 0) {
        answer_problem(c, 400,
            body.len == 0 ? "The body is empty; send the bytes to publish."
                          : "A message goes to one room; give `room` once, with one name.");
        return false;
    }
    m->kind = MESSAGE_BINARY;
    m->body = body;
    m->room = p.rooms[0];
    m->name = p.values[PARAM_NAME];
    m->event = p.values[PARAM_EVENT];
    return true;
}

/* Sends the id by which a publisher finds its message in the stream; the answer and the message can
 * arrive in either order. */
static void answer_receipt(struct client *c, int status, const struct receipt *receipt)
{
    static struct buffer body;
    buffer_clear(&body);
    char *begin = buffer_reserve(&body, RECEIPT_BYTES + JSON_ESCAPED_MAX(receipt->room.len));
    if (begin != NULL) {
        char *to = span_put(begin, SPAN("{\"id\":\""));
        to = span_put(to, stamp_id(&receipt->stamp));
        to = span_put(to, SPAN("\",\"room\":"));
        to += json_escape(receipt->room, to);
        to = span_put(to, SPAN(",\"time\":\""));
        to = span_put(to, stamp_time(&receipt->stamp));
        to = span_put(to, SPAN("\",\"online\":"));
        to = print_put(to, receipt->online);
        body.len = (size_t)(span_put(to, SPAN("}\n")) - begin);
    }
    answer_json(c, status, &body);
}

/* Answers a POST once the keeper has settled its message, later in the same turn or in a later
 * turn. 200 instead of 201 means that the key had been used before and nothing new was published.
 * 507 and 503 leave the key unused, so the client can simply repeat the POST. */
static void published(struct waiter *waiter, enum settled settled, const struct receipt *receipt)
{
    struct client *c = exchange_of_waiter(waiter);
    if (settled == SETTLED_SAFE)
        answer_receipt(c, waiter->repeated ? 200 : 201, receipt);
    else if (settled == SETTLED_FULL)
        answer_problem(c, 507,
            "The message was not published because the server's disk is full; try again later.");
    else
        answer_problem(c, 503,
            "The message was not published because the server cannot store it now; try again.");
}

/* Returns the Idempotency-Key without the quotes that the IETF's draft puts around it, so that both
 * spellings are one key; `at` is NULL if there is none. */
static struct span read_key(const struct client *c)
{
    struct span key = answer_field(c, HTTP_IDEMPOTENCY_KEY);
    if (key.len >= 2 && key.at[0] == '"' && key.at[key.len - 1] == '"')
        key = (struct span) { key.at + 1, key.len - 2 };
    return key;
}

/* Reads the message from either form of a POST body. Returns false if it has answered 400. The
 * spans of `m` point into the request's bytes, into `token`, or to constants; the hub copies what
 * it keeps. */
static bool read_message(struct client *c, const struct token *token, struct message *m)
{
    const char *why = NULL;
    *m = (struct message) { .key = read_key(c),
        .author = access_author(token, exchange_peer(c)),
        .source = limits_source(exchange_peer(c)) };
    if (!values_is_type(answer_field(c, HTTP_CONTENT_TYPE), SPAN("application/octet-stream")))
        why = read_json(exchange_body(c), m);
    else if (!read_binary(c, exchange_body(c), m))
        return false;
    if (why == NULL)
        why = check_message(m, token);
    if (why != NULL)
        answer_problem(c, 400, why);
    return why == NULL;
}

/* Hands the message to the hub. After PUBLISH_WAIT, `published` sends the answer. The waiter is
 * part of the client's input buffer, so waiting allocates nothing. If the client leaves first, its
 * waiter is removed from the message, which is still published. */
static void publish(struct client *c, const struct message *m)
{
    struct receipt receipt;
    struct waiter *waiter = exchange_waiter(c);
    waiter->done = published;
    enum publish result = hub_publish(hub, m, waiter, &receipt);
    if (result == PUBLISH_WAIT) {
        size_t len = waiter->publication->content.body.len; /* as in the frame */
        limits_post_more(exchange_peer(c), exchange_body(c).len, len);
        client_wait(c);
    } else if (result == PUBLISH_REPEATED) {
        answer_receipt(c, 200, &receipt);
    } else {
        refuse(c, result);
    }
}

/* Checks the room against the token and --room. This must wait for the body, which names the room
 * of a JSON message, and must precede hub_publish, which creates a missing room. */
void messages_post(struct client *c, const struct token *token)
{
    struct message m;
    if (count_body(c) && read_message(c, token, &m) &&
        !answer_refusal(c, access_rooms(hub, token, &m.room, 1)))
        publish(c, &m);
}

/* Checks the head of a POST. The Content-Type guards against other sites: a browser sends these two
 * types to another origin only after a preflight, unlike the types of an HTML form. A compressed
 * body would reach the readers as garbage (RFC 9110 8.4; 15.5.16 for the field of the answer).
 * Without a length there is no body (RFC 9112 6.3), and 411 helps more than an error about empty
 * JSON. */
bool messages_admit(struct client *c)
{
    struct span type = answer_field(c, HTTP_CONTENT_TYPE);
    struct span key = read_key(c);
    const char *why = key.at != NULL ? rule_key(key) : NULL;
    if (!values_is_type(type, SPAN("application/json")) &&
        !values_is_type(type, SPAN("application/octet-stream")))
        answer_problem(c, 415,
            "Send the message as Content-Type: application/json, or application/octet-stream.");
    else if (!values_is_identity(exchange_request(c), exchange_bytes(c)))
        answer_problem_with(c, 415, "Accept-Encoding: identity\r\n",
            "The body has a Content-Encoding, such as gzip; send it uncompressed and leave out the "
            "field.");
    else if (!exchange_request(c)->has_length)
        answer_problem(c, 411,
            "The length of the body is missing; send Content-Length or Transfer-Encoding: "
            "chunked.");
    else if (why != NULL)
        answer_problem(c, 400, why);
    else
        return true;
    return false;
}

/* ==== GET /messages ========================================================================== */

/* Long polling serves clients that cannot read a stream. A request with `wait` is held while there
 * is nothing new: it joins its room like a stream, but is not part of presence, and is tried again
 * whenever the room gets a message. The client's next request continues after the answer's `newest`
 * (ids are shortened here):
 *
 *      GET ?after=5&wait=30     history has 6, 7        answered at once: 6, 7
 *      GET ?after=7&wait=30     nothing after 7         held ... 8 arrives: answered with 8
 *      GET ?after=8&wait=30     nothing for 30 s        answered with an empty page
 *
 * Between two requests no message is lost, because each names the id after which it continues.
 * Between reading the history and joining the room none is lost, because no other code runs then. A
 * held request counts as a stream in all limits. */

/* Writes the page that was requested. Returns whether the page has news: messages, or a gap. */
static bool read_page(struct client *c, struct buffer *page)
{
    buffer_clear(page);
    bool any = history_page(hub, exchange_query(c), page);
    buffer_add(page, SPAN("\n"));
    return any;
}

/* Answers a held request if there is news. If `timeout` is set, answers even without news: `wait`
 * is over, the token has expired, or the server is draining. Returns whether it has answered. The
 * client leaves the room first, because after the answer its connection is free for the next
 * request. A page can be large, so its memory is not kept. */
static bool answer_poll(struct client *c, bool timeout)
{
    struct buffer page = { 0 };
    bool answer = read_page(c, &page) || timeout;
    if (answer) {
        client_leave(c);
        answer_json(c, 200, &page);
    }
    buffer_free(&page);
    return answer;
}

/* Reads from the URL which page to show. Returns NULL or an error message. Without `after`, a page
 * is read backwards, from `before` or from the newest message. */
static const char *read_page_query(
    const struct parameters *p, struct page_query *q, unsigned *wait_seconds)
{
    struct span after = p->values[PARAM_AFTER], before = p->values[PARAM_BEFORE];
    *q = (struct page_query) { .room = p->rooms[0], .has_before = before.at != NULL };
    if (p->room_count > 1)
        return "A page shows one room; give `room` once, with one name.";
    if (after.at != NULL && before.at != NULL)
        return "`after` and `before` cannot be combined; send one of them.";
    if ((after.at != NULL && !id_parse(after, &q->start.id)) ||
        (before.at != NULL && !id_parse(before, &q->before)))
        return "`after` and `before` must be ids of messages, like 1760000000000-0.";
    if (!parameters_count(p->values[PARAM_LIMIT], LIMIT_DEFAULT, HISTORY_MAX, &q->limit) ||
        q->limit == 0)
        return "`limit` must be a number of messages, 1 or more.";
    if (!parameters_count(p->values[PARAM_WAIT], 0, CLIENT_POLL_MAX_SECONDS, wait_seconds))
        return "`wait` must be a number of seconds; more than 55 are taken as 55.";
    if (*wait_seconds > 0 && before.at != NULL)
        return "`wait` cannot be combined with `before`: new messages come later; use `after`.";
    q->start.since = after.at != NULL ? SINCE_ID : SINCE_NOW;
    q->start.scoped = access_wants_token();
    q->from_oldest = after.at != NULL && id_equal(q->start.id, (struct id) { 0, 0 });
    q->polls = *wait_seconds > 0;
    return NULL;
}

/* Holds the request until its room has a new message. The limits on streams apply, but instead of
 * `busy` the request gets a plain 429 or 503, because its client is a script that reads the status,
 * not an EventSource. */
static void hold(struct client *c, const struct token *token, unsigned seconds)
{
    struct span room = exchange_query(c)->room, none = { NULL, 0 };
    enum limit limit = limits_stream(exchange_peer(c));
    if (limit == LIMIT_ADDRESS) {
        answer_problem(
            c, 429, "Your address has too many streams open; close one, or leave out `wait`.");
        return;
    }
    enum join join = JOIN_NO_MEMORY;
    if (limit == LIMIT_NONE)
        join = client_join(c, &room, 1, none, false, token->expires);
    if (join == JOIN_OK)
        client_poll(c, seconds, answer_poll);
    else if (join == JOIN_NO_MEMORY)
        answer_problem(c, 503,
            "The server cannot hold another request now; try again later, or leave out `wait`.");
    else
        refuse(c, join == JOIN_NO_ROOM ? PUBLISH_NO_ROOM : PUBLISH_NO_SHARE);
}

/* Answers with a page at once, unless the page is empty and `wait` was given. HEAD and a drain
 * never wait. `wait` without `after` waits for messages newer than all current ones. */
void messages_get(struct client *c, const struct token *token)
{
    struct parameters p;
    struct page_query *q = exchange_query(c);
    unsigned wait;
    if (!parameters_read(c, &p))
        return;
    const char *why = read_page_query(&p, q, &wait);
    if (why != NULL) {
        answer_problem(c, 400, why);
        return;
    }
    if (answer_refusal(c, access_rooms(hub, token, &q->room, 1)))
        return;
    if (wait > 0 && q->start.since == SINCE_NOW) {
        q->start.id = history_newest(hub, &q->start, &q->room, 1);
        q->start.since = SINCE_ID;
    }
    struct buffer page = { 0 };
    bool answer = answer_is_head(c) || read_page(c, &page) || wait == 0 || client_is_draining();
    if (answer)
        answer_json(c, 200, &page);
    buffer_free(&page);
    if (!answer)
        hold(c, token, wait);
}
