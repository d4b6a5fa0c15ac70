/* messages.c - POST /messages, from the JSON to the hub; GET /messages, from the hub to the JSON.
 *
 * The texts of a body are decoded where they lie, in the client's input buffer, which stays as it
 * is until the request is answered. */

#include "api/messages.h"

#include "api/answer.h"
#include "api/parameters.h"
#include "api/values.h"
#include "base/print.h"
#include "hub/rules.h"
#include "json.h"
#include "net/limits.h"

enum { LIMIT_DEFAULT = 50 };

static struct hub *hub;

void messages_start(struct hub *streams)
{
    hub = streams;
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
    char *at = span_bytes(field->raw);
    *text = (struct span) { at, json_decode(field->raw, at) };
    return NULL;
}

/* What `data` holds: a string is text, everything else stays JSON, on one line. */
static void read_data(struct json_field *field, struct message *m)
{
    char *at = span_bytes(field->raw);
    bool text = field->type == JSON_STRING;
    m->kind = text ? MESSAGE_TEXT : MESSAGE_JSON;
    m->body.at = at;
    m->body.len = text ? json_decode(field->raw, at) : json_compact(field->raw, at);
}

/* Makes a message of a JSON body. Returns what is wrong with it, or NULL. */
static const char *read_json(struct span body, struct message *m)
{
    struct json_field fields[FIELD_COUNT] = { { .name = SPAN("message") }, { .name = SPAN("data") },
        { .name = SPAN("event") }, { .name = SPAN("room") }, { .name = SPAN("name") } };
    static char sentence[256];
    const char *why = json_find(body, fields, FIELD_COUNT);
    if (why != NULL) {
        print_into(sentence, sizeof sentence, "The body is not as JSON must be: %s.", why);
        return sentence;
    }
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

/* Fills in what was not given and checks what was. Where names are signed, data in the default
 * event could pass for somebody's chat message, whether that event is left out or written as
 * `message`. */
static const char *check_message(struct message *m, const struct token *token)
{
    const char *why = NULL;
    if (access_wants_token() && (m->kind == MESSAGE_TEXT || m->kind == MESSAGE_JSON) &&
        (m->event.at == NULL || span_equal(m->event, SPAN("message"))))
        return "On a server with tokens `data` needs an `event` other than message.";
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

/* Bytes as they are; room, name and event come from the URL. */
static bool read_binary(struct client *c, struct span body, struct message *m)
{
    struct parameters p;
    if (!parameters_read(c, &p))
        return false;
    if (p.room_count > 1 || body.len == 0) {
        answer_problem(c, 400,
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
    buffer_clear(&body);
    buffer_add(&body, SPAN("{\"id\":\""));
    buffer_add(&body, stamp_id(&receipt->stamp));
    buffer_add(&body, SPAN("\",\"room\":"));
    json_string_add(&body, receipt->room);
    buffer_add(&body, SPAN(",\"time\":\""));
    buffer_add(&body, stamp_time(&receipt->stamp));
    buffer_add(&body, SPAN("\",\"online\":"));
    buffer_add_number(&body, receipt->online);
    buffer_add(&body, SPAN("}\n"));
    answer_json(c, status, &body);
}

/* The message is safe, or refused. */
static void published(struct waiter *waiter, enum settled settled, const struct receipt *receipt)
{
    struct client *c = exchange_of_waiter(waiter);
    if (settled == SETTLED_SAFE)
        answer_receipt(c, waiter->repeated ? 200 : 201, receipt);
    else if (settled == SETTLED_FULL)
        answer_problem(c, 507,
            "The disk that messages are kept on is full; nothing was published. Try again "
            "later.");
    else
        answer_problem(c, 503, "Messages cannot be kept now; nothing was published. Try again.");
}

/* Makes a message of a request's body. False when it was wrong, and then that is answered. */
static bool read_message(struct client *c, const struct token *token, struct message *m)
{
    const char *why = NULL;
    *m = (struct message) { .key = answer_field(c, HTTP_IDEMPOTENCY_KEY) };
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

static void publish(struct client *c, const struct message *m)
{
    struct receipt receipt;
    exchange_waiter(c)->done = published;
    switch (hub_publish(hub, m, exchange_waiter(c), &receipt)) {
    case PUBLISH_WAIT:
        client_wait(c);
        return;
    case PUBLISH_REPEATED:
        answer_receipt(c, 200, &receipt);
        return;
    case PUBLISH_CONFLICT:
        answer_problem(
            c, 422, "This Idempotency-Key came before, with another message; use a new key.");
        return;
    case PUBLISH_TOO_LARGE:
        answer_problem(
            c, 413, "The message takes over half of a room's history (--history); send less.");
        return;
    case PUBLISH_NO_ROOM:
        limits_log(exchange_peer(c), LIMITS_ROOM);
        answer_problem(c, 503, "There are as many rooms as there may be; use one that exists.");
        return;
    case PUBLISH_NO_MEMORY:
        answer_problem(c, 503, "The server is short of memory; try again.");
        return;
    }
}

void messages_post(struct client *c, const struct token *token)
{
    struct message m;
    if (read_message(c, token, &m) && !answer_refusal(c, access_rooms(hub, token, &m.room, 1)))
        publish(c, &m);
}

int messages_check_post(const struct client *c, const char **why)
{
    struct span type = answer_field(c, HTTP_CONTENT_TYPE);
    struct span key = answer_field(c, HTTP_IDEMPOTENCY_KEY);
    if (!values_is_type(type, SPAN("application/json")) &&
        !values_is_type(type, SPAN("application/octet-stream"))) {
        *why = "Send the message as Content-Type: application/json (or application/octet-stream).";
        return 415;
    }
    if (!exchange_request(c)->has_length) {
        *why = "Say how long the body is: Content-Length, or Transfer-Encoding: chunked.";
        return 411;
    }
    *why = key.at != NULL ? rule_key(key) : NULL;
    return *why != NULL ? 400 : 0;
}

/* ==== GET /messages ========================================================================== */

/* Writes the page that a request asks for. Returns whether there is anything on it. */
static bool read_page(struct client *c, struct buffer *page)
{
    buffer_clear(page);
    bool any = history_page(hub, exchange_query(c), page);
    buffer_add(page, SPAN("\n"));
    return any;
}

/* A page may be large; the memory for it is not kept. */
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
    if (!parameters_count(p->values[PARAM_LIMIT], LIMIT_DEFAULT, HISTORY_MAX, &q->limit) ||
        q->limit == 0)
        return "limit is a number of messages from 1 on.";
    if (!parameters_count(p->values[PARAM_WAIT], 0, UINT32_MAX, wait_seconds) ||
        *wait_seconds > CLIENT_POLL_MAX_SECONDS)
        return "wait is a number of seconds, 60 at most.";
    if (*wait_seconds > 0 && before.at != NULL)
        return "wait goes with after, not with before: older messages do not arrive.";
    q->start.since = after.at != NULL ? SINCE_ID : SINCE_NOW;
    q->polls = *wait_seconds > 0;
    return NULL;
}

/* Waits for something to tell: the request is held like a stream. */
static void hold(struct client *c, const struct token *token, unsigned seconds)
{
    struct span none = { NULL, 0 };
    enum limit limit = limits_stream(exchange_peer(c));
    if (limit == LIMIT_ADDRESS)
        answer_problem(c, 429, "Your address holds as many streams as it may; ask without wait.");
    else if (limit == LIMIT_SERVER ||
             client_join(c, &exchange_query(c)->room, 1, none, false, token->expires) != JOIN_OK)
        answer_problem(
            c, 503, "There are as many streams or rooms as there may be; ask without wait.");
    else
        client_poll(c, seconds, answer_poll);
}

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
    if (wait > 0 && q->start.since == SINCE_NOW)
        q->start = (struct start) { .since = SINCE_ID, .id = hub_newest(hub) };
    struct buffer page = { 0 };
    bool answer = read_page(c, &page) || wait == 0 || answer_is_head(c) || client_is_draining();
    if (answer)
        answer_json(c, 200, &page);
    buffer_free(&page);
    if (!answer)
        hold(c, token, wait);
}
