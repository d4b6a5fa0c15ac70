/* text.c - UTF-8, the few character classes that matter for a message, and Base64.
 *
 * Every function reads only its span and allocates nothing. text_next is strict: it accepts only
 * what RFC 3629 allows, because a lenient decoder gives a text several spellings (an overlong slash
 * is the classic example), and then a check for one spelling misses another. text_trim and
 * text_length expect a text that the caller has checked, but stay inside the span even if it is
 * invalid.
 *
 * Left out: the tables of the Unicode database. Case, normal forms and the width of characters
 * matter to the page that shows a message, not to the server that carries it. */

#include "base/text.h"

/* Returns whether `byte` continues a character. UTF-8 is self-synchronising: 10xxxxxx is never a
 * first byte, so a walk in either direction finds the beginning of a character. */
static bool is_continuation(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

/* Returns the number of bytes of the character that begins with `first`, or 0 if no character does.
 * Sets `*bits` to the part of the first byte that belongs to the character, and `*least` to the
 * lowest character that needs that many bytes: anything below it is overlong.
 *
 *      110xxxxx 10xxxxxx                        from U+0080
 *      1110xxxx 10xxxxxx 10xxxxxx               from U+0800
 *      11110xxx 10xxxxxx 10xxxxxx 10xxxxxx      from U+10000 */
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

/* Checks the length before it reads a byte, and the value only when it is complete, so that the
 * range checks are three comparisons and not a case for each first byte. */
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

/* Counts word by word; the last word ends with the text, so it overlaps the word before it, as in
 * span_find. A text shorter than a word is filled up with zeros, which are not plain. */
size_t text_plain(struct span text)
{
    uint64_t found;
    if (text.len < sizeof(uint64_t))
        return (size_t)__builtin_ctzll(text_marks(span_word(text))) / 8;
    const char *last = text.at + text.len - sizeof(uint64_t), *at = text.at;
    for (; at < last; at += sizeof(uint64_t)) {
        found = text_marks(span_word((struct span) { at, sizeof(uint64_t) }));
        if (found != 0)
            return (size_t)(at - text.at) + (size_t)__builtin_ctzll(found) / 8;
    }
    found = text_marks(span_word((struct span) { last, sizeof(uint64_t) }));
    return found == 0 ? text.len : (size_t)(last - text.at) + (size_t)__builtin_ctzll(found) / 8;
}

/* Allows the lone bidirectional marks (U+200E, U+200F, U+061C): they change only the direction of
 * their neighbours, and texts in Arabic and Hebrew need them. A negative result of text_next counts
 * as a control, so check for that first. */
bool text_is_control(int32_t character)
{
    return character < 0x20 || (character >= 0x7f && character <= 0x9f) ||
           (character >= 0x2028 && character <= 0x202e) ||
           (character >= 0x2066 && character <= 0x2069);
}

/* Lists the 25 characters of the property, which is stable enough for a list: its last change, in
 * Unicode 6.3, removed U+180E. */
bool text_is_space(int32_t character)
{
    if (character < 0x80)
        return character == ' ' || (character >= '\t' && character <= '\r');
    switch (character) {
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
    return character >= 0x2000 && character <= 0x200a;
}

/* Returns the last character of a non-empty text. The walk back steps over continuation bytes only,
 * so text_trim costs no more than the characters that it drops. */
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

/* Counts first bytes, without decoding: every character has exactly one. */
size_t text_length(struct span text)
{
    size_t characters = 0;
    for (size_t i = 0; i < text.len; i++)
        if (!is_continuation(text.at[i]))
            characters++;
    return characters;
}

/* Encodes three bytes as four digits of six bits:
 *
 *     bytes   aaaaaaaa bbbbbbbb cccccccc
 *     digits  11111122 22223333 33444444
 *
 * A last group of one or two bytes is padded with zero bits, and each digit that would contain only
 * padding is '='. */
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
