/* json.h - finds, checks and decodes the fields of one JSON object; escapes text (RFC 8259).
 *
 * No tree is built and nothing is allocated: one pass checks the whole document and notes where the
 * values of the fields asked for begin and end; the caller then decodes those it wants. */

#ifndef JSON_H
#define JSON_H

#include "base/bytes.h"

enum { JSON_DEPTH_MAX = 64 };

enum json_type {
    JSON_ABSENT,
    JSON_NULL,
    JSON_BOOLEAN,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json_field {
    struct span name;    /* what to look for among the members of the outermost object */
    enum json_type type; /* JSON_ABSENT when it is not there */
    struct span raw;     /* the value as it stands in the document; a string with its quotes */
};

/* Checks that `text` is one JSON object from its first byte to its last: UTF-8 without a byte order
 * mark, RFC 8259's grammar, at most JSON_DEPTH_MAX levels, no lone surrogate in any string; and
 * fills in `fields`. Names are compared decoded ("ro\u006fm" is room). Returns NULL, or a sentence
 * that tells what is wrong (a constant, nothing of the text in it): also when a field asked for is
 * given twice. Then `fields` hold nothing to rely on. */
const char *json_find(struct span text, struct json_field *fields, size_t count);

/* Decodes a string that json_find accepted (with its quotes) to UTF-8. `out` has room for raw.len
 * bytes and may be the same place; what it says is never longer than how it was written. Returns
 * the length. */
size_t json_decode(struct span raw, char *out);

/* Copies a value that json_find accepted without the white space between its tokens, so that it is
 * one line. `out` has room for raw.len bytes. Returns the length. */
size_t json_compact(struct span raw, char *out);

/* Walks over the strings of an array that json_find accepted: `*rest` starts as its raw text.
 * Returns 1 and the string's raw text, 0 at the end, -1 when an element is no string. */
int json_next_string(struct span *rest, struct span *raw);

/* Writes `text`, which is UTF-8, as a JSON string with its quotes. `out` has room for
 * JSON_ESCAPED_MAX(text.len) bytes. Returns the length. */
#define JSON_ESCAPED_MAX(len) (6 * (len) + 2)
size_t json_escape(struct span text, char *out);

/* `text`, which is UTF-8, as a JSON string with its quotes: json_escape into a buffer. */
void json_string_add(struct buffer *out, struct span text);

#endif
