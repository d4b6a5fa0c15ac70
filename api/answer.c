/* answer.c - builds answers: heads, JSON, errors, and CORS for pages from other origins.
 *
 * The head of an answer is built in one static buffer between answer_begin and answer_send, and
 * then handed to net/. net/ sends it at once and copies only the bytes that the socket does not
 * accept, so one buffer serves all clients: each answer has been handed over before the next one
 * begins. A write that runs out of memory only marks the buffer as failed; answer_send checks the
 * mark once, and closes the connection instead of sending half an answer.
 *
 * Errors are problem+json (RFC 9457): `status` and `title` for programs, `detail` for people. Their
 * type is about:blank, because the status says everything that a program needs (RFC 9457 4.2.1). An
 * error never repeats any part of the request, because an echo can inject script into a page or
 * leak a token into a log. */

#include "api/answer.h"

#include "base/clock.h"
#include "base/print.h"
#include "json.h"
#include "net/reply.h"

#include <unistd.h>

/* Retry-After is 1 s if a client has reached its own limit, unless that limit knows when it allows
 * more, and 5 s if the server is short of a resource, which affects all clients at once. */
enum { RETRY_AFTER_OWN_SECONDS = 1, RETRY_AFTER_SECONDS = 5 };

/* A body can be a large page of history; a buffer that grew beyond this size is freed after use. */
enum { KEPT_BYTES = 65536 };

static struct buffer head;

struct span answer_field(const struct client *c, enum http_field name)
{
    return http_find(exchange_request(c), name, exchange_bytes(c));
}

bool answer_repeats(const struct client *c, enum http_field name)
{
    unsigned cursor = 0, count = 0;
    struct span value;
    while (http_next(exchange_request(c), name, exchange_bytes(c), &cursor, &value))
        count++;
    return count > 1;
}

bool answer_is_head(const struct client *c)
{
    return exchange_request(c)->method == HTTP_HEAD;
}

/* Adds the fields of the Fetch Standard's "CORS protocol" if --cors is set. Vary is sent even if
 * the request has no Origin; otherwise a cache could give the answer to a page from another origin.
 * Credentials are allowed only for a listed origin, because browsers refuse them with "*", and "*"
 * means that the answer is for everyone. The exposed fields are those of errors and of parts of
 * files, which scripts cannot read otherwise: when to try again, what is wrong with the token,
 * which methods there are, which part of which version this is. */
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
    buffer_add(
        &head, SPAN("\r\nAccess-Control-Expose-Headers: Retry-After, WWW-Authenticate, Allow, "
                    "Accept-Ranges, Content-Range, ETag\r\n"));
}

/* Writes Connection only if its value is not the default: "close", or "keep-alive" for an HTTP/1.0
 * client that asked for it (RFC 9112 9.3). net/ acts accordingly, because it also uses
 * exchange_closes. */
struct buffer *answer_begin_private(const struct client *c, int status)
{
    buffer_clear(&head);
    reply_begin(&head, status, clock_http_date());
    if (exchange_closes(c))
        buffer_add(&head, SPAN("Connection: close\r\n"));
    else if (exchange_request(c)->http10)
        buffer_add(&head, SPAN("Connection: keep-alive\r\n"));
    return &head;
}

struct buffer *answer_begin(const struct client *c, int status)
{
    answer_begin_private(c, status);
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

/* Closes the descriptor if net/ does not take it over. */
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

/* Copies the body after the head, so that one send is enough and the caller need not keep the body.
 * For HEAD, whose body is never sent, a caller can leave out a body that is costly to make: then
 * the head has no Content-Length either, which RFC 9110 8.6 allows.
 *
 * no-store: an API answer is out of date as soon as it is sent. nosniff: browsers do not take JSON
 * for HTML. Cross-Origin-Resource-Policy: pages of other sites cannot load the answer as an image
 * or a script; --cors is not affected, because it concerns requests in CORS mode. */
void answer_end(struct client *c, struct span type, const struct buffer *body)
{
    struct span rest = SPAN("\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                            "Cross-Origin-Resource-Policy: same-origin\r\n\r\n");
    struct span copied = { body->at, answer_is_head(c) ? 0 : body->len };
    char *begin = buffer_reserve(&head, sizeof "Content-Type: \r\nContent-Length: " + type.len +
                                            PRINT_DECIMAL_BYTES + rest.len + copied.len);
    if (begin != NULL) {
        char *to = span_put(begin, SPAN("Content-Type: "));
        to = span_put(to, type);
        if (body->len > 0) {
            to = span_put(to, SPAN("\r\nContent-Length: "));
            to = print_put(to, body->len);
        }
        to = span_put(to, rest);
        head.len += (size_t)(span_put(to, copied) - begin);
    }
    head.failed |= body->failed;
    answer_send(c, (struct span) { NULL, 0 });
}

void answer_json(struct client *c, int status, const struct buffer *body)
{
    answer_begin(c, status);
    answer_end(c, SPAN("application/json"), body);
}

/* Sets `title` to the reason phrase of the status, as RFC 9457 4.2.1 recommends for about:blank. A
 * 429 or a shortage also says when to try again (RFC 9110 10.2.3). */
static void problem(
    struct client *c, int status, const char *fields, unsigned retry_after, const char *detail)
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
    if (retry_after > 0)
        buffer_printf(out, "Retry-After: %u\r\n", retry_after);
    answer_end(c, SPAN("application/problem+json"), &body);
}

void answer_problem_with(struct client *c, int status, const char *fields, const char *detail)
{
    unsigned retry_after = 0;
    if (status == 429)
        retry_after = RETRY_AFTER_OWN_SECONDS;
    else if (status == 503 || status == 507)
        retry_after = RETRY_AFTER_SECONDS;
    problem(c, status, fields, retry_after, detail);
}

/* Names the address, so that a client can see that it is counted as its proxy, for example because
 * --trust-proxy is missing. Only that client learns it. Of an IPv6 address it is the /64. */
void answer_too_fast(struct client *c, unsigned seconds)
{
    char address[ADDRESS_TEXT_BYTES], detail[256];
    address_print(&exchange_peer(c)->address, address);
    print_into(detail, sizeof detail,
        "Your address (%s) sends messages too fast, or too large ones: 4 KiB of a message count as "
        "one; wait as long as Retry-After says.",
        address);
    problem(c, 429, "", seconds, detail);
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
