/* bytes.h - spans and buffers: the two forms in which every file here holds text.
 *
 * A span borrows bytes: a pointer and a length, without a NUL at the end, never freed. It is valid
 * as long as the bytes that it points to. A buffer owns its bytes and grows as it is written to. A
 * write that runs out of memory sets `failed` and leaves the buffer as it was, so that a writer of
 * twenty pieces checks once, at the end. A later, shorter piece may still fit, so a failed buffer
 * holds an incomplete text and must not be sent. */

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

/* An array of spans, such as the values of an option that may be given more than once. */
struct spans {
    struct span *items;
    size_t count;
};

/* All zero is an empty buffer, ready for use. The capacity grows by doubling and never shrinks. */
struct buffer {
    char *at; /* owned, from malloc; NULL until the first write */
    size_t len, capacity;
    bool failed; /* out of memory at some write since the last buffer_clear */
};

/* A string literal as a span. It may contain NUL bytes, because its length is sizeof. */
#define SPAN(literal) ((struct span) { (literal), sizeof(literal) - 1 })

/* SPAN for the initializer of a static variable, where a compound literal is not allowed. */
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

/* The bytes of a span without `const`: for a caller that owns the memory behind the span and
 * changes it in place, and for struct iovec, whose pointer is not `const` even for a write. */
static inline char *span_bytes(struct span s)
{
    return (char *)(uintptr_t)s.at; /* NOLINT(performance-no-int-to-ptr) */
}

/* The first eight bytes as one number, the first byte lowest (little-endian); missing bytes are 0.
 * With it a search tests eight bytes at a time, also in a text that is shorter. Never reads
 * outside of the span. */
static inline uint64_t span_word(struct span s)
{
    uint64_t word = 0;
    if (s.len >= sizeof word) {
        memcpy(&word, s.at, sizeof word);
        return le64toh(word);
    }
    if (s.len >= sizeof(uint32_t)) { /* Two loads that overlap. */
        uint32_t low, high;
        memcpy(&low, s.at, sizeof low);
        memcpy(&high, s.at + s.len - sizeof high, sizeof high);
        return le32toh(low) | (uint64_t)le32toh(high) << 8 * (s.len - sizeof high);
    }
    for (size_t i = 0; i < s.len; i++)
        word |= (uint64_t)(unsigned char)s.at[i] << 8 * i;
    return word;
}

/* The offset of the first `byte`, or the span's length if there is none. Like memchr(3), but
 * made for texts of a few bytes. */
size_t span_find(struct span s, char byte);

/* Compares with ASCII letters in either case; for field names, schemes and hosts. */
bool span_equal_nocase(struct span a, struct span b);

/* The span without the spaces and tabs at its ends (OWS, RFC 9110 5.6.3). */
struct span span_trim(struct span s);

/* Takes the piece up to `separator` from the front of `*rest` and steps over the separator. Without
 * a separator the piece is the whole rest, and `rest->at` becomes NULL. Returns false if it was
 * NULL already. So an empty text gives one empty piece, and a separator at the end one more. */
bool span_split(struct span *rest, char separator, struct span *piece);

/* Reads a span of decimal digits into `*number`. False if the span is empty, if it contains
 * anything but digits, or if the number is over `max`; then `*number` stays as it was. */
bool span_number(struct span s, unsigned long long max, unsigned long long *number);

/* Makes room for `more` bytes behind `b->len` and returns the address of the first one. Returns
 * NULL and sets `failed` if out of memory. The caller writes there and then adds to `b->len` what
 * it wrote. The address, and every span of the buffer, is valid until the next call that adds to
 * it, because growing may move the bytes. */
char *buffer_reserve(struct buffer *b, size_t more);

/* Appends a copy. The bytes must not lie in the buffer itself, because growing may move them. */
void buffer_add(struct buffer *b, struct span s);
void buffer_add_string(struct buffer *b, const char *string);

/* Empties the buffer and resets `failed`; the memory stays allocated for the next use. */
static inline void buffer_clear(struct buffer *b)
{
    b->len = 0;
    b->failed = false;
}

/* Frees the memory; the buffer is then empty and can be used again. */
void buffer_free(struct buffer *b);

static inline struct span buffer_span(const struct buffer *b)
{
    return (struct span) { b->at, b->len };
}

/* Aborts the program if an invariant does not hold: an assert(3) that stays on in release builds
 * and does not link stdio. */
#define must(what) ((what) ? (void)0 : must_fail(#what, __FILE__, __LINE__))
__attribute__((noreturn)) void must_fail(const char *what, const char *file, int line);

#endif
