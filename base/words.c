/* words.c - characters by hand, not by <ctype.h>: a locale must not decide what HTTP is. */

#include "base/words.h"

#include "base/scan.h"
#include "base/text.h"

/* A bit for each character. */
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

/* What a field value or a quoted string may hold: no control byte but the tab. Bytes from 0x80 on
 * are opaque (RFC 9110 5.5). */
static bool is_text_char(char c)
{
    return c == '\t' || (c != 0x7f && (unsigned char)c >= ' ');
}

bool words_are_text(struct span s)
{
    for (size_t i = text_plain(s); i < s.len; i++)
        if (!is_text_char(s.at[i]))
            return false;
    return true;
}

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

/* No extension means anything here, but a reader that skips them unchecked can be made to skip a
 * line end. */
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
