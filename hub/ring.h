/* ring.h - the last frames of one room: a ring of bytes, and a ring of entries that say where each
 * frame begins.
 *
 * Every byte ever appended has an offset, counted in 64 bits from the first one, which never
 * changes and is never used again. A byte's place in memory is its offset modulo the capacity, a
 * power of two.
 *
 *      tail                                   head
 *       |  frame   | frame | frame |  frame    |           offsets grow to the right
 *       '- first   '- .    '- .    '- next-1               entries are numbered likewise
 *
 *      capacity 16, tail 37, head 50:      offsets   48 49          37 38 ...        47
 *                                          places     0  1  2  3  4  5  6 ...        15
 *
 * So a reader keeps one offset, its cursor, and shares the bytes with all others. It need not be
 * told when the ring wraps around, grows or drops: a cursor less than the tail is overrun. */

#ifndef RING_H
#define RING_H

#include "base/bytes.h"
#include "hub/frame.h"

#include <sys/uio.h>

struct key;

/* 48 bytes beside each frame (on 64 bit), which --history does not count. */
struct entry {
    struct id id;
    uint64_t time_ms; /* the message's Unix time in milliseconds: most often the id's */
    uint64_t offset;  /* where the frame begins; it ends where the next one begins */
    struct key *key;  /* its idempotency key, or NULL; the hub owns it */
    uint8_t kind;     /* enum message_kind */
};

struct ring {
    char *bytes;
    size_t capacity, limit; /* the capacity may grow to the limit; both are powers of two */
    uint64_t tail, head;
    struct entry *entries;
    size_t entry_capacity;
    uint64_t first, next; /* the number of the oldest entry, and of the one to come */
};

/* `limit` is in bytes, a power of two. An empty ring has no memory. */
void ring_init(struct ring *r, size_t limit);
void ring_free(struct ring *r);

static inline bool ring_empty(const struct ring *r)
{
    return r->first == r->next;
}

/* The entry with a number from r->first to r->next - 1. */
static inline struct entry *ring_entry(const struct ring *r, uint64_t number)
{
    return &r->entries[number & (r->entry_capacity - 1)];
}

/* Where entry `number` ends. */
static inline uint64_t ring_end(const struct ring *r, uint64_t number)
{
    return number + 1 < r->next ? ring_entry(r, number + 1)->offset : r->head;
}

/* Reserves memory for `count` more frames of `len` bytes in all, up to the limit: before a message
 * is accepted. After that only the limit makes the ring drop a frame for them. Returns false if out
 * of memory. */
bool ring_prepare(struct ring *r, size_t count, size_t len);

/* Returns whether a frame of `len` bytes fits now; the ring grows for it if limit and memory allow.
 * When it does not fit, the caller drops the oldest frame and asks again. */
bool ring_fits(struct ring *r, size_t len);

/* Appends a frame for which ring_fits returned true, and fills in the entry's `offset`. */
void ring_append(struct ring *r, const struct entry *entry, struct span frame);

/* Drops the oldest frame. */
void ring_drop(struct ring *r);

/* Passes over a frame of `len` bytes that the ring cannot hold, after all others were dropped:
 * every cursor is then less than the tail. */
void ring_pass(struct ring *r, size_t len);

/* The bytes from offset `from` to offset `to`, which must be held, as they lie: in one piece, or in
 * two at the wrap-around. Returns how many. Borrowed: valid until the ring changes. */
int ring_pieces(const struct ring *r, uint64_t from, uint64_t to, struct iovec pieces[2]);

/* Appends the bytes from `from` to `to` to `out`. */
void ring_copy(const struct ring *r, uint64_t from, uint64_t to, struct buffer *out);

/* Returns whether the bytes at `from` are these. */
bool ring_equal(const struct ring *r, uint64_t from, struct span bytes);

/* The number of the first entry with an id greater than `id`; r->next when there is none. */
uint64_t ring_after(const struct ring *r, struct id id);

/* The number of the entry that holds the byte at `offset`; r->next when it is the head. */
uint64_t ring_at(const struct ring *r, uint64_t offset);

#endif
