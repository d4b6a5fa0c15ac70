/* answer.c - puts answers together: heads, errors, and what a page of another origin may see.
 *
 * An answer is written into server.scratch between answer_begin and answer_end, and is then handed
 * to client.c whole. Nothing that stands in a request is ever repeated in an error. */

#include "api/answer.h"

#include "base/print.h"
#include "hub/frame.h"
#include "net/server.h"

/* How long a client is to wait: for its own turn, or for us to get well. */
enum { RETRY_AFTER_OWN_SECONDS = 1, RETRY_AFTER_SECONDS = 5 };

struct span answer_field(const struct client *c, enum http_field name)
{
    return http_find(&c->in->request, name, c->in->bytes);
}

bool answer_is_head(const struct client *c)
{
    return c->in->request.method == HTTP_HEAD;
}

/* The origin of the page that asks, when --cors lists it; else "*" when that is listed; else none.
 */
struct span answer_allowed_origin(struct span origin)
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
void answer_add_cors(struct buffer *out, const struct client *c)
{
    struct span origin = answer_field(c, HTTP_ORIGIN), allowed = answer_allowed_origin(origin);
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
struct buffer *answer_begin(struct client *c, int status)
{
    struct buffer *out = server_scratch();
    http_response_line(out, status, server.date);
    if (c->close)
        buffer_add(out, SPAN("Connection: close\r\n"));
    else if (c->in->request.http10)
        buffer_add(out, SPAN("Connection: keep-alive\r\n"));
    answer_add_cors(out, c);
    return out;
}

/* Ends it with a body that is short enough to be copied. HEAD gets the head of the same answer. */
void answer_end(struct client *c, const char *type, struct span body)
{
    struct buffer *out = &server.scratch;
    buffer_add(out, SPAN("Content-Type: "));
    buffer_add_string(out, type);
    buffer_add(out, SPAN("\r\nContent-Length: "));
    buffer_add_number(out, body.len);
    buffer_add(out, SPAN("\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                         "Cross-Origin-Resource-Policy: same-origin\r\n\r\n"));
    if (!answer_is_head(c))
        buffer_add(out, body);
    client_answer(c, (struct span) { NULL, 0 });
}

/* An error (RFC 9457). `detail` tells the person what to change; it never repeats the request. */
void answer_problem_with(struct client *c, int status, const char *fields, const char *detail)
{
    static struct buffer body;
    body.len = 0;
    buffer_printf(&body,
        "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":", http_reason(status),
        status);
    json_string_add(&body, span_of(detail));
    buffer_add(&body, SPAN("}\n"));
    struct buffer *out = answer_begin(c, status);
    buffer_add_string(out, fields);
    if (status == 429 || status == 503 || status == 507)
        buffer_printf(out, "Retry-After: %d\r\n",
            status == 429 ? RETRY_AFTER_OWN_SECONDS : RETRY_AFTER_SECONDS);
    out->failed |= body.failed;
    body.failed = false;
    answer_end(c, "application/problem+json", buffer_span(&body));
}

void answer_problem(struct client *c, int status, const char *detail)
{
    answer_problem_with(c, status, "", detail);
}

void answer_refuse(struct client *c, int status)
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
    case 503:
        detail = "Too much of the server's memory is taken by requests that are on their way; try "
                 "again, or send less.";
        break;
    case 505:
        detail = "This server speaks HTTP/1.1 and HTTP/1.0.";
        break;
    }
    /* What was parsed so far may be half a request: nothing of it shapes the answer. */
    http_start(&c->in->request, server.options.max_body);
    c->close = true;
    answer_problem(c, status, detail);
}
