/* http.h - bytes to requests (RFC 9110, RFC 9112).
 *
 * The parser works in the caller's buffer: it copies nothing, allocates nothing, and looks at each
 * byte once, however small the pieces in which the bytes arrive. It records its findings as offsets
 * into that buffer (struct http_part), because the buffer can move when it grows. */

#ifndef HTTP_H
#define HTTP_H

#include "base/bytes.h"
#include "base/refusal.h"

#include <stdint.h>

enum {
    HTTP_HEAD_MAX_BYTES = 16384,  /* Request line and fields; 431 if longer. */
    HTTP_TARGET_MAX_BYTES = 8000, /* The minimum that RFC 9112 3 recommends; 414 if longer. */
    HTTP_FIELDS_MAX = 100,        /* 431 if there are more. */
};

/* HTTP_KNOWN_METHOD is a method of RFC 9110 or RFC 5789 that no path of this server supports (PUT,
 * DELETE, CONNECT, TRACE, PATCH): 405. HTTP_UNKNOWN_METHOD is any other token: 501. */
enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_OPTIONS,
    HTTP_KNOWN_METHOD,
    HTTP_UNKNOWN_METHOD
};

/* A part of the head: `len` bytes from `start`. */
struct http_part {
    uint16_t start, len;
};

struct http_request {
    enum http_method method;
    bool http10;           /* HTTP/1.0: no chunks; no keep-alive unless asked for. */
    bool keep_alive;       /* The connection may carry another request (RFC 9112 9.3). */
    bool expects_continue; /* Expect: 100-continue, from a 1.1 client with a body to send. */
    bool has_length; /* Content-Length or Transfer-Encoding was given; else a POST gets 411. */
    bool chunked;
    bool asterisk;           /* The target is "*" (OPTIONS only) and has no path. */
    bool has_head;           /* All fields were read: a refusal can use them, too. */
    bool authority_form;     /* The target is "host:port" (CONNECT only) and has no path. */
    struct http_part path;   /* As sent, still percent-encoded; begins with '/' (*). */
    struct http_part query;  /* As sent, without the '?'; empty if there is none. */
    struct http_part host;   /* The target's authority, otherwise Host; can be empty. */
    uint64_t content_length; /* 0 for a chunked body until it has been read. */

    /* The body, once http_parse_body has returned > 0. */
    size_t body_start, body_len;

    /* The parser's own state. */
    size_t max_body, position, scanned;
    uint64_t chunk_left;
    uint32_t overhead;
    uint8_t state, seen_fields;

    /* The known fields, in the order of arrival. */
    uint8_t field_count;
    uint32_t known; /* One bit for each enum http_field that is among them. */
    struct {
        struct http_part value;
        uint8_t name; /* enum http_field */
    } fields[HTTP_FIELDS_MAX];
};

/* (*) "http://host" has no path, which means "/" (RFC 9110 4.2.3). `path` is then the second slash
 * of that "//". */

/* Prepares `r` for a new request with a body of at most `max_body` bytes (or 1 GiB if that is less,
 * so that every offset in a request fits in an int). */
void http_start(struct http_request *r, size_t max_body);

/* Reads the request line and the fields from the `len` bytes that have arrived. The caller passes
 * the whole buffer each time, from the request's first byte, with more bytes at its end.
 * Returns > 0 if the head is complete: its length, which is where the body begins. Returns 0 if
 * more bytes are needed. Returns < 0 if the request is refused: the negated enum refuse. The
 * caller answers with that refusal and closes the connection. A few empty lines before
 * the request line are skipped (RFC 9112 2.2). The result depends only on the bytes, not on how
 * they were split. */
int http_parse_head(struct http_request *r, const char *bytes, size_t len);

/* Reads the body after a complete head; the caller again passes the whole buffer. A chunked body is
 * decoded in place: its chunks are joined, and the bytes after them move up. `*len` shrinks by the
 * size of the chunk lines and trailers.
 * Returns > 0 if the request is complete: the offset at which the next request begins. Returns 0 if
 * more bytes are needed. Returns < 0 if the request is refused, as above; then the contents of the
 * buffer after the head are undefined. */
int http_parse_body(struct http_request *r, char *bytes, size_t *len);

/* Writes the buffer of an unfinished request to `out` in a form that a new parser can read without
 * the state of this one: the decoded part of a chunked body gets its chunk line back. It is meant
 * for handing half-read requests to another process; so far only the tests call it. */
void http_write_back(
    const struct http_request *r, const char *bytes, size_t len, struct buffer *out);

/* ---- Reading what was found ---- */

/* The fields that the server reads. Others are checked for syntax, counted and dropped. */
enum http_field {
    HTTP_ACCEPT_ENCODING,
    HTTP_AUTHORIZATION,
    HTTP_CONNECTION,
    HTTP_CONTENT_ENCODING,
    HTTP_CONTENT_LENGTH,
    HTTP_CONTENT_TYPE,
    HTTP_COOKIE,
    HTTP_EXPECT,
    HTTP_FORWARDED,
    HTTP_HOST,
    HTTP_IDEMPOTENCY_KEY,
    HTTP_IF_NONE_MATCH,
    HTTP_IF_RANGE,
    HTTP_LAST_EVENT_ID,
    HTTP_ORIGIN,
    HTTP_RANGE,
    HTTP_TRANSFER_ENCODING,
    HTTP_X_FORWARDED_FOR,
    HTTP_OTHER_FIELD
};

/* Returns whether the head announces a body. */
static inline bool http_has_body(const struct http_request *r)
{
    return r->chunked || r->content_length > 0;
}

static inline struct span http_span(struct http_part part, const char *bytes)
{
    return (struct span) { bytes + part.start, part.len };
}

/* Returns whether the request has a field `name`. */
static inline bool http_has(const struct http_request *r, enum http_field name)
{
    return r->known >> name & 1;
}

/* Gets the next field `name`; `*cursor` starts at 0. Returns false at the end. */
static inline bool http_next(const struct http_request *r, enum http_field name, const char *bytes,
    unsigned *cursor, struct span *value)
{
    unsigned i = *cursor;
    while (i < r->field_count && r->fields[i].name != name)
        i++;
    *cursor = i + 1;
    if (i >= r->field_count)
        return false;
    *value = http_span(r->fields[i].value, bytes);
    return true;
}

/* Returns the value of the first field `name`, or a span with `at` NULL if the request has none.
 * The parser has refused any request that repeats a field that is not a list (RFC 9110 5.3). */
struct span http_find(const struct http_request *r, enum http_field name, const char *bytes);

/* A walk over the items of a list field, which can be split over several fields of the same name
 * (RFC 9110 5.3). To start, set the first three members; `cursor` and `rest` are 0. */
struct http_list {
    const struct http_request *request;
    const char *bytes;
    enum http_field name;
    unsigned cursor;
    struct span rest; /* What is left of the current field; `at` is NULL before the first field and
                       * at the end of each one. */
};

/* Gets the next item, trimmed of white space; it can be empty. Returns false at the end. */
bool http_next_item(struct http_list *list, struct span *item);

#endif
