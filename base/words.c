/* words.c - the lexical elements of words.h (RFC 9110 5.5 and 5.6).
 *
 * Strictness here is a defence. Most request smuggling begins with a byte that two servers on the
 * path read differently: a control character in a field, a space in a name, a line end hidden in a
 * quoted string. Whatever the grammar does not allow is refused, even if the value is not
 * needed. */

#include "base/words.h"

#include "base/scan.h"

/* clang-format off */

/* The classes of each ASCII character, as a sum. All other bytes belong to no class. */
const uint8_t words_classes[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 7, 2, 1, 7, 3, 7, 7, 6, 6, 7, 7, 6, 7, 7, 2, /*   ! " # $ % & ' ( ) * + , - . / */
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 2, 6, 2, 6, 2, 2, /* 0 1 2 3 4 5 6 7 8 9 : ; < = > ? */
    2, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, /* @ A B C D E F G H I J K L M N O */
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 2, 2, 2, 3, 7, /* P Q R S T U V W X Y Z [ \ ] ^ _ */
    3, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, /* ` a b c d e f g h i j k l m n o */
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 2, 3, 2, 7, 0, /* p q r s t u v w x y z { | } ~   */
};

/* clang-format on */

/* Returns whether a field value or a quoted string may contain `c`. The comparison is unsigned,
 * because bytes from 0x80 on are allowed but negative where char is signed. */
static bool is_text_char(char c)
{
    return c == '\t' || (c != 0x7f && (unsigned char)c >= ' ');
}

/* Returns whether every byte of a word is a text character (SWAR, as in bytes.c). Without its
 * highest bit a byte cannot carry into the next one, so each addition sets that bit exactly in the
 * bytes that are not `\t`, not DEL, or not below ' '. Bytes from 0x80 on are text anyway. */
static inline bool is_text_word(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101, highs = ones << 7;
    uint64_t low = word & ~highs;
    uint64_t not_tab = (low ^ (ones * '\t')) + ~highs, not_del = (low ^ (ones * 0x7f)) + ~highs;
    uint64_t graphic = low + ones * (0x80 - ' ');
    return ((word | (not_del & (graphic | ~not_tab))) & highs) == highs;
}

/* Looks at eight bytes at a time. The last word ends with the text, so it overlaps the word before
 * it; the end of a text shorter than a word is filled up with spaces. */
bool words_are_text(struct span s)
{
    const uint64_t spaces = 0x2020202020202020;
    if (s.len < sizeof(uint64_t))
        return is_text_word(span_word(s) | spaces << 8 * s.len);
    const size_t last = s.len - sizeof(uint64_t);
    for (size_t at = 0; at < last; at += sizeof(uint64_t))
        if (!is_text_word(span_word((struct span) { s.at + at, sizeof(uint64_t) })))
            return false;
    return is_text_word(span_word((struct span) { s.at + last, sizeof(uint64_t) }));
}

/* Skips BWS, white space that senders must avoid and recipients must accept (RFC 9110 5.6.3). */
static void skip_blanks(struct span *rest)
{
    while (rest->len > 0 && (rest->at[0] == ' ' || rest->at[0] == '\t'))
        scan_skip(rest, 1);
}

struct span words_take_token(struct span *rest)
{
    struct span token = { rest->at, words_count(WORDS_TOKEN, *rest) };
    scan_skip(rest, token.len);
    return token;
}

/* Takes a quoted string (RFC 9110 5.6.4) without decoding it. Returns false if a quote is missing
 * at either end, or if the string contains a control character, even an escaped one. If the closing
 * quote is missing, `*rest` can be at the end. */
static bool take_quoted(struct span *rest)
{
    struct span s = *rest;
    if (!scan_take(&s, '"'))
        return false;
    while (s.len > 0 && s.at[0] != '"') {
        if (s.at[0] == '\\')
            scan_skip(&s, 1);
        if (s.len == 0 || !is_text_char(s.at[0]))
            return false;
        scan_skip(&s, 1);
    }
    *rest = s;
    return scan_take(rest, '"');
}

/* Checks extensions although the server uses none, because a reader that skips them unchecked can
 * be made to skip a line end. White space at the end is refused: the grammar has none there. */
bool words_are_parameters(struct span s)
{
    while (s.len > 0) {
        skip_blanks(&s);
        if (!scan_take(&s, ';'))
            return false;
        skip_blanks(&s);
        if (words_take_token(&s).len == 0)
            return false;
        struct span value = s;
        skip_blanks(&value);
        if (!scan_take(&value, '='))
            continue;
        skip_blanks(&value);
        if (!take_quoted(&value) && words_take_token(&value).len == 0)
            return false;
        s = value;
    }
    return true;
}
