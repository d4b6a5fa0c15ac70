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

/* What a character does in a line of text. Each has one class: the first one after TEXT_VISIBLE
 * that fits. */
enum text_class {
    TEXT_VISIBLE,   /* none of the others */
    TEXT_CONTROL,   /* C0, DEL and C1, also those that are white space */
    TEXT_SEPARATOR, /* U+2028 and U+2029 */
    TEXT_BIDI,      /* Unicode's Bidi_Control: can show its neighbours in another order */
    TEXT_SPACE,     /* other white space */
    TEXT_JOINER,    /* U+200C and U+200D: change how the characters beside them look */
    TEXT_SELECTOR,  /* variation selectors: change how the character before them looks */
    TEXT_INVISIBLE, /* Unicode's Default_Ignorable_Code_Point, and what is drawn blank */
    TEXT_CLASSES
};

/* Returns the class of a character, which must not be negative. */
enum text_class text_class(int32_t character);

/* Returns whether a character is C0, DEL or C1. A negative result of text_next counts as a control,
 * so check for that first. */
static inline bool text_is_control(int32_t character)
{
    return character < 0x20 || (character >= 0x7f && character <= 0x9f);
}

/* Returns whether a character has Unicode's White_Space property. */
bool text_is_space(int32_t character);

/* Returns whether at least one character is visible. Stops at the first, or at what is no UTF-8. */
bool text_is_visible(struct span text);

/* Returns how many bytes at the front of `rest`, which follows U+1F3F4 (a black flag), turn that
 * into the flag of England, Scotland or Wales; 0 if none do. */
enum { TEXT_BLACK_FLAG = 0x1f3f4 };
size_t text_flag(struct span rest);

/* Returns the span without the white space at its ends. `text` must be valid UTF-8. */
struct span text_trim(struct span text);

/* Returns the number of characters. `text` must be valid UTF-8. */
size_t text_length(struct span text);

/* Writes `data` in Base64 (RFC 4648 4, padded) into `out`, which has room for
 * TEXT_BASE64_BYTES(data.len) and must not overlap `data`. Returns the length. */
#define TEXT_BASE64_BYTES(len) (((len) + 2) / 3 * 4)
size_t text_base64(struct span data, char *out);

#endif
