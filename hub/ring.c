/* ring.c - the ring of ring.h: a ring buffer with absolute offsets.
 *
 * Offsets are taken modulo the capacity only on access. A full ring can therefore be told from an
 * empty one without a spare byte, the ring holds head - tail bytes, and it can grow without
 * changing a cursor. It starts small because most rooms stay quiet, grows by doubling, and shrinks,
 * so that it takes at most twice its limit (ring_trim). Mapping the memory twice, back to back,
 * would make every span contiguous; without that, a span has at most two pieces, which sendmsg(2)
 * accepts.
 *
 * Appending copies a frame, dropping is O(1), and binary search finds an id or offset. */

#include "hub/ring.h"

#include <stdlib.h>

/* The debug build begins with almost nothing, so that growth and wrap-around are frequent. */
#ifdef DEBUG
enum { RING_MIN_BYTES = 16, ENTRIES_SPARE = 1 };
#else
enum { RING_MIN_BYTES = 1024, ENTRIES_SPARE = 8 };
#endif

void ring_init(struct ring *r, size_t limit)
{
    must(limit > 0 && (limit & (limit - 1)) == 0);
    *r = (struct ring) { .limit = limit };
}

void ring_free(struct ring *r)
{
    free(r->bytes);
    free(r->entries);
    *r = (struct ring) { .limit = r->limit };
}

/* Asking for bytes that the ring does not hold is a caller's error: callers must detect an overrun
 * cursor before they use it, or the reader would be sent whatever is now in that place. */
int ring_pieces(const struct ring *r, uint64_t from, uint64_t to, struct iovec pieces[2])
{
    must(r->tail <= from && from <= to && to <= r->head);
    size_t len = (size_t)(to - from), place = (size_t)from & (r->capacity - 1);
    if (len == 0)
        return 0;
    size_t until_wrap = r->capacity - place;
    pieces[0] = (struct iovec) { r->bytes + place, len < until_wrap ? len : until_wrap };
    if (len <= until_wrap)
        return 1;
    pieces[1] = (struct iovec) { r->bytes, len - until_wrap };
    return 2;
}

/* Copies bytes to the place of their offset in a ring of `capacity` bytes; without a wrap-around,
 * the second copy is empty. */
static void put(char *ring, size_t capacity, uint64_t offset, const char *from, size_t len)
{
    size_t place = (size_t)offset & (capacity - 1), until_wrap = capacity - place;
    size_t first = len < until_wrap ? len : until_wrap;
    memcpy(ring + place, from, first);
    memcpy(ring, from + first, len - first);
}

/* Copies each byte to the place of its offset under the new capacity, which is usually larger:
 *
 *      capacity 8:     8  9 10 11  .  5  6  7                              tail 5, head 12
 *      capacity 16:    .  .  .  .  .  5  6  7  8  9 10 11  .  .  .  .
 *
 * All doublings together copy fewer bytes than the final capacity. A failure changes nothing. */
static bool move_bytes(struct ring *r, size_t capacity)
{
    char *bytes = malloc(capacity);
    if (bytes == NULL)
        return false;
    struct iovec pieces[2];
    int count = ring_pieces(r, r->tail, r->head, pieces);
    uint64_t offset = r->tail;
    for (int i = 0; i < count; i++) {
        put(bytes, capacity, offset, pieces[i].iov_base, pieces[i].iov_len);
        offset += pieces[i].iov_len;
    }
    free(r->bytes);
    r->bytes = bytes;
    r->capacity = capacity;
    return true;
}

/* Moves the entries to a new array, the oldest first. A failure changes nothing. */
static bool move_entries(struct ring *r, size_t capacity)
{
    struct entry *entries = malloc(capacity * sizeof *entries);
    if (entries == NULL)
        return false;
    for (uint64_t n = r->first; n < r->next; n++)
        entries[n - r->first] = *ring_entry(r, n);
    free(r->entries);
    r->entries = entries;
    r->entry_capacity = capacity;
    r->place = 0;
    return true;
}

/* Adds only a quarter, because entries are much of what short messages take. */
static size_t with_spare(uint64_t entries)
{
    return (size_t)(entries + entries / 4) + ENTRIES_SPARE;
}

static inline bool reach_entries(struct ring *r, uint64_t needed)
{
    return needed <= r->entry_capacity || move_entries(r, with_spare(needed));
}

/* Doubles the capacity until `needed` bytes fit. Returns false if they exceed the limit, or memory
 * is short; then the ring is unchanged. */
static inline bool reach(struct ring *r, uint64_t needed)
{
    if (needed <= r->capacity)
        return true;
    size_t capacity = r->capacity > 0 ? r->capacity : RING_MIN_BYTES;
    while (capacity < needed && capacity < r->limit)
        capacity *= 2;
    return capacity >= needed && move_bytes(r, capacity);
}

/* Returns the bytes that are needed for `len` more. Beyond the limit, frames are dropped. */
static uint64_t bytes_with(const struct ring *r, size_t len)
{
    uint64_t needed = r->head - r->tail + len;
    return needed < r->limit ? needed : r->limit;
}

/* Expects totals for all messages pending for this ring, because two that each fit alone must also
 * fit together. */
bool ring_prepare(struct ring *r, size_t count, size_t len)
{
    return reach_entries(r, r->next - r->first + count) && reach(r, bytes_with(r, len));
}

/* Also returns false if memory is short. The caller then drops the oldest frame, so the history
 * becomes shorter, but no message is refused. An empty ring fits any frame that ring_prepare
 * expects, so this ends. */
bool ring_fits(struct ring *r, size_t len, size_t extra)
{
    if (!ring_empty(r) && ring_weight(r) + sizeof(struct entry) + len + extra > r->limit)
        return false;
    return reach_entries(r, r->next - r->first + 1) && reach(r, r->head - r->tail + len);
}

/* Checks the order of the ids, because binary search and merging rely on it. */
void ring_append(struct ring *r, const struct entry *entry, struct span frame)
{
    must(r->head - r->tail + frame.len <= r->capacity);
    must(ring_empty(r) || id_before(ring_entry(r, r->next - 1)->id, entry->id));
    struct entry *place = ring_entry(r, r->next);
    *place = *entry;
    place->offset = r->head;
    r->next++;
    put(r->bytes, r->capacity, r->head, frame.at, frame.len);
    r->head += frame.len;
}

void ring_drop(struct ring *r)
{
    must(!ring_empty(r));
    r->tail = ring_end(r, r->first);
    r->place = r->place + 1 < r->entry_capacity ? r->place + 1 : 0;
    r->first++;
}

void ring_pass(struct ring *r, size_t len)
{
    must(ring_empty(r));
    r->head += len;
    r->tail = r->head;
}

/* ==== Looking into it ========================================================================= */

void ring_copy(const struct ring *r, uint64_t from, uint64_t to, struct buffer *out)
{
    struct iovec pieces[2];
    int count = ring_pieces(r, from, to, pieces);
    for (int i = 0; i < count; i++)
        buffer_add(out, (struct span) { pieces[i].iov_base, pieces[i].iov_len });
}

bool ring_equal(const struct ring *r, uint64_t from, struct span bytes)
{
    struct iovec pieces[2];
    int count = ring_pieces(r, from, from + bytes.len, pieces);
    for (int i = 0; i < count; i++) {
        if (memcmp(pieces[i].iov_base, bytes.at, pieces[i].iov_len) != 0)
            return false;
        bytes.at += pieces[i].iov_len;
    }
    return true;
}

/* Finds the upper bound in a sorted array: entries before `low` have ids up to `id`. */
uint64_t ring_after(const struct ring *r, struct id id)
{
    uint64_t low = r->first, high = r->next;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (id_before(id, ring_entry(r, middle)->id))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Finds the first frame that ends after the offset: that frame contains the byte. */
uint64_t ring_at(const struct ring *r, uint64_t offset)
{
    must(r->tail <= offset && offset <= r->head);
    uint64_t low = r->first, high = r->next;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (ring_end(r, middle) > offset)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* ==== Giving memory back ====================================================================== */

/* Messages of another kind can displace those that the ring has grown for: large ones, or short
 * ones without keys. The bytes are kept if more than 3/8 of them are used, and so are entries if
 * more than 5/8 are. Thus what weighs at most the limit never takes more than twice the limit:
 *
 *      bytes      the limit, of which 3/8 are used       that leaves 5/8 of the limit
 *      entries    8/5 of those 5/8: the limit again
 *
 * A fifth of what is used must come or go between two moves, so the average cost is constant. If
 * out of memory, keeps what it has. */
void ring_trim(struct ring *r, size_t count, size_t len)
{
    uint64_t bytes = bytes_with(r, len), entries = r->next - r->first + count;
    size_t capacity = r->capacity;
    while (capacity > RING_MIN_BYTES && bytes <= capacity / 8 * 3)
        capacity /= 2;
    if (capacity < r->capacity)
        move_bytes(r, capacity);
    if (r->entry_capacity > with_spare(with_spare(entries)))
        move_entries(r, with_spare(entries));
}

bool ring_shrink(struct ring *r, size_t limit)
{
    must(r->head - r->tail <= limit);
    if (r->capacity > limit && !move_bytes(r, limit))
        return false;
    r->limit = limit;
    ring_trim(r, 0, 0);
    return true;
}
