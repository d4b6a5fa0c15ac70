/* text.c - UTF-8, the few character classes that matter for a message, and Base64.
 *
 * Every function reads only its span and allocates nothing. text_next is strict: it accepts only
 * what RFC 3629 allows, because a lenient decoder gives a text several spellings (an overlong slash
 * is the classic example), and then a check for one spelling misses another. text_trim and
 * text_length expect a text that the caller has checked, but stay inside the span even if it is
 * invalid.
 *
 * Left out: most tables of the Unicode database. Case, normal forms, the width of characters, and
 * which letters of different scripts look alike matter to the page that shows a message, not to the
 * server that carries it. The one table here lists what cannot be seen. */

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

/* Lists every character that is not visible, in order. Unicode promises that characters which are
 * assigned later to U+2060 to U+206F, U+FFF0 to U+FFF8 and U+E0000 to U+E0FFF are ignorable too.
 *
 * Five characters do not have the property: U+2800, a Braille cell without dots, and U+1D159, a
 * note without a head, are drawn blank; U+FFF9 to U+FFFB, which mark annotations, are not drawn. */
static const struct {
    int32_t first, last;
    enum text_class class;
} classes[] = {
    { 0x0000, 0x001f, TEXT_CONTROL },
    { 0x0020, 0x0020, TEXT_SPACE },
    { 0x007f, 0x009f, TEXT_CONTROL },
    { 0x00a0, 0x00a0, TEXT_SPACE },     /* no-break space */
    { 0x00ad, 0x00ad, TEXT_INVISIBLE }, /* soft hyphen */
    { 0x034f, 0x034f, TEXT_INVISIBLE }, /* combining grapheme joiner */
    { 0x061c, 0x061c, TEXT_BIDI },      /* Arabic letter mark */
    { 0x115f, 0x1160, TEXT_INVISIBLE }, /* Hangul fillers */
    { 0x1680, 0x1680, TEXT_SPACE },     /* ogham space mark */
    { 0x17b4, 0x17b5, TEXT_INVISIBLE }, /* Khmer inherent vowels */
    { 0x180b, 0x180f, TEXT_INVISIBLE }, /* Mongolian selectors and vowel separator */
    { 0x2000, 0x200a, TEXT_SPACE },
    { 0x200b, 0x200b, TEXT_INVISIBLE }, /* zero width space */
    { 0x200c, 0x200d, TEXT_JOINER },
    { 0x200e, 0x200f, TEXT_BIDI }, /* marks */
    { 0x2028, 0x2029, TEXT_SEPARATOR },
    { 0x202a, 0x202e, TEXT_BIDI },  /* embeddings and overrides */
    { 0x202f, 0x202f, TEXT_SPACE }, /* narrow no-break space */
    { 0x205f, 0x205f, TEXT_SPACE }, /* medium mathematical space */
    { 0x2060, 0x2065, TEXT_INVISIBLE },
    { 0x2066, 0x2069, TEXT_BIDI }, /* isolates */
    { 0x206a, 0x206f, TEXT_INVISIBLE },
    { 0x2800, 0x2800, TEXT_INVISIBLE }, /* Braille blank */
    { 0x3000, 0x3000, TEXT_SPACE },     /* ideographic space */
    { 0x3164, 0x3164, TEXT_INVISIBLE }, /* Hangul filler */
    { 0xfe00, 0xfe0f, TEXT_SELECTOR },
    { 0xfeff, 0xfeff, TEXT_INVISIBLE }, /* zero width no-break space, the byte order mark */
    { 0xffa0, 0xffa0, TEXT_INVISIBLE }, /* halfwidth Hangul filler */
    { 0xfff0, 0xfffb, TEXT_INVISIBLE },
    { 0x1bca0, 0x1bca3, TEXT_INVISIBLE }, /* shorthand controls */
    { 0x1d159, 0x1d159, TEXT_INVISIBLE },
    { 0x1d173, 0x1d17a, TEXT_INVISIBLE }, /* musical controls */
    { 0xe0000, 0xe00ff, TEXT_INVISIBLE }, /* tags */
    { 0xe0100, 0xe01ef, TEXT_SELECTOR },
    { 0xe01f0, 0xe0fff, TEXT_INVISIBLE },
};

/* Searches the table by halves, but not for ASCII, of which most texts consist. */
enum text_class text_class(int32_t character)
{
    if (character >= ' ' && character < 0x7f)
        return character == ' ' ? TEXT_SPACE : TEXT_VISIBLE;
    size_t low = 0, high = sizeof classes / sizeof classes[0];
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (character > classes[middle].last)
            low = middle + 1;
        else if (character < classes[middle].first)
            high = middle;
        else
            return classes[middle].class;
    }
    return TEXT_VISIBLE;
}

/* Adds to the spaces of the table the controls and separators that are white space too. */
bool text_is_space(int32_t character)
{
    if (character < 0x80)
        return character == ' ' || (character >= '\t' && character <= '\r');
    enum text_class class = text_class(character);
    return class == TEXT_SPACE || class == TEXT_SEPARATOR || character == 0x85;
}

bool text_is_visible(struct span text)
{
    for (int32_t c; (c = text_next(&text)) >= 0;)
        if (text_class(c) == TEXT_VISIBLE)
            return true;
    return false;
}

/* Knows the three flags that Unicode recommends for interchange. Most programs draw others as a
 * plain black flag, so with them, many different texts would look the same. */
size_t text_flag(struct span rest)
{
    static const char regions[][6] = { "gbeng", "gbsct", "gbwls" };
    const int32_t tag = 0xe0000, cancel = 0xe007f;
    struct span tags = rest;
    char region[5];
    for (size_t i = 0; i < sizeof region; i++) {
        int32_t c = text_next(&tags);
        if (c <= tag || c >= cancel)
            return 0;
        region[i] = (char)(c - tag);
    }
    if (text_next(&tags) != cancel)
        return 0;
    for (size_t i = 0; i < sizeof regions / sizeof regions[0]; i++)
        if (memcmp(regions[i], region, sizeof region) == 0)
            return rest.len - tags.len;
    return 0;
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
