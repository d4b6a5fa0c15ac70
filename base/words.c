/* words.c - the lexical elements of words.h (RFC 9110 5.5 and 5.6).
 *
 * Strictness here is a defence. Most request smuggling begins with a byte that two servers on the
 * path read differently: a control character in a field, a space in a name, a line end hidden in a
 * quoted string. Whatever the grammar does not allow is refused, even if the value is not needed.
 * Characters are classified here instead of with <ctype.h>, because a locale must not decide what
 * is valid HTTP. */

#include "base/words.h"

#include "base/scan.h"
#include "base/text.h"

/* Looks up one of 256 bits, so that each character of a name costs a shift and a mask. The function
 * is inline for words_take_token; words_is_token_char is for the parser in http.c. */
static inline bool is_token_char(char c)
{
    static const uint64_t bits[] = { 0x3ff6cfa00000000, 0x57ffffffc7fffffe, 0, 0 };
    unsigned char at = (unsigned char)c;
    return bits[at / 64] >> at % 64 & 1;
}

bool words_is_token_char(char c)
{
    return is_token_char(c);
}

/* Returns whether a field value or a quoted string may contain `c`. The comparison is unsigned,
 * because bytes from 0x80 on are allowed but negative where char is signed. */
static bool is_text_char(char c)
{
    return c == '\t' || (c != 0x7f && (unsigned char)c >= ' ');
}

/* Steps over plain text eight bytes at a time; most fields contain nothing else. text_plain stops
 * at '"' and '\\', which are allowed here, so the rest is read byte by byte. */
bool words_are_text(struct span s)
{
    for (size_t i = text_plain(s); i < s.len; i++)
        if (!is_text_char(s.at[i]))
            return false;
    return true;
}

/* Skips BWS, white space that senders must avoid and recipients must accept (RFC 9110 5.6.3). */
static void skip_blanks(struct span *rest)
{
    while (rest->len > 0 && (rest->at[0] == ' ' || rest->at[0] == '\t'))
        scan_skip(rest, 1);
}

struct span words_take_token(struct span *rest)
{
    const char *at = rest->at, *end = at + rest->len;
    while (at < end && is_token_char(*at))
        at++;
    struct span token = { rest->at, (size_t)(at - rest->at) };
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
