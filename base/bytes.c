/* bytes.c - spans and growing buffers. */

#include "base/bytes.h"

#include "base/print.h"
#include "base/scan.h"

#include <stdlib.h>
#include <unistd.h>

/* The debug build starts with a few bytes, so that growth runs all the time. */
#ifdef DEBUG
enum { BUFFER_MIN_BYTES = 8 };
#else
enum { BUFFER_MIN_BYTES = 256 };
#endif

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool span_equal_nocase(struct span a, struct span b)
{
    if (span_equal(a, b)) /* most often they are written in the same way */
        return true;
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (to_lower(a.at[i]) != to_lower(b.at[i]))
            return false;
    return true;
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
        s.at++, s.len--;
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* XOR makes the byte that is looked for 0. Subtracting 1 sets the highest bit of a 0; it leaves
 * that of bytes over 0x80, too, which `~word` takes away. A borrow may mark a byte behind the first
 * 0, but only the first one counts. */
static inline size_t find_in_word(uint64_t word, char byte)
{
    const uint64_t ones = 0x0101010101010101, highs = ones << 7;
    word ^= ones * (unsigned char)byte;
    uint64_t found = (word - ones) & ~word & highs;
    return found != 0 ? (size_t)__builtin_ctzll(found) / 8 : sizeof word;
}

/* The last word overlaps with the one before. Behind the end of a span that is shorter than a word
 * there are zeros. */
size_t span_find(struct span s, char byte)
{
    if (s.len < sizeof(uint64_t)) {
        size_t at = find_in_word(span_word(s), byte);
        return at < s.len ? at : s.len;
    }
    const size_t last = s.len - sizeof(uint64_t);
    for (size_t at = 0;; at = at + sizeof(uint64_t) < last ? at + sizeof(uint64_t) : last) {
        size_t found = find_in_word(span_word((struct span) { s.at + at, sizeof(uint64_t) }), byte);
        if (found < sizeof(uint64_t) || at == last)
            return at + found;
    }
}

bool span_split(struct span *rest, char separator, struct span *piece)
{
    if (rest->at == NULL)
        return false;
    size_t len = span_find(*rest, separator);
    *piece = (struct span) { rest->at, len };
    if (len == rest->len)
        *rest = (struct span) { NULL, 0 };
    else
        *rest = (struct span) { rest->at + len + 1, rest->len - len - 1 };
    return true;
}

bool span_number(struct span s, unsigned long long max, unsigned long long *number)
{
    unsigned long long n = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!scan_is_digit(s.at[i]))
            return false;
        unsigned digit = (unsigned)(s.at[i] - '0');
        if (digit > max || n > (max - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *number = n;
    return true;
}

char *buffer_reserve(struct buffer *b, size_t more)
{
    if (b->capacity - b->len >= more && b->at != NULL)
        return b->at + b->len;
    size_t capacity = b->capacity > 0 ? b->capacity : BUFFER_MIN_BYTES;
    while (capacity - b->len < more) {
        if (capacity > (size_t)-1 / 2)
            goto no_memory;
        capacity *= 2;
    }
    char *at = realloc(b->at, capacity);
    if (at == NULL)
        goto no_memory;
    b->at = at;
    b->capacity = capacity;
    return at + b->len;

no_memory:
    b->failed = true;
    return NULL;
}

/* Copies of a size that the compiler knows are one move each, and two that overlap make any size
 * between; a call of memcpy costs more than to copy so little. */
static void copy_short(char *to, struct span s)
{
    if (s.len >= 16) {
        memcpy(to, s.at, 16);
        memcpy(to + s.len - 16, s.at + s.len - 16, 16);
    } else if (s.len >= 8) {
        memcpy(to, s.at, 8);
        memcpy(to + s.len - 8, s.at + s.len - 8, 8);
    } else if (s.len >= 4) {
        memcpy(to, s.at, 4);
        memcpy(to + s.len - 4, s.at + s.len - 4, 4);
    } else {
        for (size_t i = 0; i < s.len; i++)
            to[i] = s.at[i];
    }
}

/* Of any length: an empty piece may have no address. */
static void add_any(struct buffer *b, struct span s)
{
    char *to = buffer_reserve(b, s.len);
    if (to == NULL || s.len == 0)
        return;
    memcpy(to, s.at, s.len);
    b->len += s.len;
}

/* A message and its answer are made of forty pieces, nearly all of which are short and fit. */
void buffer_add(struct buffer *b, struct span s)
{
    if (s.len == 0 || s.len > 32 || b->capacity - b->len < s.len) {
        add_any(b, s);
    } else {
        copy_short(b->at + b->len, s);
        b->len += s.len;
    }
}

void buffer_add_string(struct buffer *b, const char *string)
{
    buffer_add(b, span_of(string));
}

void buffer_free(struct buffer *b)
{
    free(b->at);
    *b = (struct buffer) { 0 };
}

void must_fail(const char *what, const char *file, int line)
{
    print_line(STDERR_FILENO, "ssechat: %s:%d: this must be: %s\n", file, line, what);
    abort();
}
