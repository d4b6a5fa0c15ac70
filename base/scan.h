/* scan.h - the building blocks of every parser here: character classes and a cursor.
 *
 * The cursor is a span of the bytes not read yet. No function reads past its end, and a scan_take
 * function that finds no match leaves the cursor where it is. Characters are compared by hand
 * instead of with <ctype.h>, because a locale must not decide what is valid HTTP or JSON, and
 * because isdigit(3) is undefined for a negative char. All functions are inline, because parsers
 * call them for single bytes. */

#ifndef SCAN_H
#define SCAN_H

#include "base/bytes.h"

/* ---- Characters ---- */

static inline bool scan_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Returns the value of a hexadecimal digit in either case, or -1 for any other character. */
static inline int scan_hex(char c)
{
    if (scan_is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Returns the lower-case digit for the four lowest bits and ignores higher bits. */
static inline char scan_hex_digit(unsigned value)
{
    return "0123456789abcdef"[value & 15];
}

/* Writes the number in exactly `digits` hexadecimal digits, with leading zeros and without a NUL.
 * Writes only the lowest digits of a longer number. */
static inline void scan_put_hex(char *out, size_t digits, uint64_t number)
{
    for (size_t i = digits; i > 0; i--, number >>= 4)
        out[i - 1] = scan_hex_digit((unsigned)number);
}

/* ---- The cursor ---- */

/* Steps over `len` bytes. The span must be at least that long. */
static inline void scan_skip(struct span *rest, size_t len)
{
    rest->at += len;
    rest->len -= len;
}

/* Returns the span without its first `len` bytes. The span must be at least that long. */
static inline struct span span_skip(struct span s, size_t len)
{
    return (struct span) { s.at + len, s.len - len };
}

static inline bool scan_next_is(struct span rest, char c)
{
    return rest.len > 0 && rest.at[0] == c;
}

/* Steps over one `c`. Returns false if the next character is not `c` or there is none. */
static inline bool scan_take(struct span *rest, char c)
{
    if (!scan_next_is(*rest, c))
        return false;
    scan_skip(rest, 1);
    return true;
}

/* Steps over `text`, matching its case. Returns false if the next bytes are not `text`. */
static inline bool scan_take_text(struct span *rest, struct span text)
{
    if (rest->len < text.len || memcmp(rest->at, text.at, text.len) != 0)
        return false;
    scan_skip(rest, text.len);
    return true;
}

/* Steps over all decimal digits at the front. Returns false if there are none. */
static inline bool scan_take_digits(struct span *rest)
{
    size_t before = rest->len;
    while (rest->len > 0 && scan_is_digit(rest->at[0]))
        scan_skip(rest, 1);
    return rest->len < before;
}

/* Reads exactly `digits` hexadecimal digits, at most 16, in either case. Returns false and takes
 * nothing if there are fewer. */
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
