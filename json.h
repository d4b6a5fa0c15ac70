/* json.h - finds, checks and decodes the fields of one JSON object; escapes text (RFC 8259).
 *
 * No tree is built and nothing is allocated. One pass checks the whole document and notes where the
 * values of the wanted fields begin and end; the caller then decodes those that it needs. */

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
    struct span name;    /* What to look for among the members of the outermost object. */
    enum json_type type; /* JSON_ABSENT if the field is missing. */
    struct span raw;     /* The value as it is in the document; a string includes its quotes. */
};

/* Checks that `text` is one JSON object from its first byte to its last: UTF-8 without a byte order
 * mark, RFC 8259's grammar, at most JSON_DEPTH_MAX levels, no lone surrogate in any string. Fills
 * in `fields`; names are compared after decoding ("ro\u006fm" is room). A wanted field that is
 * given twice is an error. Returns NULL or an error message, which is a constant and contains
 * nothing from the text; after an error, `fields` are undefined. */
const char *json_find(struct span text, struct json_field *fields, size_t count);

/* Decodes to UTF-8 a string that json_find accepted, given with its quotes. `out` needs room for
 * raw.len bytes and may be raw.at or raw.at + 1, because a decoded string is never longer; with
 * raw.at + 1 a string without escapes is not moved. Returns the length. */
size_t json_decode(struct span raw, char *out);

/* Compacts a value that json_find accepted to one line, without the white space between its tokens.
 * `out` needs room for raw.len bytes and may be raw.at. Returns the length. */
size_t json_compact(struct span raw, char *out);

/* Copies such a line, with U+0085, U+2028 and U+2029 escaped, because these end a line for some
 * readers. `out` needs room for JSON_LINE_MAX(json.len) bytes. Returns the length. */
#define JSON_LINE_MAX(len) (3 * (len))
size_t json_line(struct span json, char *out);

/* Gets the next string of an array that json_find accepted: `*rest` starts as the array's raw text.
 * Returns 1 and the string's raw text, 0 at the end, -1 if an element is not a string. */
int json_next_string(struct span *rest, struct span *raw);

/* Write `text`, which is UTF-8, as a JSON string, in which U+0085, U+2028 and U+2029 are escaped,
 * too. json_escape_inside writes no quotes; json_string_add appends to a buffer. `out` needs room
 * for JSON_ESCAPED_MAX(text.len) bytes; the first two return the length. */
#define JSON_ESCAPED_MAX(len) (6 * (len) + 2)
size_t json_escape(struct span text, char *out);
size_t json_escape_inside(struct span text, char *out);
void json_string_add(struct buffer *out, struct span text);

#endif
