/* routes.c - which URL it is, and which method.
 *
 * A request passes through here twice. `admit` sees its head and refuses what no body can make
 * right, so that nothing is uploaded in vain; `handle` sees all of it. Texts in a request are
 * decoded where they lie, in the client's input buffer. An answer is put together by answer.c and
 * handed to net/ whole. */

#include "api/routes.h"

#include "api/answer.h"
#include "api/events.h"
#include "api/messages.h"
#include "api/page.h"
#include "auth/forwarded.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/print.h"
#include "net/limits.h"

enum { TAKES_GET = 1, TAKES_POST = 2 };

struct route {
    struct span path; /* empty: the page's files */
    unsigned takes;
    bool guarded; /* with --key a token is needed */
    bool streams; /* what is too much is said in the stream: an EventSource survives that */
    void (*get)(struct client *c, const struct token *token);
    void (*post)(struct client *c, const struct token *token);
};

static const struct net_settings *settings;
static struct hub *hub;
static struct keeper *keeper;

void routes_start(const struct net_settings *given, struct hub *streams, struct keeper *store)
{
    settings = given;
    hub = streams;
    keeper = store;
    events_start(given, streams);
    messages_start(streams);
}

/* ==== The small ones ========================================================================= */

static bool shows_room(const void *token, struct span room)
{
    return token_has_room(token, room);
}

static void get_rooms(struct client *c, const struct token *token)
{
    struct buffer body = { 0 };
    buffer_add(&body, SPAN("{\"rooms\":["));
    history_rooms(hub, shows_room, token, &body);
    buffer_add(&body, SPAN("]}\n"));
    answer_json(c, 200, &body);
    buffer_free(&body);
}

static void get_health(struct client *c, const struct token *token)
{
    const char *trouble = keeper->trouble(keeper);
    struct buffer body = { 0 };
    (void)token;
    if (trouble != NULL) {
        answer_problem(c, 503, trouble);
        return;
    }
    buffer_add(&body, SPAN("{\"status\":\"ok\"}\n"));
    answer_json(c, 200, &body);
    buffer_free(&body);
}

/* ==== Which URL it is ======================================================================== */

static const struct route routes[] = {
    { SPAN_INIT("/events"), TAKES_GET, true, true, events_get, NULL },
    { SPAN_INIT("/messages"), TAKES_GET | TAKES_POST, true, false, messages_get, messages_post },
    { SPAN_INIT("/rooms"), TAKES_GET, true, false, get_rooms, NULL },
    { SPAN_INIT("/healthz"), TAKES_GET, false, false, get_health, NULL },
    { { NULL, 0 }, TAKES_GET, false, false, page_get, NULL },
};

static const struct route *find_route(const struct client *c)
{
    struct span path = http_span(exchange_request(c)->path, exchange_bytes(c));
    const struct route *route = routes;
    while (route->path.at != NULL && !span_equal(route->path, path))
        route++;
    return route;
}

/* Reads the token that the request needs; false when that was refused. */
static bool read_token(struct client *c, struct token *token)
{
    return !answer_refusal(
        c, access_token(exchange_request(c), exchange_bytes(c), clock_unix_ms(), token));
}

static const char *allowed_methods(const struct route *route)
{
    return route->takes & TAKES_POST ? "GET, HEAD, POST, OPTIONS" : "GET, HEAD, OPTIONS";
}

/* OPTIONS, which is also how a browser asks whether a page of another origin may (the preflight of
 * the Fetch Standard, 3.2.2). */
static void answer_options(struct client *c, const struct route *route)
{
    struct span origin = answer_field(c, HTTP_ORIGIN);
    const char *methods = route != NULL ? allowed_methods(route) : "GET, HEAD, POST, OPTIONS";
    struct buffer *out = answer_begin(c, 204);
    buffer_printf(out, "Allow: %s\r\n", methods);
    if (origin.at != NULL && access_allowed_origin(origin).at != NULL)
        buffer_printf(out,
            "Access-Control-Allow-Methods: %s\r\n"
            "Access-Control-Allow-Headers: Content-Type, Authorization, Idempotency-Key, "
            "Last-Event-ID\r\n"
            "Access-Control-Max-Age: 600\r\n",
            methods);
    buffer_add(out, SPAN("\r\n"));
    answer_send(c, (struct span) { NULL, 0 });
}

/* Everything about a POST that its head tells. */
static bool admit_post(struct client *c)
{
    struct token token;
    const char *why;
    if (answer_refusal(c, access_origin(exchange_request(c), exchange_bytes(c))) ||
        !read_token(c, &token) || answer_refusal(c, access_publish(&token)))
        return false;
    int status = messages_check_post(c, &why);
    if (status != 0) {
        answer_problem(c, status, why);
        return false;
    }
    if (limits_post(exchange_peer(c)))
        return true;
    answer_problem(c, 429, "Too many messages come from your address; wait a second.");
    return false;
}

/* Looks at the method, and at the head of a POST. True when the request can go on; false when it
 * has its answer: an error, or that of OPTIONS. */
static bool admit_method(struct client *c, const struct route *route)
{
    enum http_method method = exchange_request(c)->method;
    if (method == HTTP_GET || method == HTTP_HEAD) {
        if (!http_has_body(exchange_request(c)))
            return true;
        answer_problem(c, 413, "Only a POST has a body here; send this request without one.");
        return false;
    }
    if (method == HTTP_UNKNOWN_METHOD) {
        answer_problem(c, 501, "This method is unknown here; use GET, HEAD, POST or OPTIONS.");
        return false;
    }
    if (exchange_request(c)->authority_form) {
        answer_problem_with(c, 405, "Allow: GET, HEAD, POST, OPTIONS\r\n", "This is no proxy.");
        return false;
    }
    if (exchange_request(c)->asterisk) {
        answer_options(c, NULL);
        return false;
    }
    if (route->path.at == NULL && !page_has(c)) {
        answer_problem(c, 404, "There is nothing at this path; messages are posted to /messages.");
        return false;
    }
    if (method == HTTP_OPTIONS) {
        answer_options(c, route);
        return false;
    }
    if (method == HTTP_POST && (route->takes & TAKES_POST))
        return admit_post(c);
    char allow[64];
    print_into(allow, sizeof allow, "Allow: %s\r\n", allowed_methods(route));
    answer_problem_with(
        c, 405, allow, "This path does not take this method; Allow says which it takes.");
    return false;
}

/* ==== Which client it is ===================================================================== */

/* A proxy that says nothing of its client is trusted not to be a flood; but most likely it was
 * forgotten to tell it to. */
static void hint_at_forwarded(void)
{
    static bool warned;
    if (!warned)
        log_line(LOG_WARN, "hint=\"a trusted proxy does not name its client; let it send "
                           "X-Forwarded-For or Forwarded\"");
    warned = true;
}

/* Behind a trusted proxy the client counts from here on for the address that the proxy names. One
 * that names an address which cannot be read counts, with all others of the kind, for `::`. False
 * without memory: then the connection is closed. */
static bool identify(struct client *c)
{
    struct address address = { 0 };
    struct peer *peer = NULL;
    enum forwarded forwarded = forwarded_client(exchange_request(c), exchange_bytes(c),
        settings->trusted, settings->trusted_count, &address);
    if (forwarded != FORWARDED_KNOWN)
        hint_at_forwarded();
    if (forwarded == FORWARDED_UNREADABLE)
        address = (struct address) { 0 };
    if (forwarded != FORWARDED_NOT && (peer = peers_enter(&address, clock_mono_us())) == NULL) {
        client_fail(c);
        return false;
    }
    client_set_peer(c, peer);
    return true;
}

static bool admit(struct client *c)
{
    const struct route *route = find_route(c);
    if (exchange_is_proxied(c) && !identify(c))
        return false;
    if (!route->streams && limits_is_crowded(exchange_peer(c))) {
        exchange_set_closing(c);
        answer_problem(c, 429, "Your address holds more connections than it may; close some.");
        return false;
    }
    return !answer_refusal(c, access_host(exchange_request(c), exchange_bytes(c))) &&
           admit_method(c, route);
}

/* A POST's token is checked again: its body may have taken long. */
static void handle(struct client *c)
{
    const struct route *route = find_route(c);
    struct token token;
    if (route->guarded && !read_token(c, &token))
        return;
    if (exchange_request(c)->method == HTTP_POST)
        route->post(c, &token);
    else
        route->get(c, &token);
}

const struct handlers routes_handlers = { admit, handle, answer_unreadable };
