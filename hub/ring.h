/* ring.h - the last frames of one room: a ring of bytes, and a ring of entries that say where each
 * frame begins.
 *
 * Every byte ever appended has a 64-bit offset, counted from the first byte, that never changes and
 * is never reused. A byte's place in memory is its offset modulo the capacity, a power of two.
 *
 *      tail                                   head
 *       |  frame   | frame | frame |  frame    |           offsets grow to the right
 *       '- first   '- .    '- .    '- next-1               entries are numbered likewise
 *
 *      capacity 16, tail 37, head 50:      offsets   48 49          37 38 ...        47
 *                                          places     0  1  2  3  4  5  6 ...        15
 *
 * So a reader keeps one offset, its cursor, and shares the bytes with all others. It need not know
 * when the ring wraps around, grows or drops frames: a cursor less than the tail is overrun. */

#ifndef RING_H
#define RING_H

#include "base/bytes.h"
#include "hub/frame.h"

#include <sys/uio.h>

struct key;

/* One entry per frame: 56 bytes on a 64-bit system. */
struct entry {
    struct id id;
    uint64_t time_ms; /* the message's Unix time in milliseconds: usually that of the id */
    uint64_t by;      /* its author: see struct author */
    uint64_t offset;  /* where the frame begins; it ends where the next one begins */
    struct key *key;  /* its idempotency key, or NULL; the hub owns it */
    uint8_t kind;     /* enum message_kind */
    bool with_token, by_user;
};

struct ring {
    char *bytes;
    size_t capacity, limit; /* the capacity can grow to the limit; both are powers of two */
    uint64_t tail, head;
    struct entry *entries;
    size_t entry_capacity, place; /* the oldest entry's place in the array, which wraps around */
    uint64_t first, next;         /* the numbers of the oldest entry and of the next new one */
    size_t extra; /* bytes that the owner keeps elsewhere for the entries, as it counts */
};

/* Makes an empty ring, which has no memory yet. `limit` is in bytes, a power of two: the most that
 * the frames weigh with their entries and `extra`, but for a single frame the most of its bytes. */
void ring_init(struct ring *r, size_t limit);
void ring_free(struct ring *r);

static inline bool ring_empty(const struct ring *r)
{
    return r->first == r->next;
}

/* Returns the entry with a number from r->first to r->next - 1. */
static inline struct entry *ring_entry(const struct ring *r, uint64_t number)
{
    size_t place = r->place + (size_t)(number - r->first);
    return &r->entries[place < r->entry_capacity ? place : place - r->entry_capacity];
}

static inline uint64_t ring_weight(const struct ring *r)
{
    return r->head - r->tail + (r->next - r->first) * sizeof(struct entry) + r->extra;
}

/* Returns the offset where entry `number` ends. */
static inline uint64_t ring_end(const struct ring *r, uint64_t number)
{
    return number + 1 < r->next ? ring_entry(r, number + 1)->offset : r->head;
}

/* Reserves memory, up to the limit, for `count` more frames of `len` bytes in total. Call this
 * before accepting a message: the ring then drops frames for it only because of the limit, never
 * for lack of memory. Returns false if out of memory. */
bool ring_prepare(struct ring *r, size_t count, size_t len);

/* Returns whether a frame of `len` bytes, and `extra` elsewhere, fit now; the ring grows for it if
 * limit and memory allow. If not, the caller drops the oldest frame and tries again. */
bool ring_fits(struct ring *r, size_t len, size_t extra);

/* Appends a frame for which ring_fits returned true, and fills in the entry's `offset`. */
void ring_append(struct ring *r, const struct entry *entry, struct span frame);

/* Drops the oldest frame. */
void ring_drop(struct ring *r);

/* Skips a frame of `len` bytes that the ring cannot hold. Call this after dropping all frames.
 * Every cursor is then less than the tail. */
void ring_pass(struct ring *r, size_t len);

/* Finds the bytes from offset `from` to offset `to`, which the ring must hold, as one piece, or as
 * two if they wrap around. Returns the number of pieces, which are valid until the ring changes. */
int ring_pieces(const struct ring *r, uint64_t from, uint64_t to, struct iovec pieces[2]);

/* ==== Looking into it ========================================================================= */

/* Appends the bytes from `from` to `to` to `out`. */
void ring_copy(const struct ring *r, uint64_t from, uint64_t to, struct buffer *out);

/* Returns whether the bytes at `from` equal `bytes`. */
bool ring_equal(const struct ring *r, uint64_t from, struct span bytes);

/* Returns the number of the first entry with an id after `id`, or r->next if there is none. */
uint64_t ring_after(const struct ring *r, struct id id);

/* Returns the number of the entry that contains the byte at `offset`, or r->next for the head. */
uint64_t ring_at(const struct ring *r, uint64_t offset);

/* ==== Giving memory back ====================================================================== */

/* Gives back memory that the ring has, but no longer needs, also not for what is pending: totals as
 * for ring_prepare. */
void ring_trim(struct ring *r, size_t count, size_t len);

/* Lowers the limit of a ring that holds no more than `limit` bytes, and gives back the memory
 * beyond it. Returns false if out of memory; then nothing has changed. */
bool ring_shrink(struct ring *r, size_t limit);

#endif
