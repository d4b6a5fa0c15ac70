/* answer.c - puts answers together: heads, errors, and what a page of another origin may see.
 *
 * The head of an answer is written into one buffer between answer_begin and answer_send, and is
 * then handed to net/ whole, which copies what it cannot send at once. Nothing that stands in a
 * request is ever repeated in an error. */

#include "api/answer.h"

#include "base/clock.h"
#include "base/print.h"
#include "json.h"
#include "net/reply.h"

#include <unistd.h>

/* How long a client is to wait: for its own turn, or for us to get well. */
enum { RETRY_AFTER_OWN_SECONDS = 1, RETRY_AFTER_SECONDS = 5 };

enum { KEPT_BYTES = 65536 }; /* a buffer that grew over this is given back */

static struct buffer head;

struct span answer_field(const struct client *c, enum http_field name)
{
    return http_find(exchange_request(c), name, exchange_bytes(c));
}

bool answer_is_head(const struct client *c)
{
    return exchange_request(c)->method == HTTP_HEAD;
}

/* Credentials go only to an origin that was named: never with "*". */
static void add_cors(const struct client *c)
{
    if (!access_shares())
        return;
    struct span origin = answer_field(c, HTTP_ORIGIN), allowed = access_allowed_origin(origin);
    buffer_add(&head, SPAN("Vary: Origin\r\n"));
    if (origin.at == NULL || allowed.at == NULL)
        return;
    buffer_add(&head, SPAN("Access-Control-Allow-Origin: "));
    buffer_add(&head, allowed);
    if (!span_equal(allowed, SPAN("*")))
        buffer_add(&head, SPAN("\r\nAccess-Control-Allow-Credentials: true"));
    buffer_add(&head, SPAN("\r\nAccess-Control-Expose-Headers: Retry-After\r\n"));
}

struct buffer *answer_begin(const struct client *c, int status)
{
    buffer_clear(&head);
    reply_begin(&head, status, clock_http_date());
    if (exchange_closes(c))
        buffer_add(&head, SPAN("Connection: close\r\n"));
    else if (exchange_request(c)->http10)
        buffer_add(&head, SPAN("Connection: keep-alive\r\n"));
    add_cors(c);
    return &head;
}

static void give_back(void)
{
    if (head.capacity > KEPT_BYTES)
        buffer_free(&head);
}

void answer_send(struct client *c, struct span body)
{
    if (head.failed)
        client_fail(c);
    else
        client_answer(c, buffer_span(&head), body);
    give_back();
}

void answer_send_file(struct client *c, int file, uint64_t left)
{
    if (!head.failed) {
        client_answer_file(c, buffer_span(&head), file, left);
        return;
    }
    close(file);
    client_fail(c);
}

void answer_stream(struct client *c, size_t hold)
{
    if (head.failed)
        client_fail(c);
    else
        client_stream(c, buffer_span(&head), hold);
    give_back();
}

void answer_end(struct client *c, const char *type, const struct buffer *body)
{
    buffer_add(&head, SPAN("Content-Type: "));
    buffer_add_string(&head, type);
    buffer_add(&head, SPAN("\r\nContent-Length: "));
    buffer_add_number(&head, body->len);
    buffer_add(&head, SPAN("\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                           "Cross-Origin-Resource-Policy: same-origin\r\n\r\n"));
    if (!answer_is_head(c))
        buffer_add(&head, buffer_span(body));
    head.failed |= body->failed;
    answer_send(c, (struct span) { NULL, 0 });
}

void answer_json(struct client *c, int status, const struct buffer *body)
{
    answer_begin(c, status);
    answer_end(c, "application/json", body);
}

void answer_problem_with(struct client *c, int status, const char *fields, const char *detail)
{
    static struct buffer body;
    struct span title = reply_reason(status);
    buffer_clear(&body);
    buffer_printf(&body,
        "{\"type\":\"about:blank\",\"title\":\"%.*s\",\"status\":%d,\"detail\":", (int)title.len,
        title.at, status);
    json_string_add(&body, span_of(detail));
    buffer_add(&body, SPAN("}\n"));
    struct buffer *out = answer_begin(c, status);
    buffer_add_string(out, fields);
    if (status == 429 || status == 503 || status == 507)
        buffer_printf(out, "Retry-After: %d\r\n",
            status == 429 ? RETRY_AFTER_OWN_SECONDS : RETRY_AFTER_SECONDS);
    answer_end(c, "application/problem+json", &body);
}

void answer_problem(struct client *c, int status, const char *detail)
{
    answer_problem_with(c, status, "", detail);
}

bool answer_refusal(struct client *c, const struct refusal *refusal)
{
    if (refusal != NULL)
        answer_problem_with(c, refusal->status, refusal->fields, refusal->detail);
    return refusal != NULL;
}

void answer_unreadable(struct client *c, int status)
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
    answer_problem(c, status, detail);
}
