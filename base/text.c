/* text.c - UTF-8, the few character classes that matter for a message, and Base64.
 *
 * Every function looks only at the span it is given and changes nothing but what it is told to
 * write; nothing is allocated. The one strict function is text_next. It takes what RFC 3629
 * allows and refuses all else: who decodes more kindly lets one text have two spellings, and then
 * a check on the first can be passed with the second. text_trim and text_length trust that
 * somebody checked before, and stay inside the span even when nobody did.
 *
 * There are no tables from the Unicode database. Upper and lower case, normal forms and the width
 * of a character are the page's business: here a message is carried, not understood. */

#include "base/text.h"

static bool is_continuation(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* How many bytes a character has by its first byte; 0 when none begins so. The bits of the first
 * byte that belong to the character go to `*bits`, the least character that needs that many bytes
 * to `*least`. */
static size_t sequence_length(unsigned char first, int32_t *bits, int32_t *least)
{
    if ((first & 0xe0) == 0xc0) {
        *bits = first & 0x1f;
        *least = 0x80;
        return 2;
    }
    if ((first & 0xf0) == 0xe0) {
        *bits = first & 0x0f;
        *least = 0x800;
        return 3;
    }
    if ((first & 0xf8) == 0xf0) {
        *bits = first & 0x07;
        *least = 0x10000;
        return 4;
    }
    return 0;
}

int32_t text_next(struct span *rest)
{
    if (rest->len == 0)
        return -2;
    unsigned char first = (unsigned char)rest->at[0];
    if (first < 0x80) {
        rest->at++, rest->len--;
        return first;
    }
    int32_t character = 0, least = 0;
    size_t len = sequence_length(first, &character, &least);
    if (len == 0 || len > rest->len)
        return -1;
    for (size_t i = 1; i < len; i++) {
        if (!is_continuation(rest->at[i]))
            return -1;
        character = character << 6 | (rest->at[i] & 0x3f);
    }
    bool surrogate = character >= 0xd800 && character <= 0xdfff;
    if (character < least || character > 0x10ffff || surrogate)
        return -1;
    rest->at += len, rest->len -= len;
    return character;
}

/* How many of a word's bytes are plain before one that is not. Subtracting sets the highest bit of
 * a byte that is less than what is subtracted; a byte that was looked for becomes 0 by XOR, which
 * is less than 1. A borrow can only come from such a byte, so that all is right up to the first
 * one. */
static unsigned count_plain(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101, highs = ones << 7;
    uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\'), del = word ^ (ones * 0x7f);
    uint64_t found = word | (word - ones * ' ') | (quote - ones) | (slash - ones) | (del - ones);
    found &= highs;
    return found == 0 ? sizeof word : (unsigned)__builtin_ctzll(found) / 8;
}

/* Word by word; the last one overlaps with the one before. Behind the end of a span that is shorter
 * than a word there are zeros, which are not plain. */
size_t text_plain(struct span text)
{
    if (text.len < sizeof(uint64_t))
        return count_plain(span_word(text));
    const size_t last = text.len - sizeof(uint64_t);
    for (size_t at = 0;; at = at + sizeof(uint64_t) < last ? at + sizeof(uint64_t) : last) {
        unsigned plain = count_plain(span_word((struct span) { text.at + at, sizeof(uint64_t) }));
        if (plain < sizeof(uint64_t) || at == last)
            return at + plain;
    }
}

bool text_is_control(int32_t character)
{
    return character < 0x20 || (character >= 0x7f && character <= 0x9f) ||
           (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2066 && character <= 0x2069);
}

bool text_is_space(int32_t character)
{
    switch (character) {
    case ' ':
    case 0x85:   /* next line */
    case 0xa0:   /* no-break space */
    case 0x1680: /* ogham space mark */
    case 0x2028: /* line separator */
    case 0x2029: /* paragraph separator */
    case 0x202f: /* narrow no-break space */
    case 0x205f: /* medium mathematical space */
    case 0x3000: /* ideographic space */
        return true;
    }
    return (character >= '\t' && character <= '\r') || (character >= 0x2000 && character <= 0x200a);
}

/* Where the last character begins. Only continuation bytes are stepped over, so that the walk
 * back costs no more than the characters it drops. */
static struct span last_character(struct span text)
{
    size_t from = text.len - 1;
    while (from > 0 && is_continuation(text.at[from]))
        from--;
    return (struct span) { text.at + from, text.len - from };
}

struct span text_trim(struct span text)
{
    for (struct span rest = text; text_is_space(text_next(&rest));)
        text = rest;
    while (text.len > 0) {
        struct span last = last_character(text);
        size_t len = last.len;
        if (!text_is_space(text_next(&last)))
            break;
        text.len -= len;
    }
    return text;
}

size_t text_length(struct span text)
{
    size_t characters = 0;
    for (size_t i = 0; i < text.len; i++)
        if (!is_continuation(text.at[i]))
            characters++;
    return characters;
}

/* Three bytes are four digits of six bits:
 *
 *     bytes   aaaaaaaa bbbbbbbb cccccccc
 *     digits  11111122 22223333 33444444
 *
 * A last group of one or two bytes is filled up with zero bits, and '=' stands for each digit
 * that would hold nothing else. */
size_t text_base64(struct span data, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = 0;
    for (size_t i = 0; i < data.len; i += 3) {
        size_t left = data.len - i;
        uint32_t group = (uint32_t)(unsigned char)data.at[i] << 16;
        if (left > 1)
            group |= (uint32_t)(unsigned char)data.at[i + 1] << 8;
        if (left > 2)
            group |= (unsigned char)data.at[i + 2];
        out[len++] = digits[group >> 18];
        out[len++] = digits[group >> 12 & 63];
        out[len++] = left > 1 ? digits[group >> 6 & 63] : '=';
        out[len++] = left > 2 ? digits[group & 63] : '=';
    }
    return len;
}
