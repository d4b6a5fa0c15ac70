/* bytes.h - the two ways in which every file here holds text: a span and a buffer.
 *
 * A span is somebody else's bytes: a pointer and a length, never ended by NUL, never freed. A
 * buffer is our own: it grows as it is written to. A write that finds no memory sets `failed` and
 * leaves the buffer as it was, so that a writer of twenty pieces checks once, at the end. */

#ifndef BYTES_H
#define BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
    const char *at;
    size_t len;
};

/* Several spans, such as the values of an option that may be given more than once. */
struct spans {
    struct span *items;
    size_t count;
};

struct buffer {
    char *at;
    size_t len, capacity;
    bool failed;
};

/* A string literal as a span, and a C string as one. */
#define SPAN(literal) ((struct span) { (literal), sizeof(literal) - 1 })

/* The first of these where a constant initializer is wanted. */
#define SPAN_INIT(literal)             \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

static inline struct span span_of(const char *string)
{
    return (struct span) { string, strlen(string) };
}

static inline bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

/* The bytes of a span that lie in a buffer of the caller's own, to be changed where they are; also
 * for the system's calls that take what they only read without `const`. */
static inline char *span_bytes(struct span s)
{
    return (char *)(uintptr_t)s.at; /* NOLINT(performance-no-int-to-ptr) */
}

/* The eight bytes at the front as one number, the first of them the lowest; a byte that is not
 * there is 0. With it a text is looked at eight bytes at a time, however short it is. */
static inline uint64_t span_word(struct span s)
{
    uint64_t word = 0;
    if (s.len >= sizeof word) {
        memcpy(&word, s.at, sizeof word);
        return le64toh(word);
    }
    if (s.len >= sizeof(uint32_t)) { /* two that overlap */
        uint32_t low, high;
        memcpy(&low, s.at, sizeof low);
        memcpy(&high, s.at + s.len - sizeof high, sizeof high);
        return le32toh(low) | (uint64_t)le32toh(high) << 8 * (s.len - sizeof high);
    }
    for (size_t i = 0; i < s.len; i++)
        word |= (uint64_t)(unsigned char)s.at[i] << 8 * i;
    return word;
}

/* Where a byte is first; the span's length when it is not there. As memchr(3), but made for texts
 * of a few bytes. */
size_t span_find(struct span s, char byte);

/* Equal, ASCII letters in either case; for field names, schemes and hosts. */
bool span_equal_nocase(struct span a, struct span b);

/* The span without the spaces and tabs at its ends (OWS, RFC 9110 5.6.3). */
struct span span_trim(struct span s);

/* Takes the piece up to `separator` from the front of `*rest` and steps over the separator. At the
 * end the whole rest is the piece and `rest->at` becomes NULL; false when it was NULL before. */
bool span_split(struct span *rest, char separator, struct span *piece);

/* Reads decimal digits, nothing else, into `*number`. False when there are none, when anything
 * else is in the span, or when the number is over `max`. */
bool span_number(struct span s, unsigned long long max, unsigned long long *number);

/* Makes room for `more` bytes behind `b->len` and returns where they begin; NULL (and `failed`)
 * when there is no memory. The caller adds what it wrote to `b->len`. */
char *buffer_reserve(struct buffer *b, size_t more);

void buffer_add(struct buffer *b, struct span s);
void buffer_add_string(struct buffer *b, const char *string);

/* Empties the buffer and forgets a failure; the memory stays. */
static inline void buffer_clear(struct buffer *b)
{
    b->len = 0;
    b->failed = false;
}

/* Gives the memory back; the buffer is empty and usable again. */
void buffer_free(struct buffer *b);

static inline struct span buffer_span(const struct buffer *b)
{
    return (struct span) { b->at, b->len };
}

/* Stops the program when what must be true is not: assert(3) that stays, and takes no stdio. */
#define must(what) ((what) ? (void)0 : must_fail(#what, __FILE__, __LINE__))
__attribute__((noreturn)) void must_fail(const char *what, const char *file, int line);

#endif
