/* bytes.c - spans and growing buffers. */

#include "bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* The debug build starts with a few bytes, so that growth runs all the time. */
#ifdef DEBUG
enum { BUFFER_MIN_BYTES = 8 };
#else
enum { BUFFER_MIN_BYTES = 256 };
#endif

bool span_equal_nocase(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.at, b.at, a.len) == 0);
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
        s.at++, s.len--;
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

bool span_split(struct span *rest, char separator, struct span *piece)
{
    if (rest->at == NULL)
        return false;
    const char *end = rest->len > 0 ? memchr(rest->at, separator, rest->len) : NULL;
    if (end == NULL) {
        *piece = *rest;
        *rest = (struct span) { NULL, 0 };
        return true;
    }
    size_t len = (size_t)(end - rest->at);
    *piece = (struct span) { rest->at, len };
    *rest = (struct span) { end + 1, rest->len - len - 1 };
    return true;
}

bool span_number(struct span s, unsigned long long max, unsigned long long *number)
{
    unsigned long long n = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
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

void buffer_add(struct buffer *b, struct span s)
{
    char *to = buffer_reserve(b, s.len);
    if (to == NULL || s.len == 0)
        return;
    memcpy(to, s.at, s.len);
    b->len += s.len;
}

void buffer_add_string(struct buffer *b, const char *string)
{
    buffer_add(b, span_of(string));
}

void buffer_add_number(struct buffer *b, unsigned long long number)
{
    char digits[20];
    size_t first = sizeof digits;
    do
        digits[--first] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    buffer_add(b, (struct span) { digits + first, sizeof digits - first });
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *to = buffer_reserve(b, (size_t)len + 1);
    if (to == NULL)
        return;
    va_start(args, format);
    vsnprintf(to, (size_t)len + 1, format, args);
    va_end(args);
    b->len += (size_t)len;
}

void buffer_free(struct buffer *b)
{
    free(b->at);
    *b = (struct buffer) { 0 };
}
