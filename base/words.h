/* words.h - the lexical elements of HTTP's field values: tokens, quoted strings, parameters (RFC
 * 9110 5.5 and 5.6). */

#ifndef WORDS_H
#define WORDS_H

#include "base/bytes.h"

/* What a character can be part of. Characters are looked up in a table, not with <ctype.h>, because
 * a locale must not decide what is valid HTTP, and because a lookup is faster than comparisons. */
enum words_class {
    WORDS_TOKEN = 1,  /* a token (5.6.2): a letter, a digit, or one of !#$%&'*+-.^_`|~ */
    WORDS_TARGET = 2, /* a request target (RFC 9112 3.2): visible ASCII without '#' */
    WORDS_HOST = 4,   /* a registered name (RFC 3986 3.2.2), apart from percent triplets */
};

extern const uint8_t words_classes[256];

static inline bool words_is(enum words_class class, char c)
{
    return (words_classes[(unsigned char)c] & class) != 0;
}

/* Returns the number of characters of this class at the front of `s`. Inline, so that the class is
 * a constant in the loop. */
static inline size_t words_count(enum words_class class, struct span s)
{
    size_t len = 0;
    while (len < s.len && words_is(class, s.at[len]))
        len++;
    return len;
}

/* Returns whether `s` is valid as a field's value: no control byte except the tab. Bytes from 0x80
 * on are opaque and allowed (5.5). */
bool words_are_text(struct span s);

/* Takes the longest token off the front of `*rest`. The token may be empty. */
struct span words_take_token(struct span *rest);

/* Returns whether all of `s` is *( BWS ";" BWS name [ BWS "=" BWS value ] ), each value a token or
 * a quoted string: the extensions of a chunk (RFC 9112 7.1.1). `s` may be empty. */
bool words_are_parameters(struct span s);

#endif
