/* utf8.h - whether all of a text is UTF-8, for drivers. text.c has no such function, because the
 * server checks that while it reads a text for another reason. */

#ifndef UTF8_H
#define UTF8_H

#include "base/text.h"

static inline bool is_utf8(struct span text)
{
    int32_t character;
    do
        character = text_next(&text);
    while (character >= 0);
    return character == -2;
}

#endif
