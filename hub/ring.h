/* ring.h - the last frames of one room: a ring of bytes, and a ring that knows where each begins.
 *
 * Every byte ever appended has an offset, counted in 64 bits from the first one; it never changes
 * and never comes again. A byte's place in memory is its offset modulo the capacity, a power of
 * two.
 *
 *      tail                                   head
 *       |  frame   | frame | frame |  frame    |          offsets grow to the right
 *       '-- entry  '-- .   '-- .   '-- next-1              entries are numbered likewise
 *         first
 *
 * Whoever reads the ring keeps an offset and nothing else. */

#ifndef RING_H
#define RING_H

#include "base/bytes.h"
#include "hub/frame.h"

#include <sys/uio.h>

struct key;

struct entry {
    struct id id;
    uint64_t time_ms; /* of the message, Unix time in milliseconds: most often the id's */
    uint64_t offset;  /* where the frame begins; it ends where the next one begins */
    struct key *key;  /* its idempotency key, or NULL; the hub's */
    uint8_t kind;     /* enum message_kind */
};

struct ring {
    char *bytes;
    size_t capacity, limit; /* limit: the capacity it may grow to, a power of two */
    uint64_t tail, head;
    struct entry *entries;
    size_t entry_capacity;
    uint64_t first, next; /* the number of the oldest entry, and of the one to come */
};

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

/* Makes sure that `count` more frames of `len` bytes in all can be held, and that none has to be
 * dropped for them but for the limit: what is needed before a message may be accepted. False when
 * there is no memory. */
bool ring_prepare(struct ring *r, size_t count, size_t len);

/* Whether a frame of `len` bytes fits now; the ring grows for it while it may and can. When it does
 * not, the oldest has to go first. */
bool ring_fits(struct ring *r, size_t len);

/* Appends a frame for which ring_fits said yes; the entry's `offset` is filled in. */
void ring_append(struct ring *r, const struct entry *entry, struct span frame);

/* Drops the oldest frame. */
void ring_drop(struct ring *r);

/* Passes over a frame of `len` bytes that the ring cannot hold, after all others were dropped:
 * every reader's place is then behind the tail. */
void ring_pass(struct ring *r, size_t len);

/* The bytes from offset `from` to offset `to`, as they lie: in one piece, or two at the wrap.
 * Returns how many. */
int ring_pieces(const struct ring *r, uint64_t from, uint64_t to, struct iovec pieces[2]);

/* Appends the bytes from `from` to `to` to `out`. */
void ring_copy(const struct ring *r, uint64_t from, uint64_t to, struct buffer *out);

/* Whether the bytes at `from` are these. */
bool ring_equal(const struct ring *r, uint64_t from, struct span bytes);

/* The number of the first entry after `id`; r->next when there is none. By bisection. */
uint64_t ring_after(const struct ring *r, struct id id);

/* The number of the entry that holds the byte at `offset`; r->next when it is the head. */
uint64_t ring_at(const struct ring *r, uint64_t offset);

#endif
