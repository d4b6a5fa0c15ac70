/* utf8.h - checks that a complete text is UTF-8, for drivers. text.c has no such function, because
 * the server validates a text while reading it for another purpose. */

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
