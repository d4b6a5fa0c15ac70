/* scan.h - what every reader of text is made of: which character is a digit, and a cursor.
 *
 * The cursor is a span: what was not read yet. Nothing here looks past its end, and a scan_take
 * that does not find what it is asked for leaves it where it is. Characters are compared by hand,
 * not by <ctype.h>: a locale must not decide what HTTP or JSON is. */

#ifndef SCAN_H
#define SCAN_H

#include "base/bytes.h"

/* ---- Characters ---- */

static inline bool scan_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The value of a hexadecimal digit in either case; -1 when it is none. */
static inline int scan_hex(char c)
{
    if (scan_is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The digit for the four lowest bits. */
static inline char scan_hex_digit(unsigned value)
{
    return "0123456789abcdef"[value & 15];
}

/* Writes the number in exactly `digits` hexadecimal digits, without a NUL; what does not fit is
 * left out at the front. */
static inline void scan_put_hex(char *out, size_t digits, uint64_t number)
{
    for (size_t i = digits; i > 0; i--, number >>= 4)
        out[i - 1] = scan_hex_digit((unsigned)number);
}

/* ---- The cursor ---- */

/* Steps over `len` bytes, which must be there. */
static inline void scan_skip(struct span *rest, size_t len)
{
    rest->at += len;
    rest->len -= len;
}

/* A span without its first `len` bytes, which must be there. */
static inline struct span span_skip(struct span s, size_t len)
{
    return (struct span) { s.at + len, s.len - len };
}

static inline bool scan_next_is(struct span rest, char c)
{
    return rest.len > 0 && rest.at[0] == c;
}

static inline bool scan_take(struct span *rest, char c)
{
    if (!scan_next_is(*rest, c))
        return false;
    scan_skip(rest, 1);
    return true;
}

static inline bool scan_take_text(struct span *rest, struct span text)
{
    if (rest->len < text.len || memcmp(rest->at, text.at, text.len) != 0)
        return false;
    scan_skip(rest, text.len);
    return true;
}

/* Steps over all digits at the front; false when there are none. */
static inline bool scan_take_digits(struct span *rest)
{
    size_t before = rest->len;
    while (rest->len > 0 && scan_is_digit(rest->at[0]))
        scan_skip(rest, 1);
    return rest->len < before;
}

/* Reads exactly `digits` hexadecimal digits, at most 16, in either case. */
static inline bool scan_take_hex(struct span *rest, size_t digits, uint64_t *number)
{
    uint64_t n = 0;
    if (rest->len < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        int value = scan_hex(rest->at[i]);
        if (value < 0)
            return false;
        n = n << 4 | (unsigned)value;
    }
    scan_skip(rest, digits);
    *number = n;
    return true;
}

#endif
