/* http.c - a driver for http.c and the small functions around it (values of fields, URIs, dates,
 * status lines). It reads standard input, and describes the requests that the parser understood.
 *
 *     http [MAX_BODY]        describes all pipelined requests of the input, one after the other
 *     http why [MAX_BODY]    the same, with the detail of a refusal
 *     http early [MAX_BODY]  reads one byte at a time, and prints where the parser decides
 *     http decode|form       percent-decodes the input, as a path or as a form's query
 *     http type CT TYPE      calls a reader of values: yes or no
 *     http gzip VALUE...     (one field per VALUE)
 *     http identity VALUE...
 *     http etag ETAG VALUE...
 *     http range SIZE VALUE
 *     http date SECONDS
 *     http response STATUS
 *     http rules             prints the status and the detail of every refusal
 *
 * An incremental parser must give the same result however the network splits a request. So the
 * driver parses the same input again and again: complete, cut in two at every point, one byte at a
 * time, and handed over to a new parser at every point, as in an upgrade. Every run must give the
 * same description. The bytes always end at an unreadable page, and move whenever more arrive, so
 * that a read past the end, or through an old address, stops the program.
 *
 * With -DFUZZ this is a libFuzzer target that does the same with one cut, which depends on the
 * input. */

#include "http.h"
#include "api/values.h"
#include "base/date.h"
#include "base/print.h"
#include "base/uri.h"
#include "driver.h"
#include "net/reply.h"

#include <inttypes.h>

/* Trying all cuts of a long input would take minutes, so a longer input is cut only at this many
 * points. */
enum { EVERY_CUT_MAX_BYTES = 20000, SPREAD_CUTS = 500 };

/* Whether descriptions contain the detail of a refusal. A fuzzer compares the details, too. */
#ifdef FUZZ
enum { with_detail = 1 };
#else
static bool with_detail;
#endif

/* ---- Bytes before a wall --------------------------------------------------------------------- */

/* The bytes that have arrived so far end at the unreadable page; the next bytes to arrive move them
 * to lower addresses:
 *
 *      | ...        GET / HT | unreadable |
 *      | ...  GET / HTTP/1.1 | unreadable |
 *
 * An address that the parser kept is then wrong, so it must keep offsets. */
struct wall {
    struct guarded pages;
    size_t len;
};

static char *wall_bytes(const struct wall *w)
{
    return w->pages.first + w->pages.len - w->len;
}

static void wall_append(struct wall *w, struct span more)
{
    check(w->len + more.len <= w->pages.len, "the input fits before the unreadable page");
    memmove(wall_bytes(w) - more.len, wall_bytes(w), w->len);
    at_end(w->pages, more);
    w->len += more.len;
}

/* Moves the remaining `len` bytes up to the wall, after http_parse_body has removed chunk lines
 * from the middle. */
static void wall_shrink(struct wall *w, size_t len)
{
    char *bytes = wall_bytes(w);
    w->len = len;
    memmove(wall_bytes(w), bytes, len);
}

/* ---- Descriptions ---------------------------------------------------------------------------- */

/* A description is text that shows everything that a caller of http.c can see. The suite compares
 * it with the expected one, and the driver compares the descriptions of two runs. */

static void describe_text(struct buffer *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if (c == '\\')
            buffer_add(out, SPAN("\\\\"));
        else if (c >= ' ' && c <= '~')
            buffer_add(out, (struct span) { s.at + i, 1 });
        else
            buffer_printf(out, "\\x%02x", c);
    }
}

static void describe_line(struct buffer *out, const char *name, struct span value)
{
    buffer_add_string(out, name);
    buffer_add_string(out, value.len > 0 ? ": " : ":");
    describe_text(out, value);
    buffer_add(out, SPAN("\n"));
}

static void describe_flags(struct buffer *out, const struct http_request *r)
{
    buffer_add_string(out, r->keep_alive ? "then: keep-alive" : "then: close");
    if (r->has_length)
        buffer_add(out, SPAN(", has-length"));
    if (r->chunked)
        buffer_add(out, SPAN(", chunked"));
    if (r->expects_continue)
        buffer_add(out, SPAN(", expects-continue"));
    buffer_add(out, SPAN("\n"));
}

static void describe_fields(struct buffer *out, const struct http_request *r, const char *bytes)
{
    static const char *const names[HTTP_OTHER_FIELD] = {
        [HTTP_ACCEPT_ENCODING] = "accept-encoding",
        [HTTP_AUTHORIZATION] = "authorization",
        [HTTP_CONNECTION] = "connection",
        [HTTP_CONTENT_ENCODING] = "content-encoding",
        [HTTP_CONTENT_LENGTH] = "content-length",
        [HTTP_CONTENT_TYPE] = "content-type",
        [HTTP_COOKIE] = "cookie",
        [HTTP_EXPECT] = "expect",
        [HTTP_FORWARDED] = "forwarded",
        [HTTP_HOST] = "host",
        [HTTP_IDEMPOTENCY_KEY] = "idempotency-key",
        [HTTP_IF_NONE_MATCH] = "if-none-match",
        [HTTP_IF_RANGE] = "if-range",
        [HTTP_LAST_EVENT_ID] = "last-event-id",
        [HTTP_ORIGIN] = "origin",
        [HTTP_RANGE] = "range",
        [HTTP_TRANSFER_ENCODING] = "transfer-encoding",
        [HTTP_X_FORWARDED_FOR] = "x-forwarded-for",
    };
    for (unsigned i = 0; i < r->field_count; i++)
        describe_line(out, names[r->fields[i].name], http_span(r->fields[i].value, bytes));
}

static void describe_request(struct buffer *out, const struct http_request *r, const char *bytes)
{
    static const char *const methods[] = { "GET", "HEAD", "POST", "OPTIONS", "known", "unknown" };
    buffer_printf(out, "%s ", methods[r->method]);
    if (r->asterisk)
        buffer_add(out, SPAN("*"));
    if (r->authority_form)
        buffer_add(out, SPAN("(no path)"));
    describe_text(out, http_span(r->path, bytes));
    buffer_printf(out, " HTTP/1.%d\n", r->http10 ? 0 : 1);
    if (r->query.len > 0)
        describe_line(out, "query", http_span(r->query, bytes));
    if (r->host.len > 0)
        describe_line(out, "authority", http_span(r->host, bytes));
    describe_flags(out, r);
    describe_fields(out, r, bytes);
    if (r->body_len > 0)
        describe_line(out, "body", (struct span) { bytes + r->body_start, r->body_len });
}

/* ---- One run over the input ------------------------------------------------------------------ */

/* A client: its bytes and its parser, as in the server, and the descriptions so far. */
struct client {
    struct wall in;
    struct http_request request;
    size_t max_body, head_len; /* head_len is 0 while the head is read */
    int error;
    struct buffer out;
};

/* Makes a client; `capacity` must be enough for all its bytes. client_free frees it. */
static struct client client_new(size_t capacity, size_t max_body)
{
    struct client c = { .in.pages = guarded_new(capacity), .max_body = max_body };
    http_start(&c.request, max_body);
    return c;
}

static void client_free(struct client *c)
{
    guarded_free(c->in.pages);
    buffer_free(&c->out);
}

/* Checks that a part, whose place is relative to the buffer, is in the head. */
static void check_part(struct http_part part, size_t head_len)
{
    check((size_t)part.start + part.len <= head_len, "a part of a request is in its head");
}

/* Calls the readers of values, which must survive every value; the suite tests their answers. The
 * query is decoded into memory of its exact size, so that the sanitizer sees a write past the
 * end. */
static void check_readers(const struct http_request *r, const char *bytes)
{
    struct span query = http_span(r->query, bytes);
    char *decoded = bytes_new(query.len);
    check(uri_decode(query, true, decoded) <= (ptrdiff_t)query.len,
        "a decoded query is no longer than the query as it was sent");
    free(decoded);
    values_accepts_gzip(r, bytes);
    values_etag_matches(r, bytes, SPAN("\"a\""));
    values_is_type(http_find(r, HTTP_CONTENT_TYPE, bytes), SPAN("application/json"));
}

/* Checks the invariants of a request that the parser accepts. */
static void check_request(const struct client *c, size_t end)
{
    const struct http_request *r = &c->request;
    const char *bytes = wall_bytes(&c->in);
    check(c->head_len <= HTTP_HEAD_MAX_BYTES, "a head has at most HTTP_HEAD_MAX_BYTES");
    check(r->body_start == c->head_len, "the body begins after the head");
    check(end == r->body_start + r->body_len && end <= c->in.len,
        "the request ends where its body ends");
    check(r->body_len <= c->max_body, "a body has at most max_body bytes");
    check(r->content_length == r->body_len, "content_length is the body's length");
    if (r->asterisk || r->authority_form)
        check(r->path.len == 0, "a target of `*` or `host:port` has no path");
    else
        check(bytes[r->path.start] == '/', "a path begins with a slash");
    check_part(r->path, c->head_len);
    check_part(r->query, c->head_len);
    check_part(r->host, c->head_len);
    for (unsigned i = 0; i < r->field_count; i++)
        check_part(r->fields[i].value, c->head_len);
}

/* Parses all complete requests, as the server does after each read: head, then body, then the next
 * request in the same buffer. Returns 0 if more bytes are needed, otherwise the rule that is
 * broken. */
static int client_parse(struct client *c)
{
    while (c->error == 0 && c->in.len > 0) {
        int end = 0;
        if (c->head_len == 0) {
            end = http_parse_head(&c->request, wall_bytes(&c->in), c->in.len);
            c->head_len = end > 0 ? (size_t)end : 0;
        }
        if (c->head_len > 0) {
            size_t len = c->in.len;
            char *bytes = wall_bytes(&c->in);
            end = http_parse_body(&c->request, bytes, &len);
            check(len <= c->in.len, "a decoded body is no longer than the body as it was sent");
            wall_shrink(&c->in, len);
        }
        if (end < 0)
            c->error = -end; /* the rule that is broken */
        if (end <= 0)
            break;
        check_request(c, (size_t)end);
        check_readers(&c->request, wall_bytes(&c->in));
        describe_request(&c->out, &c->request, wall_bytes(&c->in));
        c->in.len -= (size_t)end;
        c->head_len = 0;
        http_start(&c->request, c->max_body);
    }
    return c->error;
}

static void client_feed(struct client *c, struct span piece)
{
    wall_append(&c->in, piece);
    client_parse(c);
}

/* Appends the last line of a description: the parser's state at the end of the input. */
static void client_finish(struct client *c)
{
    const struct refusal *refusal = refusal_get(c->error);
    if (c->error != 0)
        buffer_printf(&c->out, "error %d%s%s\n", refusal->status, with_detail ? ": " : "",
            with_detail ? refusal->detail : "");
    else
        buffer_add_string(&c->out, c->in.len > 0 ? "more needed\n" : "end\n");
    check(!c->out.failed, "the driver can allocate memory");
}

/* Starts a new parser on the bytes that the old parser would hand over. */
static void client_upgrade(struct client *c)
{
    struct buffer saved = { 0 };
    http_write_back(&c->request, wall_bytes(&c->in), c->in.len, &saved);
    check(!saved.failed, "the driver can allocate memory");
    http_start(&c->request, c->max_body);
    c->head_len = c->in.len = 0;
    if (c->error == 0)
        client_feed(c, buffer_span(&saved));
    buffer_free(&saved);
}

/* One run: the first `cut` bytes, then a hand-over if `upgrade`, then the rest, `step` bytes at a
 * time. */
struct plan {
    size_t cut, step;
    bool upgrade;
};

/* Runs a plan and returns the description, which the caller frees. */
static struct buffer run(struct span input, size_t max_body, struct plan plan)
{
    /* A hand-over adds a chunk line to the bytes that it was given. */
    struct client c = client_new(input.len + 64, max_body);
    client_feed(&c, (struct span) { input.at, plan.cut });
    if (plan.upgrade)
        client_upgrade(&c);
    for (size_t at = plan.cut; at < input.len;) {
        size_t n = input.len - at < plan.step ? input.len - at : plan.step;
        client_feed(&c, (struct span) { input.at + at, n });
        at += n;
    }
    client_finish(&c);
    struct buffer out = c.out;
    c.out = (struct buffer) { 0 };
    client_free(&c);
    return out;
}

/* Runs a plan and compares the descriptions. A hand-over forgets the number of chunk extensions and
 * trailers, so inputs refused for that number (431) can get further; they are skipped. */
static void compare(struct span input, size_t max_body, struct span whole, struct plan plan)
{
    if (plan.upgrade && memmem(whole.at, whole.len, "error 431", 9) != NULL)
        return;
    struct buffer other = run(input, max_body, plan);
    if (!span_equal(whole, buffer_span(&other))) {
        fprintf(stderr, "whole:\n%.*s\n%s, cut at %zu, %zu bytes at a time:\n%.*s\n",
            (int)whole.len, whole.at, plan.upgrade ? "upgraded" : "in pieces", plan.cut, plan.step,
            (int)other.len, other.at);
        check(false, "the description does not depend on the pieces");
    }
    buffer_free(&other);
}

#ifdef FUZZ

/* Uses a small max_body, so that 413 is within reach, and derives the cut from the input, so that a
 * crash is repeatable. */
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    const size_t max_body = 64;
    struct span input = { (const char *)data, size };
    size_t hash = 2166136261;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * 16777619;
    size_t cut = hash % (size + 1);
    struct buffer whole = run(input, max_body, (struct plan) { size, size, false });
    compare(input, max_body, buffer_span(&whole), (struct plan) { cut, size, false });
    compare(input, max_body, buffer_span(&whole), (struct plan) { cut, size, true });
    compare(input, max_body, buffer_span(&whole), (struct plan) { 0, 1, false });
    buffer_free(&whole);
    return 0;
}

#else

static void print(struct buffer *out)
{
    print_span(buffer_span(out));
    buffer_free(out);
}

/* Prints the description of the complete input, after checking that all cuts give the same. */
static void show_requests(struct span input, size_t max_body)
{
    struct buffer whole = run(input, max_body, (struct plan) { input.len, input.len, false });
    size_t step = input.len <= EVERY_CUT_MAX_BYTES ? 1 : input.len / SPREAD_CUTS;
    for (size_t cut = 0; cut < input.len; cut += step) {
        compare(input, max_body, buffer_span(&whole), (struct plan) { cut, input.len, false });
        compare(input, max_body, buffer_span(&whole), (struct plan) { cut, input.len, true });
    }
    compare(input, max_body, buffer_span(&whole), (struct plan) { 0, 1, false });
    print(&whole);
}

/* Prints the number of bytes after which the head was complete or the request was refused: a
 * refusal must not wait for bytes that cannot change it. */
static void show_early(struct span input, size_t max_body)
{
    struct client c = client_new(input.len, max_body);
    for (size_t n = 0; n < input.len && c.error == 0 && c.head_len == 0 && c.out.len == 0; n++) {
        client_feed(&c, (struct span) { input.at + n, 1 });
        if (c.error != 0)
            printf("error %d at byte %zu\n", refusal_get(c.error)->status, n + 1);
        else if (c.head_len > 0 || c.out.len > 0)
            printf("head at byte %zu\n", n + 1);
    }
    client_free(&c);
}

/* Decodes in place, in memory of the exact size, so that the sanitizer sees a step past its end. */
static void show_decoded(struct span input, bool plus)
{
    struct span copy = copy_of(input);
    char *text = span_bytes(copy);
    ptrdiff_t len = uri_decode(copy, plus, text);
    struct buffer out = { 0 };
    if (len < 0)
        buffer_add(&out, SPAN("malformed"));
    else
        describe_text(&out, (struct span) { text, (size_t)len });
    buffer_add(&out, SPAN("\n"));
    print(&out);
    span_free(copy);
}

/* Makes a request with one field `name` per value, and returns the answer of the reader of that
 * field's values. */
static bool ask(const char *name, char **values, const char *etag)
{
    struct buffer text = { 0 };
    buffer_add(&text, SPAN("GET / HTTP/1.1\r\nHost: a\r\n"));
    for (; *values != NULL; values++)
        buffer_printf(&text, "%s: %s\r\n", name, *values);
    buffer_add(&text, SPAN("\r\n"));
    struct http_request r;
    http_start(&r, 0);
    check(!text.failed && http_parse_head(&r, text.at, text.len) > 0,
        "the value is valid in a field");
    bool answer = etag != NULL ? values_etag_matches(&r, text.at, span_of(etag))
                  : strcmp(name, "Content-Encoding") == 0 ? values_is_identity(&r, text.at)
                                                          : values_accepts_gzip(&r, text.at);
    buffer_free(&text);
    return answer;
}

/* Reads a Range from memory of the exact size, so that the sanitizer sees a step past its end. */
static void show_range(const char *size, const char *value)
{
    struct span copy = copy_of(span_of(value));
    struct values_part part;
    switch (values_range(copy, strtoull(size, NULL, 10), &part)) {
    case RANGE_NONE:
        puts("whole");
        break;
    case RANGE_PART:
        printf("%llu from %llu\n", part.len, part.from);
        break;
    case RANGE_BEYOND:
        puts("beyond");
        break;
    }
    span_free(copy);
}

static void show_date(const char *seconds)
{
    char date[DATE_HTTP_BYTES + 1];
    long long number = strtoll(seconds, NULL, 10);
    date_http(number > 0 ? (uint64_t)number : 0, date); /* clock_read is never negative */
    puts(date);
}

static void show_response(const char *status)
{
    struct buffer out = { 0 };
    reply_begin(&out, atoi(status), "Sun, 06 Nov 1994 08:49:37 GMT");
    print(&out);
}

static size_t size_argument(const char *text)
{
    return text != NULL ? (size_t)strtoumax(text, NULL, 10) : 65536;
}

static void show_answer(bool answer)
{
    puts(answer ? "yes" : "no");
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "65536";
    if (strcmp(mode, "type") == 0 && argc == 4) {
        show_answer(values_is_type(span_of(argv[2]), span_of(argv[3])));
    } else if (strcmp(mode, "gzip") == 0) {
        show_answer(ask("Accept-Encoding", argv + 2, NULL));
    } else if (strcmp(mode, "identity") == 0) {
        show_answer(ask("Content-Encoding", argv + 2, NULL));
    } else if (strcmp(mode, "etag") == 0 && argc > 2) {
        show_answer(ask("If-None-Match", argv + 3, argv[2]));
    } else if (strcmp(mode, "range") == 0 && argc == 4) {
        show_range(argv[2], argv[3]);
    } else if (strcmp(mode, "date") == 0 && argc == 3) {
        show_date(argv[2]);
    } else if (strcmp(mode, "response") == 0 && argc == 3) {
        show_response(argv[2]);
    } else if (strcmp(mode, "rules") == 0) {
        for (int rule = REFUSE_NONE + 1; rule < REFUSE_COUNT; rule++)
            printf("%d %s\n", refusal_get(rule)->status, refusal_get(rule)->detail);
    } else {
        struct span input = read_input();
        with_detail = strcmp(mode, "why") == 0;
        if (strcmp(mode, "decode") == 0 || strcmp(mode, "form") == 0)
            show_decoded(input, strcmp(mode, "form") == 0);
        else if (strcmp(mode, "early") == 0)
            show_early(input, size_argument(argv[2]));
        else
            show_requests(input, size_argument(with_detail ? argv[2] : mode));
        span_free(input);
    }
    return 0;
}

#endif
