/* http.h - bytes to requests (RFC 9110, RFC 9112).
 *
 * The parser reads where the bytes lie: it copies nothing, allocates nothing, and looks at each
 * byte once, however small the pieces are in which they arrive. What it finds it keeps as places in
 * the caller's buffer (struct http_part), because that buffer may move when it grows. */

#ifndef HTTP_H
#define HTTP_H

#include "base/bytes.h"

#include <stdint.h>

enum {
    HTTP_HEAD_MAX_BYTES = 16384, /* request line and fields; over it 431 */
    HTTP_TARGET_MAX_BYTES = 8000,
    HTTP_FIELDS_MAX = 100,
};

/* HTTP_KNOWN_METHOD is a method of RFC 9110 or RFC 5789 that no path here takes (PUT, DELETE,
 * CONNECT, TRACE, PATCH): 405. HTTP_UNKNOWN_METHOD is any other token: 501. */
enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_OPTIONS,
    HTTP_KNOWN_METHOD,
    HTTP_UNKNOWN_METHOD
};

/* The fields that this server, or one that grows out of it, reads; all others are checked for
 * syntax, counted and forgotten. */
enum http_field {
    HTTP_ACCEPT_ENCODING,
    HTTP_AUTHORIZATION,
    HTTP_CONNECTION,
    HTTP_CONTENT_LENGTH,
    HTTP_CONTENT_TYPE,
    HTTP_COOKIE,
    HTTP_EXPECT,
    HTTP_FORWARDED,
    HTTP_HOST,
    HTTP_IDEMPOTENCY_KEY,
    HTTP_IF_NONE_MATCH,
    HTTP_LAST_EVENT_ID,
    HTTP_ORIGIN,
    HTTP_TRANSFER_ENCODING,
    HTTP_X_FORWARDED_FOR,
    HTTP_OTHER_FIELD
};

struct http_part {
    uint16_t start, len;
};

struct http_request {
    enum http_method method;
    bool http10;           /* HTTP/1.0: no chunks, and closed after the answer unless it asks */
    bool keep_alive;       /* the connection may carry another request (RFC 9112 9.3) */
    bool expects_continue; /* Expect: 100-continue, from a 1.1 client that has a body to send */
    bool has_length;       /* Content-Length or Transfer-Encoding was given: else POST is 411 */
    bool chunked;
    bool asterisk;           /* the target is "*" (OPTIONS only): no path */
    bool authority_form;     /* the target is "host:port" (CONNECT only): no path */
    struct http_part path;   /* as sent, still percent-encoded, begins with '/' (*) */
    struct http_part query;  /* as sent, without the '?'; empty when there is none */
    struct http_part host;   /* the authority: that of the target, else Host; may be empty */
    uint64_t content_length; /* 0 for a chunked body until it has been read */

    /* The body, once http_parse_body has returned > 0. */
    size_t body_start, body_len;

    /* Where the parser stands; nobody else's business. */
    size_t max_body, position, scanned;
    uint64_t chunk_left;
    uint32_t overhead;
    uint8_t state, seen_fields;

    /* The known fields in the order they came. */
    uint8_t field_count;
    struct {
        struct http_part value;
        uint8_t name; /* enum http_field */
    } fields[HTTP_FIELDS_MAX];
};

/* (*) "http://host" has no path, which means "/" (RFC 9110 4.2.3). A path is a part of the buffer
 * all the same: it is then the second slash of that "//", and nobody else needs to know. */

/* Makes `r` ready for a new request whose body may have `max_body` bytes (1 GiB at most: more is
 * taken as that, so that every place in a request fits an int). */
void http_start(struct http_request *r, size_t max_body);

/* Reads the request line and the fields from `bytes`, of which `len` are there: the whole buffer
 * each time, from the first byte of the request on, with more at its end than before.
 * Returns > 0 when the head is complete: its length, the body begins there; 0 when more is needed;
 * < 0 the negated status to answer before closing: 400 (syntax, or framing that two readers could
 * understand differently), 413 (Content-Length over max_body), 414, 417 (an expectation other than
 * 100-continue), 431, 501 (a transfer coding other than chunked), 505. A few empty lines before the
 * request line are skipped (RFC 9112 2.2). The answer depends on the bytes alone, never on the
 * pieces in which they came. */
int http_parse_head(struct http_request *r, const char *bytes, size_t len);

/* Reads the body behind a complete head; again the whole buffer. A chunked body is decoded where it
 * lies: its chunks are moved together, the bytes after them are moved up behind them, and `*len`
 * shrinks by what the chunk lines and trailers took.
 * Returns > 0 when the request is complete: where in the buffer the next one begins; 0 when more is
 * needed; < 0 the negated status: 400, 413 (over max_body, as soon as a chunk line says so), 431
 * (trailers and chunk extensions together are over the head's limits); what is in the buffer after
 * a refusal is of no use. */
int http_parse_body(struct http_request *r, char *bytes, size_t *len);

/* Writes the buffer of an unfinished request to `out` in a form that a new parser, which knows
 * nothing of this one, can start from: the part of a chunked body that was already decoded gets its
 * chunk line back. An upgrade hands half-read requests over in this way. */
void http_write_back(
    const struct http_request *r, const char *bytes, size_t len, struct buffer *out);

/* Whether the head announces a body. */
static inline bool http_has_body(const struct http_request *r)
{
    return r->chunked || r->content_length > 0;
}

static inline struct span http_span(struct http_part part, const char *bytes)
{
    return (struct span) { bytes + part.start, part.len };
}

/* Walks over all fields `name`: `*cursor` starts at 0. False at the end. */
static inline bool http_next(const struct http_request *r, enum http_field name, const char *bytes,
    unsigned *cursor, struct span *value)
{
    while (*cursor < r->field_count) {
        unsigned i = (*cursor)++;
        if (r->fields[i].name == name) {
            *value = http_span(r->fields[i].value, bytes);
            return true;
        }
    }
    return false;
}

/* The value of the first field `name`, or a span with `at` NULL when the request has none. The
 * fields that may come once only (RFC 9110 5.3: those that are no lists) were refused if doubled.
 */
static inline struct span http_find(
    const struct http_request *r, enum http_field name, const char *bytes)
{
    struct span value = { NULL, 0 };
    http_next(r, name, bytes, &(unsigned) { 0 }, &value);
    return value;
}

/* The items of a list field: it may be cut over several fields of one name, and means the same as
 * if it were not (RFC 9110 5.3). To start, set the first three; `cursor` and `rest` are 0. */
struct http_list {
    const struct http_request *request;
    const char *bytes;
    enum http_field name;
    unsigned cursor;
    struct span rest; /* of the present field; `at` is NULL before the first and between two */
};

/* The next item, without the white space around it; it may be empty. False at the end. */
bool http_next_item(struct http_list *list, struct span *item);

#endif
