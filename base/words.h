/* words.h - the words that the values of HTTP's fields are made of (RFC 9110 5.5, 5.6). */

#ifndef WORDS_H
#define WORDS_H

#include "base/bytes.h"

/* 5.6.2: letters, digits, and !#$%&'*+-.^_`|~. */
bool words_is_token_char(char c);

/* Whether a field's value may hold this: no control byte but the tab. Bytes from 0x80 on are opaque
 * (5.5). */
bool words_are_text(struct span s);

/* Takes the longest token from the front; it may be empty. */
struct span words_take_token(struct span *rest);

/* *( BWS ";" BWS name [ BWS "=" BWS value ] ): the extensions of a chunk (RFC 9112 7.1.1), each
 * value a token or a quoted string. */
bool words_are_parameters(struct span s);

#endif
