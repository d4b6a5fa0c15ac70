/* words.h - the lexical elements of HTTP's field values: tokens, quoted strings, parameters (RFC
 * 9110 5.5 and 5.6). */

#ifndef WORDS_H
#define WORDS_H

#include "base/bytes.h"

/* Returns whether a token may contain `c` (5.6.2): a letter, a digit, or one of !#$%&'*+-.^_`|~. */
bool words_is_token_char(char c);

/* Returns whether `s` is valid as a field's value: no control byte except the tab. Bytes from 0x80
 * on are opaque and allowed (5.5). */
bool words_are_text(struct span s);

/* Takes the longest token off the front of `*rest`. The token may be empty. */
struct span words_take_token(struct span *rest);

/* Returns whether all of `s` is *( BWS ";" BWS name [ BWS "=" BWS value ] ), each value a token or
 * a quoted string: the extensions of a chunk (RFC 9112 7.1.1). `s` may be empty. */
bool words_are_parameters(struct span s);

#endif
