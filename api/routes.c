/* routes.c - what each URL does: from a request that is complete to an answer that is on its way.
 *
 * A request passes through here twice. routes_admit sees its head and refuses what no body can make
 * right, so that nobody uploads in vain; routes_handle sees all of it. Texts in a request are
 * decoded where they lie, in the client's input buffer. An answer is put together in server.scratch
 * and handed to client.c whole.
 *
 * This file knows nothing of sockets. */

#include "api/routes.h"

#include "api/answer.h"
#include "api/files.h"
#include "api/messages.h"
#include "api/parameters.h"
#include "auth/access.h"
#include "base/print.h"
#include "hub/frame.h"
#include "net/server.h"
#include "store/journal.h"

#include <unistd.h>

enum { BUSY_RETRY_MS = 10000, BUSY_SPREAD_MS = 20000 };

enum { TAKES_GET = 1, TAKES_POST = 2 };

struct route {
    struct span path; /* empty: the page's files */
    unsigned takes;
    bool guarded; /* with --key only for who has a token */
    void (*get)(struct client *c);
    void (*post)(struct client *c);
};

/* ==== GET /events ============================================================================ */

/* The head of a stream. Without chunks its end is the close, and HTTP/1.0 knows no chunks. */
static struct buffer *begin_stream(struct client *c)
{
    c->close |= c->in->request.http10;
    struct buffer *out = answer_begin(c, 200);
    if (!c->close)
        buffer_add(out, SPAN("Connection: keep-alive\r\n"));
    if (!c->in->request.http10)
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
    bool chunked = !c->in->request.http10;
    c->close = true;
    struct buffer *out = begin_stream(c);
    frame_retry(out, BUSY_RETRY_MS, BUSY_SPREAD_MS, chunked);
    size_t frame = frame_begin(out, chunked);
    buffer_printf(out, "event: busy\ndata: {\"reason\":\"%s\"}\n", reason);
    frame_end(out, frame, chunked);
    if (chunked)
        buffer_add(out, SPAN("0\r\n\r\n"));
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
    struct span id = answer_field(c, HTTP_LAST_EVENT_ID);
    *start = (struct start) { 0 };
    if (id.len == 0)
        id = p->values[PARAM_LAST_EVENT_ID];
    if (!parameters_count(p->values[PARAM_HISTORY], 0, HUB_HISTORY_MAX, &start->count)) {
        answer_problem(c, 400, "history is a number of messages, for example history=50.");
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
    if (!parameters_read(c, &p) || !read_start(c, &p, &start) ||
        !access_rooms(c, p.rooms, p.room_count))
        return;
    if (answer_is_head(c)) {
        begin_stream(c);
        client_answer(c, (struct span) { NULL, 0 });
        return;
    }
    const char *why = access_busy(c);
    if (why == NULL && !client_lease(c, access_expires()))
        why = "full";
    if (why == NULL) {
        struct span name = access_name(p.values[PARAM_NAME]);
        enum join join = client_join(c, p.rooms, p.room_count, name, true);
        if (join != JOIN_OK)
            why = join == JOIN_NO_ROOM ? "rooms" : "full";
        if (join == JOIN_NO_ROOM)
            access_no_room(c);
    }
    if (why != NULL) {
        client_leave(c);
        busy(c, why);
        return;
    }
    struct buffer *out = begin_stream(c);
    frame_retry(out, server.options.retry_ms, server.options.retry_ms / 2, c->stream.chunked);
    bool replay = hub_seek(server.hub, &c->stream, &start, out);
    size_t hold = out->len;
    add_ready(out, c);
    client_stream(c, replay ? hold : out->len);
}

/* ==== The small ones ========================================================================= */

static void get_rooms(struct client *c)
{
    struct buffer body = { 0 };
    buffer_add(&body, SPAN("{\"rooms\":["));
    hub_add_rooms(server.hub, access_shows_room, &body);
    buffer_add(&body, SPAN("]}\n"));
    answer_begin(c, 200)->failed |= body.failed;
    answer_end(c, "application/json", buffer_span(&body));
    buffer_free(&body);
}

static void get_health(struct client *c)
{
    const char *trouble = server.journal != NULL ? journal_trouble(server.journal) : NULL;
    if (trouble != NULL) {
        answer_problem(c, 503, trouble);
        return;
    }
    answer_begin(c, 200);
    answer_end(c, "application/json", SPAN("{\"status\":\"ok\"}\n"));
}

/* ==== The page's files ======================================================================= */

/* The request's path, decoded. A slash or a NUL that was encoded is in no file's name. */
static bool read_path(const struct client *c, struct span *path)
{
    *path = http_span(c->in->request.path, c->in->bytes);
    size_t slashes = 0;
    for (size_t i = 0; i < path->len; i++)
        slashes += path->at[i] == '/';
    if (!parameters_decode(path, false))
        return false;
    for (size_t i = 0; i < path->len; i++)
        slashes -= path->at[i] == '/';
    return slashes == 0 && memchr(path->at, '\0', path->len) == NULL;
}

/* Begins the answer for a file. True when the client has the file already: then that is all. */
static bool begin_file(struct client *c, const char *etag, const char *fields)
{
    bool unchanged = http_etag_matches(&c->in->request, c->in->bytes, span_of(etag));
    struct buffer *out = answer_begin(c, unchanged ? 304 : 200);
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

static void answer_page_file(struct client *c, const struct page_file *file, bool gzip)
{
    struct span body = gzip ? file->gzip : file->plain;
    const char *fields = "Vary: Accept-Encoding\r\n"
                         "Cross-Origin-Resource-Policy: same-origin\r\n"
                         "Content-Security-Policy: default-src 'none'; script-src 'self'; "
                         "style-src 'self'; img-src 'self'; connect-src 'self'; "
                         "form-action 'self'; base-uri 'none'; frame-ancestors 'none'\r\n";
    if (begin_file(c, gzip ? file->gzip_etag : file->etag, fields))
        return;
    buffer_printf(&server.scratch, "Content-Type: %s\r\n%sContent-Length: %zu\r\n\r\n", file->type,
        gzip ? "Content-Encoding: gzip\r\n" : "", body.len);
    client_answer(c, answer_is_head(c) ? (struct span) { NULL, 0 } : body);
}

/* A file of --www. Its pages are somebody else's: no policy of ours says what may run in them. With
 * --cors other sites are invited, and may show what is here. */
static void answer_www_file(struct client *c, int file, struct span path, const struct stat *st)
{
    char etag[96];
    files_etag(st, etag, sizeof etag);
    const char *policy = server.options.cors.count > 0
                             ? "Cross-Origin-Resource-Policy: cross-origin\r\n"
                             : "Cross-Origin-Resource-Policy: same-origin\r\n";
    if (begin_file(c, etag, policy)) {
        close(file);
        return;
    }
    buffer_printf(&server.scratch, "Content-Type: %s\r\nContent-Length: %llu\r\n\r\n",
        files_type(path), (unsigned long long)st->st_size);
    if (!answer_is_head(c)) {
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
    bool gzip = http_accepts_gzip(&c->in->request, c->in->bytes);
    int file = FILES_NONE;
    if (read_path(c, &path)) {
        if (server.www >= 0)
            file = files_open(server.www, path, &st);
        else if ((page = files_find(path, !gzip)) != NULL && !gzip && page->plain.at == NULL)
            file = FILES_SHORTAGE;
    }
    if (file >= 0)
        answer_www_file(c, file, path, &st);
    else if (file == FILES_NONE && page != NULL)
        answer_page_file(c, page, gzip);
    else if (file == FILES_SHORTAGE)
        answer_problem(c, 503, "The server cannot open files now; try again.");
    else
        answer_problem(c, 404,
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
        return files_find(path, false) != NULL;
    int file = files_open(server.www, path, &st);
    if (file >= 0)
        close(file);
    return file >= 0;
}

/* ==== Which URL it is ======================================================================== */

static const struct route routes[] = {
    { { "/events", sizeof "/events" - 1 }, TAKES_GET, true, get_events, NULL },
    { { "/messages", sizeof "/messages" - 1 }, TAKES_GET | TAKES_POST, true, messages_get,
        messages_post },
    { { "/rooms", sizeof "/rooms" - 1 }, TAKES_GET, true, get_rooms, NULL },
    { { "/healthz", sizeof "/healthz" - 1 }, TAKES_GET, false, get_health, NULL },
    { { NULL, 0 }, TAKES_GET, false, get_file, NULL },
};

static const struct route *find_route(struct span path)
{
    const struct route *route = routes;
    while (route->path.at != NULL && !span_equal(route->path, path))
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
    struct span origin = answer_field(c, HTTP_ORIGIN);
    const char *methods = route != NULL ? allowed_methods(route) : "GET, HEAD, POST, OPTIONS";
    struct buffer *out = answer_begin(c, 204);
    buffer_printf(out, "Allow: %s\r\n", methods);
    if (origin.at != NULL && answer_allowed_origin(origin).at != NULL)
        buffer_printf(out,
            "Access-Control-Allow-Methods: %s\r\n"
            "Access-Control-Allow-Headers: Content-Type, Authorization, Idempotency-Key, "
            "Last-Event-ID\r\n"
            "Access-Control-Max-Age: 600\r\n",
            methods);
    buffer_add(out, SPAN("\r\n"));
    client_answer(c, (struct span) { NULL, 0 });
}

/* Everything about a POST that its head tells. */
static bool admit_post(struct client *c)
{
    const char *why;
    if (!access_origin(c) || !access_token(c) || !access_publish(c))
        return false;
    int status = messages_check_post(c, &why);
    if (status != 0)
        answer_problem(c, status, why);
    return status == 0 && access_post(c);
}

static bool has_body(const struct http_request *r)
{
    return r->chunked || r->content_length > 0;
}

/* Looks at the method, and at the head of a POST. True when the request can go on; false when it
 * has its answer: an error, or that of OPTIONS. */
static bool admit(struct client *c, const struct route *route)
{
    enum http_method method = c->in->request.method;
    if (method == HTTP_GET || method == HTTP_HEAD) {
        if (!has_body(&c->in->request))
            return true;
        answer_problem(c, 413, "Only a POST has a body here; send this request without one.");
        return false;
    }
    if (method == HTTP_UNKNOWN_METHOD) {
        answer_problem(c, 501, "This method is unknown here; use GET, HEAD, POST or OPTIONS.");
        return false;
    }
    if (c->in->request.authority_form) {
        answer_problem_with(c, 405, "Allow: GET, HEAD, POST, OPTIONS\r\n", "This is no proxy.");
        return false;
    }
    if (c->in->request.asterisk) {
        answer_options(c, NULL);
        return false;
    }
    if (route->path.at == NULL && !file_exists(c)) {
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

bool routes_admit(struct client *c)
{
    struct http_request *r = &c->in->request;
    struct span path = http_span(r->path, c->in->bytes);
    bool keep = r->keep_alive && !server.draining && !c->close;
    c->in->route = find_route(path);
    /* If the answer comes now, an unread body must not be taken for the next request. */
    c->close = !keep || has_body(r);
    if (!access_request(c, c->in->route->get == get_events) || !admit(c, c->in->route))
        return false;
    c->close = !keep;
    return true;
}

void routes_handle(struct client *c)
{
    const struct route *route = c->in->route;
    if (route->guarded && !access_token(c)) /* a POST's again: its body may have taken long */
        return;
    if (c->in->request.method == HTTP_POST)
        route->post(c);
    else
        route->get(c);
}
