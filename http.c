/* http.c - bytes to requests (RFC 9110, RFC 9112).
 *
 * This file shows how to write a resumable parser: one that can be fed a byte at a time, looks at
 * each byte once, copies nothing and never allocates memory.
 *
 * The parser is a sequence of small steps. Each step begins where the last one stopped (`scanned`),
 * reads the bytes that have arrived, and returns > 0 to continue with the next step, 0 if it needs
 * more bytes, or a negated rule (< 0) to refuse the request. The request line is read byte by
 * byte, so that nonsense is refused at its first byte: a TLS handshake on the plain port gets a 400
 * at once. A field line or a chunk line is examined when it is complete.
 *
 *     "\r\n"*   GET   /events?room=a   HTTP/1.1\r\n   Host: a\r\n ... \r\n   body
 *     EMPTY    METHOD     TARGET         VERSION           FIELDS            BODY or CHUNK_...
 *
 * The parser is strict on purpose. Request smuggling exploits bytes that a proxy and the server
 * behind it understand differently. RFC 9112 allows a reader to repair many of them; this parser
 * refuses them instead: a bare LF, a bare CR, a folded line, a space before the colon, two
 * different lengths, a length together with a transfer coding.
 *
 * Invariants: every part that is kept is inside the head, so its offset fits in 16 bits. `scanned`
 * never moves back within a request. A step refuses a request because of bytes that it has seen,
 * never because of bytes that could follow, so the answer is the same however the bytes are split.
 *
 * Left out: the meaning of URLs (api/), pipelining (net/ passes one request at a time), HTTP/2 (a
 * proxy's task), and responses. */

#include "http.h"

#include "base/print.h"
#include "base/scan.h"
#include "base/uri.h"
#include "base/words.h"

enum {
    EMPTY_LINES_MAX = 4,   /* Old clients send one after a body; an endless series is an attack. */
    CHUNK_DIGITS_MAX = 16, /* The most that a 64-bit number can have. */
    CHUNK_LINE_MAX_BYTES = 256,
    BODY_MAX_BYTES = 1 << 30 /* Every offset in a request then fits in an int. */
};

/* What the parser expects next. The order matters: the states up to FIELDS read the head, those
 * from BODY on read the body, and the functions below compare states with < and >. */
enum state {
    EMPTY,
    EMPTY_LF, /* The CR of an empty line was read. */
    METHOD,
    TARGET,
    VERSION,
    FIELDS,
    BODY,
    CHUNK_LINE,
    CHUNK_DATA,
    CHUNK_END,
    TRAILERS,
    DONE
};

/* Returns a part as 16-bit offsets, not as a pointer, because the buffer can move when it grows; 16
 * bits keep a request with 100 fields small. */
static struct http_part part_of(struct span s, const char *bytes)
{
    return (struct http_part) { (uint16_t)(s.at - bytes), (uint16_t)s.len };
}

/* ---- Fields and lists in fields -------------------------------------------------------------- */

struct span http_find(const struct http_request *r, enum http_field name, const char *bytes)
{
    unsigned i = 0;
    if (!http_has(r, name))
        return (struct span) { NULL, 0 };
    while (r->fields[i].name != name)
        i++;
    return http_span(r->fields[i].value, bytes);
}

/* Returns empty items too. A reader of lists should ignore them (RFC 9110 5.6.1.2), but that is the
 * caller's decision, because in a Content-Length or a Transfer-Encoding an empty item is a reason
 * to refuse the request. */
bool http_next_item(struct http_list *list, struct span *item)
{
    if (!http_has(list->request, list->name))
        return false;
    while (!span_split(&list->rest, ',', item))
        if (!http_next(list->request, list->name, list->bytes, &list->cursor, &list->rest))
            return false;
    *item = span_trim(*item);
    return true;
}

/* ---- The request line (RFC 9112 3) ----------------------------------------------------------- */

/* Skips empty lines before the request line, as RFC 9112 2.2 recommends, because old clients send
 * one after a body. The first byte of a method ends this step. */
static int skip_empty_lines(struct http_request *r, const char *bytes, size_t limit)
{
    for (; r->scanned < limit; r->scanned++) {
        char c = bytes[r->scanned];
        if (r->state == EMPTY && words_is(WORDS_TOKEN, c)) {
            r->position = r->scanned;
            r->state = METHOD;
            return 1;
        }
        if (c != (r->state == EMPTY ? '\r' : '\n') || r->scanned >= (size_t)EMPTY_LINES_MAX * 2)
            return -refusal_of_start(c);
        r->state = r->state == EMPTY ? EMPTY_LF : EMPTY;
    }
    return 0;
}

/* Distinguishes the methods of RFC 9110 and RFC 5789 from unknown ones, because the answers differ:
 * 405 with `Allow` for an existing method, 501 for any other. */
static enum http_method method_of(struct span name)
{
    static const struct {
        struct span name;
        enum http_method method;
    } methods[] = { { SPAN_INIT("GET"), HTTP_GET }, { SPAN_INIT("HEAD"), HTTP_HEAD },
        { SPAN_INIT("POST"), HTTP_POST }, { SPAN_INIT("OPTIONS"), HTTP_OPTIONS },
        { SPAN_INIT("PUT"), HTTP_KNOWN_METHOD }, { SPAN_INIT("DELETE"), HTTP_KNOWN_METHOD },
        { SPAN_INIT("CONNECT"), HTTP_KNOWN_METHOD }, { SPAN_INIT("TRACE"), HTTP_KNOWN_METHOD },
        { SPAN_INIT("PATCH"), HTTP_KNOWN_METHOD } };
    for (unsigned i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (span_equal(name, methods[i].name))
            return methods[i].method;
    return HTTP_UNKNOWN_METHOD;
}

/* Reads the method. Methods are case-sensitive (RFC 9110 9.1): "get" is an unknown method. */
static int read_method(struct http_request *r, const char *bytes, size_t limit)
{
    size_t at = r->scanned;
    at += words_count(WORDS_TOKEN, (struct span) { bytes + at, limit - at });
    r->scanned = at;
    if (at == limit)
        return 0;
    if (bytes[at] != ' ')
        return -REFUSE_METHOD;
    struct span name = { bytes + r->position, at - r->position };
    if (span_equal(name, SPAN("PROXY"))) /* version 1 of the PROXY protocol, no method */
        return -REFUSE_PROXY;
    r->method = method_of(name);
    r->authority_form = span_equal(name, SPAN("CONNECT"));
    r->position = r->scanned = at + 1;
    r->state = TARGET;
    return 1;
}

/* Reads the target: visible ASCII without a fragment. It is not split yet, but kept as the path
 * until the version has been read, so that a client of another protocol gets an answer about the
 * protocol, not about its target. A target that is too long is refused before its end arrives. */
static int read_target(struct http_request *r, const char *bytes, size_t limit)
{
    size_t at = r->scanned;
    at += words_count(WORDS_TARGET, (struct span) { bytes + at, limit - at });
    r->scanned = at;
    if (at - r->position > HTTP_TARGET_MAX_BYTES)
        return -REFUSE_URL_LENGTH;
    if (at == limit)
        return 0;
    struct span target = { bytes + r->position, at - r->position };
    if (bytes[at] != ' ' || target.len == 0)
        return -refusal_of_target(target.len, bytes[at]);
    r->path = part_of(target, bytes);
    r->position = r->scanned = at + 1;
    r->state = VERSION;
    return 1;
}

/* Reads the version. A higher minor version counts as 1.1, which its sender has to accept (RFC 9110
 * 2.5). A client that speaks HTTP/2 without asking first ("PRI * HTTP/2.0") gets 505. */
static int read_version(struct http_request *r, const char *bytes, size_t limit)
{
    static const char form[] = "HTTP/0.0\r\n"; /* 0 stands for any digit */
    static const unsigned char above[] = { 0, 0, 0, 0, 0, 9, 0, 9, 0, 0 }; /* what is allowed */
    const char *version = bytes + r->position;
    size_t len = r->scanned - r->position, end = limit - r->position;
    for (; len < sizeof form - 1; len++) {
        if (len == end) {
            r->scanned = limit;
            return 0;
        }
        if ((unsigned char)(version[len] - form[len]) > above[len])
            return version[len] == '\n' ? -REFUSE_BARE_LF : -REFUSE_VERSION;
    }
    if (version[5] != '1')
        return -REFUSE_VERSION_NUMBER;
    r->http10 = version[7] == '0';
    r->position = r->scanned = r->position + len;
    r->state = FIELDS;
    return 1;
}

/* Splits the path from the query. "http://host" has no path, which means "/" (RFC 9110 4.2.3). A
 * path must be a part of the buffer, so the slash before the host stands in for it. */
static void split_query(struct http_request *r, const char *bytes, struct span target)
{
    struct span path, query = target;
    span_split(&query, '?', &path);
    if (path.len == 0)
        path = (struct span) { bytes + r->host.start - 1, 1 };
    r->path = part_of(path, bytes);
    r->query = query.at != NULL ? part_of(query, bytes) : (struct http_part) { 0 };
}

/* Splits the absolute form, which a server must accept although only proxies need it (RFC 9112
 * 3.2.2). Its authority overrides Host. */
static int split_absolute(struct http_request *r, const char *bytes, struct span target)
{
    struct span authority;
    if (!uri_take_origin(&target, &authority))
        return -REFUSE_URL_FORM;
    r->host = part_of(authority, bytes);
    split_query(r, bytes, target);
    return 1;
}

/* Splits a target in one of its four forms (RFC 9112 3.2): authority (CONNECT), asterisk (OPTIONS),
 * absolute, and origin, which nearly every request has. */
static int split_target(struct http_request *r, const char *bytes)
{
    struct span target = http_span(r->path, bytes);
    if (r->authority_form) {
        r->host = r->path;
        r->path = (struct http_part) { 0 };
        return uri_is_authority(target) ? 1 : -REFUSE_URL_AUTHORITY;
    }
    if (span_equal(target, SPAN("*"))) {
        r->asterisk = true;
        r->path = (struct http_part) { 0 };
        return r->method == HTTP_OPTIONS ? 1 : -REFUSE_URL_ASTERISK;
    }
    if (target.at[0] != '/')
        return split_absolute(r, bytes, target);
    split_query(r, bytes, target);
    return 1;
}

/* Runs the steps of the request line, beginning with the one that has not finished. */
static int read_request_line(struct http_request *r, const char *bytes, size_t limit)
{
    int status = 1;
    if (r->state <= EMPTY_LF)
        status = skip_empty_lines(r, bytes, limit);
    if (status > 0 && r->state == METHOD)
        status = read_method(r, bytes, limit);
    if (status > 0 && r->state == TARGET)
        status = read_target(r, bytes, limit);
    if (status > 0 && r->state == VERSION) {
        status = read_version(r, bytes, limit);
        if (status > 0)
            status = split_target(r, bytes);
    }
    return status;
}

/* ---- Field lines (RFC 9112 5) ---------------------------------------------------------------- */

/* Sets `*line` to the line from `position` to its CRLF, and moves past it. This is the only place
 * where the parser looks for a line end, so a bare LF is refused here; a bare CR is refused as a
 * control byte by the function that reads the line. If the line is incomplete, the next call
 * continues at `scanned`: a line that arrives in a thousand pieces is still searched once.
 *
 *     position          scanned        limit
 *         |  searched      |  to search  |
 *         X - a : b        .  .  \r \n   .
 */
static inline int next_line(
    struct http_request *r, const char *bytes, size_t limit, struct span *line)
{
    size_t end = r->scanned, start = r->position;
    end += span_find((struct span) { bytes + end, limit - end }, '\n');
    r->scanned = end;
    if (end == limit)
        return 0;
    if (end == start || bytes[end - 1] != '\r')
        return -REFUSE_BARE_LF;
    *line = (struct span) { bytes + start, end - start - 1 };
    r->position = r->scanned = end + 1;
    return 1;
}

/* Splits a field line into name and value. A space before the colon, or at the start of the line (a
 * folded line), ends the name too early, so neither needs its own rule (RFC 9112 5.1, 5.2). */
static inline bool split_field(struct span line, struct span *name, struct span *value)
{
    size_t colon = words_count(WORDS_TOKEN, line);
    if (colon == 0 || colon == line.len || line.at[colon] != ':')
        return false;
    *name = (struct span) { line.at, colon };
    *value = span_trim(span_skip(line, colon + 1));
    return words_are_text(*value);
}

/* `once` marks a field that must not be repeated, because it is not a list (RFC 9110 5.3): a proxy
 * could take the first value and this server the second. For Content-Length see read_length. */
static const struct {
    struct span name;
    bool once;
} KNOWN_FIELDS[HTTP_OTHER_FIELD] = {
    [HTTP_ACCEPT_ENCODING] = { SPAN_INIT("Accept-Encoding"), false },
    [HTTP_AUTHORIZATION] = { SPAN_INIT("Authorization"), true },
    [HTTP_CONNECTION] = { SPAN_INIT("Connection"), false },
    [HTTP_CONTENT_ENCODING] = { SPAN_INIT("Content-Encoding"), false },
    [HTTP_CONTENT_LENGTH] = { SPAN_INIT("Content-Length"), false },
    [HTTP_CONTENT_TYPE] = { SPAN_INIT("Content-Type"), true },
    [HTTP_COOKIE] = { SPAN_INIT("Cookie"), false },
    [HTTP_EXPECT] = { SPAN_INIT("Expect"), false },
    [HTTP_FORWARDED] = { SPAN_INIT("Forwarded"), false },
    [HTTP_HOST] = { SPAN_INIT("Host"), true },
    [HTTP_IDEMPOTENCY_KEY] = { SPAN_INIT("Idempotency-Key"), true },
    [HTTP_IF_NONE_MATCH] = { SPAN_INIT("If-None-Match"), false },
    [HTTP_IF_RANGE] = { SPAN_INIT("If-Range"), false },
    [HTTP_LAST_EVENT_ID] = { SPAN_INIT("Last-Event-ID"), false },
    [HTTP_ORIGIN] = { SPAN_INIT("Origin"), true },
    [HTTP_RANGE] = { SPAN_INIT("Range"), false },
    [HTTP_TRANSFER_ENCODING] = { SPAN_INIT("Transfer-Encoding"), false },
    [HTTP_X_FORWARDED_FOR] = { SPAN_INIT("X-Forwarded-For"), false },
};

/* The known fields by the length of their names, one bit each. */
static const uint32_t KNOWN_BY_LENGTH[] = {
    [4] = 1 << HTTP_HOST,
    [5] = 1 << HTTP_RANGE,
    [6] = 1 << HTTP_COOKIE | 1 << HTTP_EXPECT | 1 << HTTP_ORIGIN,
    [8] = 1 << HTTP_IF_RANGE,
    [9] = 1 << HTTP_FORWARDED,
    [10] = 1 << HTTP_CONNECTION,
    [12] = 1 << HTTP_CONTENT_TYPE,
    [13] = 1 << HTTP_AUTHORIZATION | 1 << HTTP_IF_NONE_MATCH | 1 << HTTP_LAST_EVENT_ID,
    [14] = 1 << HTTP_CONTENT_LENGTH,
    [15] = 1 << HTTP_ACCEPT_ENCODING | 1 << HTTP_IDEMPOTENCY_KEY | 1 << HTTP_X_FORWARDED_FOR,
    [16] = 1 << HTTP_CONTENT_ENCODING,
    [17] = 1 << HTTP_TRANSFER_ENCODING,
};

/* Returns which known field this is, or HTTP_OTHER_FIELD. Looks only at the names of its length,
 * three at most, and compares it with one that begins with its letter. */
static unsigned find_known(struct span name)
{
    bool short_enough = name.len < sizeof KNOWN_BY_LENGTH / sizeof KNOWN_BY_LENGTH[0];
    for (unsigned left = short_enough ? KNOWN_BY_LENGTH[name.len] : 0; left > 0; left &= left - 1) {
        unsigned known = (unsigned)__builtin_ctz(left);
        struct span wanted = KNOWN_FIELDS[known].name;
        if ((name.at[0] | 0x20) == (wanted.at[0] | 0x20) && span_equal_nocase(name, wanted))
            return known;
    }
    return HTTP_OTHER_FIELD;
}

/* Checks a field line and, if a part of the server reads that field, keeps the place of its value.
 * All other fields are checked and dropped: a strict reader must not ignore a malformed line. */
static int keep_field(struct http_request *r, const char *bytes, struct span line)
{
    struct span name, value;
    if (!split_field(line, &name, &value))
        return -refusal_of_line(line);
    unsigned known = find_known(name);
    if (known == HTTP_OTHER_FIELD)
        return 1;
    if (KNOWN_FIELDS[known].once && http_has(r, (enum http_field)known))
        return -REFUSE_FIELD_REPEATED;
    r->known |= UINT32_C(1) << known;
    r->fields[r->field_count].name = (uint8_t)known;
    r->fields[r->field_count].value = part_of(value, bytes);
    r->field_count++;
    return 1;
}

/* Reads field lines until the empty line. `seen_fields` counts unknown fields too, so that a head
 * of a thousand tiny fields is refused although it is short enough. */
static int read_fields(struct http_request *r, const char *bytes, size_t limit)
{
    struct span line;
    int status;
    while ((status = next_line(r, bytes, limit, &line)) > 0 && line.len > 0) {
        if (++r->seen_fields > HTTP_FIELDS_MAX)
            return -REFUSE_FIELD_COUNT;
        status = keep_field(r, bytes, line);
        if (status < 0)
            return status;
    }
    return status;
}

/* ---- What the head means --------------------------------------------------------------------- */

/* Reads Host. Every HTTP/1.1 request must have exactly one, even with an absolute target that
 * overrides it (RFC 9112 3.2). Its value may be empty. */
static int read_host(struct http_request *r, const char *bytes)
{
    struct span host = http_find(r, HTTP_HOST, bytes);
    if (!http_has(r, HTTP_HOST))
        return r->http10 ? 1 : -REFUSE_HOST_MISSING;
    if (host.len > 0 && !uri_is_authority(host))
        return -REFUSE_HOST_VALUE;
    if (r->host.len == 0)
        r->host = part_of(host, bytes);
    return 1;
}

/* Reads Content-Length. Several values must be identical, byte for byte (RFC 9112 6.3, RFC 9110
 * 8.6): for "5, 05" a proxy and this server could disagree on where the next request begins. */
static int read_length(struct http_request *r, const char *bytes)
{
    struct http_list lengths = { .request = r, .bytes = bytes, .name = HTTP_CONTENT_LENGTH };
    struct span first = { NULL, 0 }, item;
    while (http_next_item(&lengths, &item)) {
        unsigned long long number;
        if (!span_number(item, INT64_MAX, &number))
            return -REFUSE_LENGTH_VALUE;
        if (first.at != NULL && !span_equal(item, first))
            return -REFUSE_LENGTH_REPEATED;
        first = item;
        r->content_length = number;
        r->has_length = true;
    }
    return 1;
}

/* Reads Transfer-Encoding. The last coding must be chunked, otherwise the end of the body is
 * unknown. Empty items are refused, as in no other list, because two readers could count them
 * differently. A Content-Length beside it is the classic way to smuggle a request, and is refused
 * (RFC 9112 6.1). Chunked has no parameters and may appear only once (7.1). Other codings are
 * recognized but not implemented: 501. */
static int read_transfer_coding(struct http_request *r, const char *bytes)
{
    struct http_list codings = { .request = r, .bytes = bytes, .name = HTTP_TRANSFER_ENCODING };
    struct span item;
    bool others = false;
    if (!http_has(r, HTTP_TRANSFER_ENCODING))
        return 1;
    if (r->http10 || r->has_length)
        return r->http10 ? -REFUSE_CODING_VERSION : -REFUSE_CODING_LENGTH;
    while (http_next_item(&codings, &item)) {
        struct span coding = words_take_token(&item);
        struct span parameters = span_trim(item);
        if (coding.len == 0 || (parameters.len > 0 && parameters.at[0] != ';') || r->chunked)
            return -REFUSE_CODING_ORDER;
        r->chunked = span_equal_nocase(coding, SPAN("chunked"));
        if (r->chunked && parameters.len > 0)
            return -REFUSE_CODING_ORDER;
        others |= !r->chunked;
    }
    r->has_length = true;
    if (!r->chunked)
        return -REFUSE_CODING_ORDER;
    return others ? -REFUSE_CODING_UNKNOWN : 1;
}

/* Decides whether the connection may carry another request (RFC 9112 9.3): `close` overrides
 * `keep-alive`; without either, HTTP/1.1 keeps the connection and HTTP/1.0 closes it. */
static void read_connection(struct http_request *r, const char *bytes)
{
    struct http_list options = { .request = r, .bytes = bytes, .name = HTTP_CONNECTION };
    struct span option;
    bool close = false, keep_alive = !r->http10;
    while (http_next_item(&options, &option)) {
        close |= span_equal_nocase(option, SPAN("close"));
        keep_alive |= span_equal_nocase(option, SPAN("keep-alive"));
    }
    r->keep_alive = keep_alive && !close;
}

/* Reads Expect: the client waits for "100 Continue" before it sends the body (RFC 9110 10.1.1). The
 * expectation is ignored in HTTP/1.0 and without a body; an empty item is none (5.6.1.2). */
static int read_expect(struct http_request *r, const char *bytes)
{
    struct http_list expectations = { .request = r, .bytes = bytes, .name = HTTP_EXPECT };
    struct span item;
    while (!r->http10 && http_next_item(&expectations, &item)) {
        if (item.len > 0 && !span_equal_nocase(item, SPAN("100-continue")))
            return -REFUSE_EXPECTATION;
        r->expects_continue |= item.len > 0 && http_has_body(r);
    }
    return 1;
}

/* Finds out what the fields of a complete head mean together. The size check comes last, so that a
 * request with an unclear body is refused for that reason, whatever length it claims. The
 * body of a GET or HEAD has no meaning (RFC 9110 9.3.1), so it may have no bytes: proxies that
 * translate HTTP/2 send such a chunked body. */
static int finish_head(struct http_request *r, const char *bytes)
{
    int status = read_host(r, bytes);
    if (status > 0)
        status = read_length(r, bytes);
    if (status > 0)
        status = read_transfer_coding(r, bytes);
    if (status > 0)
        status = read_expect(r, bytes);
    if (status < 0)
        return status;
    read_connection(r, bytes);
    if (r->method == HTTP_GET || r->method == HTTP_HEAD)
        r->max_body = 0;
    if (r->content_length > r->max_body)
        return r->max_body > 0 ? -REFUSE_BODY_LENGTH : -REFUSE_BODY_UNEXPECTED;
    r->body_start = r->position;
    r->state = r->chunked ? CHUNK_LINE : BODY;
    return (int)r->body_start;
}

void http_start(struct http_request *r, size_t max_body)
{
    memset(r, 0, offsetof(struct http_request, fields)); /* `field_count` says which are valid. */
    r->max_body = max_body < BODY_MAX_BYTES ? max_body : BODY_MAX_BYTES;
}

/* Shows each step only the bytes within the limit, instead of checking the length afterwards. If a
 * step needs more bytes at the limit, the head is too long. */
int http_parse_head(struct http_request *r, const char *bytes, size_t len)
{
    must(r->state <= FIELDS && r->scanned <= len);
    size_t limit = len < HTTP_HEAD_MAX_BYTES ? len : HTTP_HEAD_MAX_BYTES;
    int status = read_request_line(r, bytes, limit);
    if (status > 0)
        status = read_fields(r, bytes, limit);
    r->has_head = status > 0;
    if (status > 0)
        return finish_head(r, bytes);
    return status == 0 && limit == HTTP_HEAD_MAX_BYTES ? -REFUSE_HEAD_LENGTH : status;
}

/* ---- The body (RFC 9112 6, 7.1) --------------------------------------------------------------
 *
 * A chunked body is decoded in place. Meanwhile `position` runs ahead of the end of the decoded
 * bytes; the gap between the two contains framing that has been read. The gap is closed once per
 * call, so that many small chunks in one buffer cost one move of the remaining bytes, not many.
 *
 *     0        body_start          decoded end      position          *len
 *     |  head      |  decoded body      |  used framing  |  unread       |
 *                  |<---- body_len ---->|<---- gap ----->|
 *
 * After each call the gap is empty: the unread bytes follow the decoded body. */

/* Reads a chunk line. It must be short, and all extensions of one body together must not be longer
 * than a head may be; otherwise a client could make the server read a megabyte for each byte of its
 * body. The size is compared with the remaining space, by a subtraction that cannot overflow. */
static int read_chunk_line(struct http_request *r, const char *bytes, size_t len)
{
    struct span line;
    size_t full = r->position + CHUNK_LINE_MAX_BYTES, limit = len < full ? len : full;
    int status = next_line(r, bytes, limit, &line);
    if (status <= 0)
        return status == 0 && limit == full ? -REFUSE_CHUNK_LINE : status;
    uint64_t size = 0;
    size_t digits = 0;
    while (digits < line.len && digits < CHUNK_DIGITS_MAX && scan_hex(line.at[digits]) >= 0)
        size = size << 4 | (unsigned)scan_hex(line.at[digits++]);
    struct span extension = span_skip(line, digits);
    r->overhead += (uint32_t)extension.len;
    if (digits == 0 || !words_are_parameters(extension))
        return -REFUSE_CHUNK_SIZE;
    if (r->overhead > HTTP_HEAD_MAX_BYTES)
        return -REFUSE_TRAILER_LENGTH;
    if (size > r->max_body - r->body_len)
        return r->max_body > 0 ? -REFUSE_BODY_LENGTH : -REFUSE_BODY_UNEXPECTED;
    r->chunk_left = size;
    r->state = size > 0 ? CHUNK_DATA : TRAILERS;
    return 1;
}

/* Appends to the decoded body the bytes of the chunk that have arrived. The two places overlap if
 * the framing between them is short. */
static int move_chunk_data(struct http_request *r, char *bytes, size_t len)
{
    size_t n = len - r->position < r->chunk_left ? len - r->position : (size_t)r->chunk_left;
    memmove(bytes + r->body_start + r->body_len, bytes + r->position, n);
    r->body_len += n;
    r->chunk_left -= n;
    r->scanned = r->position += n;
    if (r->chunk_left > 0)
        return 0;
    r->state = CHUNK_END;
    return 1;
}

/* Reads the CRLF after a chunk. Anything else means that the two sides disagree on its length. */
static int read_chunk_end(struct http_request *r, const char *bytes, size_t len)
{
    for (; r->scanned < r->position + 2; r->scanned++) {
        if (r->scanned == len)
            return 0;
        if (bytes[r->scanned] != "\r\n"[r->scanned - r->position])
            return -REFUSE_CHUNK_END;
    }
    r->position = r->scanned;
    r->state = CHUNK_LINE;
    return 1;
}

/* Reads one trailer line, which is checked and dropped (RFC 9112 7.1.2), or the empty line that
 * ends the request. Trailers count towards the head's limits for fields and bytes. */
static int read_trailer(struct http_request *r, const char *bytes, size_t len)
{
    struct span line, name, value;
    size_t full = r->position + HTTP_HEAD_MAX_BYTES - r->overhead;
    size_t limit = len < full ? len : full;
    int status = next_line(r, bytes, limit, &line);
    if (status <= 0)
        return status == 0 && limit == full ? -REFUSE_TRAILER_LENGTH : status;
    if (line.len == 0) {
        r->state = DONE;
        return 1;
    }
    r->overhead += (uint32_t)line.len + 2;
    if (++r->seen_fields > HTTP_FIELDS_MAX)
        return -REFUSE_FIELD_COUNT;
    return split_field(line, &name, &value) ? 1 : -refusal_of_line(line);
}

static int read_chunked(struct http_request *r, char *bytes, size_t len)
{
    switch (r->state) {
    case CHUNK_LINE:
        return read_chunk_line(r, bytes, len);
    case CHUNK_DATA:
        return move_chunk_data(r, bytes, len);
    case CHUNK_END:
        return read_chunk_end(r, bytes, len);
    default:
        must(r->state == TRAILERS);
        return read_trailer(r, bytes, len);
    }
}

/* Moves the unread bytes up to the end of the decoded body. */
static void close_gap(struct http_request *r, char *bytes, size_t *len)
{
    size_t end = r->body_start + r->body_len, gap = r->position - end;
    if (gap > 0)
        memmove(bytes + end, bytes + r->position, *len - r->position);
    r->position -= gap;
    r->scanned -= gap;
    *len -= gap;
}

/* Decodes a chunked body. A body with a length needs no work: it is complete when its bytes have
 * arrived. Afterwards both kinds look the same to the caller: `body_start` and `body_len`. */
int http_parse_body(struct http_request *r, char *bytes, size_t *len)
{
    must(r->state >= BODY && r->state < DONE && r->scanned <= *len);
    if (!r->chunked) {
        if (*len - r->body_start < r->content_length)
            return 0;
        r->body_len = (size_t)r->content_length;
        r->state = DONE;
    }
    while (r->state != DONE) {
        int status = read_chunked(r, bytes, *len);
        if (status < 0)
            return status;
        if (status == 0)
            break;
    }
    if (r->chunked)
        close_gap(r, bytes, len);
    if (r->state != DONE)
        return 0;
    r->content_length = r->body_len;
    return (int)(r->body_start + r->body_len);
}

/* Makes one chunk of the decoded bytes and the bytes that the current chunk still lacks: the new
 * chunk line announces both. Trailers that were read are lost, but the last chunk's line is written
 * again, because the next parser must be in the state that comes after it. */
void http_write_back(
    const struct http_request *r, const char *bytes, size_t len, struct buffer *out)
{
    uint64_t size = r->body_len + r->chunk_left;
    size_t done = r->state > BODY ? r->body_start : 0;
    buffer_add(out, (struct span) { bytes, done });
    if (size > 0) {
        buffer_printf(out, "%llx\r\n", (unsigned long long)size);
        buffer_add(out, (struct span) { bytes + done, r->body_len });
        done += r->body_len;
        if (r->state == CHUNK_LINE || r->state == TRAILERS)
            buffer_add(out, SPAN("\r\n"));
    }
    if (r->state == TRAILERS)
        buffer_add(out, SPAN("0\r\n"));
    buffer_add(out, (struct span) { bytes + done, len - done });
}
