/* bytes.c - spans and growing buffers.
 *
 * Most texts here are a few bytes long (a field name, a number, a piece of a frame), so a call, a
 * loop or a branch per byte costs more than the bytes themselves. Two techniques avoid that cost:
 * SWAR, which tests the eight bytes of a 64-bit word with a few operations, and overlapping copies
 * of a fixed size, which replace a loop.
 *
 * Left out: shared or counted strings, and short strings inside the struct. A span that borrows and
 * a buffer that owns are enough for a server that parses in place. */

#include "base/bytes.h"

#include "base/print.h"
#include "base/scan.h"

#include <stdlib.h>
#include <unistd.h>

/* The capacity of a new buffer, large enough that a short text never grows it. The debug build
 * starts with 8, so that the tests constantly exercise growth and the move that it causes. */
#ifdef DEBUG
enum { BUFFER_MIN_BYTES = 8 };
#else
enum { BUFFER_MIN_BYTES = 256 };
#endif

/* Every byte of a word is 1, or has only its highest bit set. */
static const uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;

/* Returns the eight bytes at `at` as one number. */
static inline uint64_t word_at(const char *at)
{
    return span_word((struct span) { at, sizeof(uint64_t) });
}

/* Compares word by word; the last word ends with the texts, so it overlaps the word before it, as
 * in span_find. */
bool bytes_equal(const char *a, const char *b, size_t len)
{
    if (len <= sizeof(uint64_t))
        return span_word((struct span) { a, len }) == span_word((struct span) { b, len });
    const size_t last = len - sizeof(uint64_t);
    for (size_t at = 0; at < last; at += sizeof(uint64_t))
        if (word_at(a + at) != word_at(b + at))
            return false;
    return word_at(a + last) == word_at(b + last);
}

/* Returns whether two words differ only in the case of ASCII letters. The case is bit 5, so that no
 * other bit may differ, and that one only in a letter: setting it makes a letter lower-case and
 * turns no other byte into a letter. The additions find the bytes from 'a' on and those after 'z'
 * by their highest bits; a byte that is not ASCII has that bit already and is no letter. */
static bool are_equal_nocase(uint64_t a, uint64_t b)
{
    uint64_t differ = a ^ b, lower = a | ones * 0x20, low = lower & ~highs;
    if (differ == 0 || (differ & ~(ones * 0x20)) != 0) /* nearly always */
        return differ == 0;
    uint64_t from_a = low + ones * (0x80 - 'a'), after_z = low + ones * (0x80 - 'z' - 1);
    uint64_t letters = from_a & ~after_z & ~lower & highs;
    return (differ & ~(letters >> 2)) == 0;
}

/* Walks like bytes_equal. */
bool span_equal_nocase(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    if (a.len <= sizeof(uint64_t))
        return are_equal_nocase(span_word(a), span_word(b));
    const size_t last = a.len - sizeof(uint64_t);
    for (size_t at = 0; at < last; at += sizeof(uint64_t))
        if (!are_equal_nocase(word_at(a.at + at), word_at(b.at + at)))
            return false;
    return are_equal_nocase(word_at(a.at + last), word_at(b.at + last));
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
        s.at++, s.len--;
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Returns the offset of the first `byte` in a word, or 8 if there is none. This is the classic SWAR
 * test for a zero byte. XOR turns the wanted byte into 0. Subtracting 1 sets the highest bit of a
 * 0; the bit also stays set in bytes over 0x80, which `~word` masks out. The borrow from a 0 can
 * mark the next byte wrongly, but only the first mark is used, and it is right. */
static inline size_t find_in_word(uint64_t word, char byte)
{
    word ^= ones * (unsigned char)byte;
    uint64_t found = (word - ones) & ~word & highs;
    return found != 0 ? (size_t)__builtin_ctzll(found) / 8 : sizeof word;
}

/* Walks word by word. The last word is moved back to end with the span, so it overlaps the word
 * before it:
 *
 *      0      7 8     15          span of 19 bytes: words at 0, 8 and 11
 *      |--------|--------|
 *                  |--------|
 *                  11     18
 *
 * The bytes in the overlap have been tested already and do not match, so the first match in the
 * last word is new. A span shorter than 8 bytes is one word padded with zeros. If the wanted byte
 * is NUL, the zeros match, so the result must be compared with the length. */
size_t span_find(struct span s, char byte)
{
    if (s.len < sizeof(uint64_t)) {
        size_t at = find_in_word(span_word(s), byte);
        return at < s.len ? at : s.len;
    }
    const size_t last = s.len - sizeof(uint64_t);
    for (size_t at = 0;; at = at + sizeof(uint64_t) < last ? at + sizeof(uint64_t) : last) {
        size_t found = find_in_word(word_at(s.at + at), byte);
        if (found < sizeof(uint64_t) || at == last)
            return at + found;
    }
}

/* Marks the end with NULL, not with an empty rest, because "a," has two pieces and "a" has one. */
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

/* Tests each step for overflow, so that the result is right even with the greatest `max`. */
bool span_number(struct span s, unsigned long long max, unsigned long long *number)
{
    unsigned long long n = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!scan_is_digit(s.at[i]))
            return false;
        if (__builtin_mul_overflow(n, 10, &n) ||
            __builtin_add_overflow(n, (unsigned)(s.at[i] - '0'), &n) || n > max)
            return false;
    }
    *number = n;
    return true;
}

/* Doubles the capacity, so that the average cost of growth per byte is constant; the price is that
 * up to half of the memory is unused. Allocates even for 0 bytes, because NULL means failure. */
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

/* Copies up to 32 bytes without a call. A memcpy of a constant size compiles to a load and a store,
 * and two overlapping copies cover every length from that size to twice that size. A call to memcpy
 * would cost more than such a short copy. The address of an empty span can be NULL, which memcpy
 * does not allow. */
static inline void copy(char *to, struct span s)
{
    if (s.len > 32) {
        memcpy(to, s.at, s.len);
    } else if (s.len >= 16) {
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

void span_copy(char *to, struct span s)
{
    copy(to, s);
}

/* Calls buffer_reserve only if there is not enough room, or no memory yet: even an empty piece
 * gives the buffer an address. */
void buffer_add(struct buffer *b, struct span s)
{
    if ((b->capacity - b->len < s.len || b->at == NULL) && buffer_reserve(b, s.len) == NULL)
        return;
    copy(b->at + b->len, s);
    b->len += s.len;
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

/* Aborts instead of exiting, so that there is a core dump and the supervisor sees a crash. This
 * ends all streams, but a server that continued could send one client's bytes to another. It must
 * not wait for standard error, or it would hang instead. */
void must_fail(const char *what, const char *file, int line)
{
    if (print_can(STDERR_FILENO, 0))
        print_line(STDERR_FILENO, "ssechat: %s:%d: assertion failed: %s\n", file, line, what);
    abort();
}
