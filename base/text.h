/* text.h - what the fields of a message may hold: UTF-8 (RFC 3629), characters, white space. */

#ifndef TEXT_H
#define TEXT_H

#include "base/bytes.h"

#include <stdint.h>

/* Takes one character from the front of `*rest`. Returns its code point, or -1 when the bytes are
 * not UTF-8 (cut off, overlong, a surrogate, over U+10FFFF) and -2 at the end; then `*rest` stays
 * as it was. */
int32_t text_next(struct span *rest);

/* How many bytes at the front are printable ASCII other than '"' and '\\': most of most texts,
 * which needs no further look at each of them. */
size_t text_plain(struct span text);

/* C0, DEL, C1, U+2028 and U+2029, and the bidirectional embeddings, overrides and isolates, which
 * can make a line look like another (U+202A to U+202E, U+2066 to U+2069). */
bool text_is_control(int32_t character);

/* Unicode's White_Space property. */
bool text_is_space(int32_t character);

/* The span without the white space at its ends. It must be UTF-8. */
struct span text_trim(struct span text);

/* How many characters; it must be UTF-8. */
size_t text_length(struct span text);

/* Writes the Base64 form (RFC 4648 4, padded) of `data` into `out`, which has room for
 * TEXT_BASE64_BYTES(data.len). Returns the length. */
#define TEXT_BASE64_BYTES(len) (((len) + 2) / 3 * 4)
size_t text_base64(struct span data, char *out);

#endif
