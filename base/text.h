/* text.h - UTF-8 (RFC 3629), the character classes for message fields, and Base64. A character here
 * is a Unicode code point. */

#ifndef TEXT_H
#define TEXT_H

#include "base/bytes.h"

#include <stdint.h>

/* Takes one character from the front of `*rest`. Returns its code point, -1 if the bytes are not
 * UTF-8 (cut off, overlong, a surrogate, over U+10FFFF), or -2 at the end. In the last two cases
 * `*rest` stays as it was. */
int32_t text_next(struct span *rest);

/* Marks the bytes of a word that are not plain (see text_plain) by their highest bits. Only the
 * lowest mark is exact: it can cause others. 0 means that all eight are plain.
 *
 * This is SWAR, as in bytes.c. The highest bit of a byte is set in `word` itself if the byte is not
 * ASCII, by adding 1 if it is DEL, and by a subtraction if it is less than the subtracted value.
 * XOR turns a wanted byte into 0, which is less than 1. Carries and borrows go up only, and come
 * only from marked bytes, so everything up to the first mark is right. */
static inline uint64_t text_marks(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101, highs = ones << 7;
    uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');
    uint64_t found = word | (word + ones) | (word - ones * ' ') | (quote - ones) | (slash - ones);
    return found & highs;
}

/* Returns the number of bytes at the front that are printable ASCII other than '"' and '\\'. Most
 * texts contain little else, and these bytes need neither a UTF-8 check nor a JSON escape. */
size_t text_plain(struct span text);

/* Returns whether a character is C0, DEL, C1, U+2028, U+2029, or one of the bidirectional
 * embeddings, overrides and isolates, which can make a line look like another one (U+202A to
 * U+202E, U+2066 to U+2069). */
bool text_is_control(int32_t character);

/* Returns whether a character has Unicode's White_Space property. */
bool text_is_space(int32_t character);

/* Returns the span without the white space at its ends. `text` must be valid UTF-8. */
struct span text_trim(struct span text);

/* Returns the number of characters. `text` must be valid UTF-8. */
size_t text_length(struct span text);

/* Writes `data` in Base64 (RFC 4648 4, padded) into `out`, which has room for
 * TEXT_BASE64_BYTES(data.len) and must not overlap `data`. Returns the length. */
#define TEXT_BASE64_BYTES(len) (((len) + 2) / 3 * 4)
size_t text_base64(struct span data, char *out);

#endif
