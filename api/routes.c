/* routes.c - maps a URL and a method to a handler.
 *
 * A request passes through this file twice, because its head is checked before its body is read:
 *
 *      head ──► admit ──► body ──► handle ──► events.c, messages.c, page.c
 *                 └─────► an error, or the answer to OPTIONS; the body is not read
 *
 * A client that waits for "100 Continue" (RFC 9110 10.1.1) learns of a refusal before it uploads
 * anything, and a body that cannot be used takes no memory. The price: after such a refusal the
 * connection closes, because the unread body would be taken for the next request. Only the checks
 * that need the body itself (its JSON, its room) come later, in messages.c.
 *
 * There are no patterns and no layers of middleware: a table and a loop are enough for five paths.
 * Texts in a request are decoded in place, in the client's input buffer. */

#include "api/routes.h"

#include "api/answer.h"
#include "api/events.h"
#include "api/messages.h"
#include "api/page.h"
#include "auth/forwarded.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/print.h"
#include "base/uri.h"
#include "json.h"
#include "net/limits.h"
#include "net/request_log.h"

enum { TAKES_GET = 1, TAKES_POST = 2 }; /* GET includes HEAD; every path allows OPTIONS */

/* `get` and `post` answer the request or make it wait. `token` is valid only during the call, and
 * is filled in only if `guarded` is set. */
struct route {
    struct span path; /* NULL in the last route, which is for all other paths: the page's files */
    unsigned takes;
    bool guarded;  /* the request needs a token if --key is set */
    bool streams;  /* overload is reported by `busy` in a stream, which an EventSource survives */
    bool any_host; /* --host does not matter */
    void (*get)(struct client *c, const struct token *token);
    void (*post)(struct client *c, const struct token *token);
};

/* Borrowed from sse.c; they outlive all clients. */
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

/* ==== Small handlers ========================================================================= */

/* Returns whether GET /rooms shows a room. The hub, which knows nothing about tokens, calls this
 * for each room: if --key is set, a client sees only the rooms of its token. A journal can have
 * rooms that --room does not allow; no client can read them. */
static bool shows_room(const void *token, struct span room)
{
    return hub_allows(hub, room) && token_has_room(token, room);
}

/* Answers GET /rooms, at the cost of a look at all rooms and a sort (history.c). */
static void get_rooms(struct client *c, const struct token *token)
{
    struct buffer body = { 0 };
    if (!answer_is_head(c)) {
        buffer_add(&body, SPAN("{\"rooms\":["));
        bool more = history_rooms(hub, shows_room, token, &body);
        buffer_printf(&body, "],\"more\":%s}\n", more ? "true" : "false");
    }
    answer_json(c, 200, &body);
    buffer_free(&body);
}

enum { HEALTH_DETAIL_BYTES = 1200 }; /* the keeper's two sentences */

/* Answers GET /healthz, for load balancers and monitoring: 503 with the reason while messages
 * cannot be kept, 200 with a warning if something needs the operator. It needs no token and no name
 * of --host, because a monitor has none: it sends the server's address in Host. */
static void get_health(struct client *c, const struct token *token)
{
    const char *trouble = keeper->trouble(keeper), *warning = keeper->warning(keeper);
    struct buffer body = { 0 };
    (void)token;
    if (trouble != NULL) {
        char detail[HEALTH_DETAIL_BYTES];
        print_into(detail, sizeof detail, "%s%s%s", trouble, warning != NULL ? " " : "",
            warning != NULL ? warning : "");
        answer_problem(c, 503, detail);
        return;
    }
    buffer_add(&body, SPAN("{\"status\":\"ok\""));
    if (warning != NULL) {
        buffer_add(&body, SPAN(",\"warning\":"));
        json_string_add(&body, span_of(warning));
    }
    buffer_add(&body, SPAN("}\n"));
    answer_json(c, 200, &body);
    buffer_free(&body);
}

/* ==== Routes and methods ===================================================================== */

/* To add a URL, add a row above the last one. /messages comes first, because every POST that
 * succeeds is for it. */
static const struct route routes[] = {
    { SPAN_INIT("/messages"), TAKES_GET | TAKES_POST, true, false, false, messages_get,
        messages_post },
    { SPAN_INIT("/events"), TAKES_GET, true, true, false, events_get, NULL },
    { SPAN_INIT("/rooms"), TAKES_GET, true, false, false, get_rooms, NULL },
    { SPAN_INIT("/healthz"), TAKES_GET, false, false, true, get_health, NULL },
    { { NULL, 0 }, TAKES_GET, false, false, false, page_get, NULL },
};

/* Compares paths decoded: "/%65vents" is "/events" (RFC 3986 6.2.2.2). A target without a path
 * (CONNECT, OPTIONS *) also gets the last route; admit_method answers such a request itself. */
static const struct route *find_route(const struct client *c)
{
    struct span path = http_span(exchange_request(c)->path, exchange_bytes(c));
    const struct route *route = routes;
    while (route->path.at != NULL && !uri_means(path, route->path))
        route++;
    return route;
}

/* Fills in the request's token. Returns false if it has answered 401. */
static bool read_token(struct client *c, struct token *token)
{
    return !answer_refusal(
        c, access_token(exchange_request(c), exchange_bytes(c), clock_unix_ms(), token));
}

static const char *allowed_methods(const struct route *route)
{
    return route->takes & TAKES_POST ? "GET, HEAD, POST, OPTIONS" : "GET, HEAD, OPTIONS";
}

/* Answers OPTIONS with the methods of a path; `route` is NULL for "*", the whole server (RFC 9110
 * 9.3.7). A browser sends OPTIONS as a preflight (Fetch Standard, "CORS protocol") before a page's
 * request to another origin, and may remember the answer for 10 minutes. */
static void answer_options(struct client *c, const struct route *route)
{
    struct span origin = answer_field(c, HTTP_ORIGIN);
    const char *methods = route != NULL ? allowed_methods(route) : "GET, HEAD, POST, OPTIONS";
    struct buffer *out = answer_begin(c, 204);
    buffer_printf(out, "Allow: %s\r\n", methods);
    /* An origin that --cors does not list gets only Allow: its browser then drops the request. */
    if (origin.at != NULL && access_allowed_origin(origin).at != NULL)
        buffer_printf(out,
            "Access-Control-Allow-Methods: %s\r\n"
            "Access-Control-Allow-Headers: Content-Type, Authorization, Idempotency-Key, "
            "Last-Event-ID, Cache-Control, X-Requested-With, Range, If-Range\r\n"
            "Access-Control-Max-Age: 600\r\n",
            methods);
    buffer_add(out, SPAN("\r\n"));
    answer_send(c, (struct span) { NULL, 0 });
}

/* Checks the head of a POST. The origin comes first: a page of another site can make its reader's
 * browser post with the reader's cookie (cross-site request forgery). The rate comes last, because
 * limits_post counts the message: a request that is refused earlier costs the address nothing. A
 * message whose body turns out to be wrong is counted, because its body had to be read. */
static bool admit_post(struct client *c)
{
    struct token token;
    if (answer_refusal(c, access_origin(exchange_request(c), exchange_bytes(c))) ||
        !read_token(c, &token) || answer_refusal(c, access_publish(&token)) || !messages_admit(c))
        return false;
    unsigned seconds = limits_post(exchange_peer(c), exchange_request(c)->content_length);
    if (seconds > 0)
        answer_too_fast(c, seconds);
    return seconds == 0;
}

/* Answers 405: the path supports only the methods that Allow must list (RFC 9110 15.5.6). */
static void refuse_method(struct client *c, const char *methods, const char *why)
{
    char allow[64];
    print_into(allow, sizeof allow, "Allow: %s\r\n", methods);
    answer_problem_with(c, 405, allow, why);
}

/* Returns true if the request may continue, or false if it has been answered, with an error or as
 * OPTIONS. Looks for the path among the page's files before it refuses a method: 404 for a path
 * that does not exist says more than 405. */
static bool admit_method(struct client *c, const struct route *route)
{
    enum http_method method = exchange_request(c)->method;
    if (method == HTTP_GET || method == HTTP_HEAD)
        return true;
    /* Methods that are not in RFC 9110 or RFC 5789 get 501. PUT and the like get 405 below. */
    if (method == HTTP_UNKNOWN_METHOD) {
        answer_problem(
            c, 501, "The server does not know this method; use GET, HEAD, POST or OPTIONS.");
        return false;
    }
    if (exchange_request(c)->authority_form) { /* CONNECT, which asks for a tunnel */
        refuse_method(c, "GET, HEAD, POST, OPTIONS",
            "This server is not a proxy; connect to the other host directly.");
        return false;
    }
    if (exchange_request(c)->asterisk) {
        answer_options(c, NULL);
        return false;
    }
    if (route->path.at == NULL && !page_has(c)) {
        answer_problem(c, 404, "Nothing exists at this path; post messages to /messages.");
        return false;
    }
    if (method == HTTP_OPTIONS) {
        answer_options(c, route);
        return false;
    }
    if (method == HTTP_POST && (route->takes & TAKES_POST))
        return admit_post(c);
    refuse_method(c, allowed_methods(route),
        "This path does not support this method; use one that the Allow field lists.");
    return false;
}

/* ==== Admission and dispatch ================================================================= */

/* Logs, once, that a trusted proxy does not name its clients, which makes the limits per address
 * useless: if the field is missing, none of the proxy's clients is counted; if it is unreadable,
 * they all count as one. Most likely a line is missing in the proxy's configuration. */
static void hint_at_forwarded(void)
{
    static bool warned;
    if (!warned)
        log_line(LOG_WARN, "hint=\"a trusted proxy does not name its client; configure it to send "
                           "X-Forwarded-For or Forwarded\"");
    warned = true;
}

/* Finds the address of a client behind a trusted proxy; only the head contains it. Until the
 * request is answered, the connection counts against that address. A request without the field
 * is not counted. Requests with an unreadable address share the record of `::`, so that a client
 * cannot escape the limits by hiding its address. Returns false if out of memory; then the
 * connection is closed. */
static bool identify(struct client *c)
{
    struct address address = { 0 };
    struct peer *peer = NULL;
    if (!exchange_is_proxied(c))
        return true;
    enum forwarded forwarded = forwarded_client(exchange_request(c), exchange_bytes(c),
        settings->trusted, settings->trusted_count, &address);
    if (forwarded != FORWARDED_KNOWN && !find_route(c)->any_host) /* checks have no client */
        hint_at_forwarded();
    if (forwarded == FORWARDED_UNREADABLE)
        address = (struct address) { 0 };
    if (forwarded != FORWARDED_NOT && (peer = peers_enter(&address, clock_mono_us())) == NULL) {
        client_fail(c);
        return false;
    }
    if (peer != NULL)
        request_log_address(c, &address);
    client_set_peer(c, peer);
    return true;
}

/* Checks a complete head. Returns true if the body can be read. The checks go from the connection
 * to the request: Host, method and path, and for a POST those of admit_post. accept.c has
 * counted the connections of direct clients, so the 429 is for clients behind a proxy; their
 * streams get `busy` from events.c instead, because an HTTP error ends an EventSource for good. */
static bool admit(struct client *c)
{
    const struct route *route = find_route(c);
    if (!route->streams && limits_is_crowded(exchange_peer(c))) {
        exchange_set_closing(c);
        answer_problem(
            c, 429, "Your address has too many connections open; close some and try again.");
        return false;
    }
    if (!route->any_host && answer_refusal(c, access_host(exchange_request(c), exchange_bytes(c))))
        return false;
    return admit_method(c, route);
}

/* Handles a complete request. The token of a POST is checked a second time, because it may have
 * expired while the body arrived. The token must be read before the handler decodes the query,
 * which can contain it. */
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

/* Answers a request that could not be parsed or did not arrive in time. If its head was not
 * complete, neither its method nor its origin is known: then even HEAD gets a body, and Vary is the
 * only CORS field. */
static void refuse(struct client *c, const struct refusal *why)
{
    answer_refusal(c, why);
}

/* The handlers that net/ calls. */
const struct handlers routes_handlers = { identify, admit, handle, refuse, "listening", false };
