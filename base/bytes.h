/* bytes.h - spans and buffers: the two types that hold text throughout the program.
 *
 * A span borrows bytes: it is a pointer and a length, has no NUL at the end, and is never freed. It
 * is valid as long as its bytes are. A buffer owns its bytes and grows when text is added. A write
 * that runs out of memory sets `failed` and leaves the buffer as it was, so code that writes twenty
 * pieces checks once, at the end. A later, shorter piece can still fit, so the text in a failed
 * buffer can have gaps and must not be sent. */

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

/* A buffer of all zeros is empty. The capacity grows by doubling and never shrinks. */
struct buffer {
    char *at; /* owned, from malloc; NULL until the first write */
    size_t len, capacity;
    bool failed; /* A write since the last buffer_clear ran out of memory. */
};

/* Makes a span of a string literal. NUL bytes are allowed, because sizeof gives the length. */
#define SPAN(literal) ((struct span) { (literal), sizeof(literal) - 1 })

/* Replaces SPAN in a static initializer, where a compound literal is not allowed. */
#define SPAN_INIT(literal)             \
    {                                  \
        (literal), sizeof(literal) - 1 \
    }

static inline struct span span_of(const char *string)
{
    return (struct span) { string, strlen(string) };
}

/* Compares `len` bytes. Replaces memcmp(3), which compares a byte at a time in musl. */
bool bytes_equal(const char *a, const char *b, size_t len);

static inline bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && bytes_equal(a.at, b.at, a.len);
}

/* Returns the bytes of a span without `const`: for a caller that owns the bytes and changes them in
 * place, and for struct iovec, whose pointer is not `const` even for a write. */
static inline char *span_bytes(struct span s)
{
    return (char *)(uintptr_t)s.at; /* NOLINT(performance-no-int-to-ptr) */
}

/* Returns the first eight bytes as one little-endian number; missing bytes are 0. This lets a
 * search test eight bytes at a time, even in a shorter text. Never reads outside the span. */
static inline uint64_t span_word(struct span s)
{
    uint64_t word = 0;
    if (s.len >= sizeof word) {
        memcpy(&word, s.at, sizeof word);
        return le64toh(word);
    }
    if (s.len >= sizeof(uint32_t)) { /* The two loads overlap. */
        uint32_t low, high;
        memcpy(&low, s.at, sizeof low);
        memcpy(&high, s.at + s.len - sizeof high, sizeof high);
        return le32toh(low) | (uint64_t)le32toh(high) << 8 * (s.len - sizeof high);
    }
    if (s.len > 0) { /* Three bytes, or fewer: then some of the three loads are the same. */
        const unsigned char *at = (const unsigned char *)s.at;
        size_t middle = s.len / 2, last = s.len - 1;
        word = at[0] | (uint64_t)at[middle] << 8 * middle | (uint64_t)at[last] << 8 * last;
    }
    return word;
}

/* Copies `s` to `to`, where there must be room for it. */
void span_copy(char *to, struct span s);

/* Writes `s` to `to`, where there must be room for it, and returns the address after it: for a
 * sequence of pieces whose room was reserved at once. A literal becomes a few stores. */
static inline char *span_put(char *to, struct span s)
{
    if (__builtin_constant_p(s.len))
        memcpy(to, s.at, s.len);
    else
        span_copy(to, s);
    return to + s.len;
}

/* Returns the offset of the first `byte`, or the span's length if there is none. Replaces memchr(3)
 * for texts of a few bytes. */
size_t span_find(struct span s, char byte);

/* Compares field names, schemes or hosts, ignoring the case of ASCII letters. */
bool span_equal_nocase(struct span a, struct span b);

/* Returns the span without the spaces and tabs at its ends (OWS, RFC 9110 5.6.3). */
struct span span_trim(struct span s);

/* Takes the piece before `separator`, and the separator, off the front of `*rest`. If there is no
 * separator, the piece is the whole rest, and `rest->at` becomes NULL. Returns false if `rest->at`
 * is already NULL. So an empty text has one empty piece, and a final separator adds another. */
bool span_split(struct span *rest, char separator, struct span *piece);

/* Reads a span of decimal digits into `*number`. Returns false and leaves `*number` as it was if
 * the span is empty, contains anything but digits, or has a value over `max`. */
bool span_number(struct span s, unsigned long long max, unsigned long long *number);

/* Makes room for `more` bytes at the end of the buffer and returns its address. If memory runs out,
 * returns NULL and sets `failed`. The caller writes to the room and adds the number of bytes to
 * `b->len`. The address and all spans into the buffer are valid until the next call that adds to
 * the buffer, because growth can move the bytes. */
char *buffer_reserve(struct buffer *b, size_t more);

/* Appends a copy of `s`, which must not point into the buffer: growth can move the bytes. */
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
