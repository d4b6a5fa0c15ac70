/* merge.c - frames of several rooms in one order: that of their ids, but the rest of a frame that
 * was cut first. Also the way of a stream without chunks, which gets each frame without its
 * envelope. */

#include "hub/merge.h"

#include "hub/room.h"

/* Adds a piece; the cursor goes from `from` to `next` when all of it is sent. Two pieces that touch
 * become one. */
static bool add_piece(
    struct gather *g, struct member *m, struct iovec piece, uint64_t from, uint64_t next)
{
    int last = g->count - 1;
    g->bytes += piece.iov_len;
    if (last >= 0 && g->places[last].member == m && g->places[last].next == from &&
        (char *)g->pieces[last].iov_base + g->pieces[last].iov_len == piece.iov_base) {
        g->pieces[last].iov_len += piece.iov_len;
        g->places[last].next = next;
        return true;
    }
    g->pieces[g->count] = piece;
    g->places[g->count].member = m;
    g->places[g->count].from = from;
    g->places[g->count].next = next;
    return ++g->count < GATHER_PIECES - 1; /* a frame may need two */
}

/* The bytes from one offset to another, and `trail` bytes that are passed over but not sent. */
static bool add_span(struct gather *g, struct member *m, uint64_t from, uint64_t to, unsigned trail)
{
    struct iovec pieces[2];
    bool fits = true;
    int count = ring_pieces(&m->room->ring, from, to, pieces);
    for (int i = 0; i < count; i++) {
        uint64_t next = from + pieces[i].iov_len;
        fits = add_piece(g, m, pieces[i], from, i + 1 < count ? next : next + trail);
        from = next;
    }
    return fits;
}

/* Where the merge stands in one of the rooms. */
struct head {
    struct member *member;
    uint64_t number, cursor, end;
};

/* The room whose frame goes next: one that was cut, else the smallest id; NULL at the end. */
static struct head *next_room(struct head *heads, int count)
{
    struct head *best = NULL;
    struct id best_id = { 0 };
    for (int i = 0; i < count; i++) {
        struct head *h = &heads[i];
        if (h->cursor >= h->end)
            continue;
        const struct entry *entry = ring_entry(&h->member->room->ring, h->number);
        if (entry->offset < h->cursor)
            return h;
        if (best == NULL || id_before(entry->id, best_id)) {
            best = h;
            best_id = entry->id;
        }
    }
    return best;
}

/* Adds the frame, or what is left of it, and steps to the next one. */
static bool add_frame(struct gather *g, struct head *h, bool chunked)
{
    const struct ring *ring = &h->member->room->ring;
    uint64_t begin = ring_entry(ring, h->number)->offset, end = ring_end(ring, h->number);
    uint64_t from = h->cursor;
    unsigned lead = chunked ? 0 : FRAME_LEAD_BYTES, trail = chunked ? 0 : FRAME_TRAIL_BYTES;
    h->cursor = end;
    h->number++;
    return add_span(g, h->member, from > begin + lead ? from : begin + lead, end - trail, trail);
}

/* Frame by frame, until there are none or no further piece fits. */
void merge_gather(struct stream *stream, struct gather *g)
{
    struct head heads[STREAM_ROOMS_MAX], *h;
    int count = 0;
    g->count = 0;
    g->bytes = 0;
    for (struct member *m = &stream->first; m != NULL; m = m->also) {
        uint64_t end = member_end(m);
        if (m->cursor < end)
            heads[count++] =
                (struct head) { m, ring_at(&m->room->ring, m->cursor), m->cursor, end };
    }
    while (g->all && (h = next_room(heads, count)) != NULL)
        g->all = add_frame(g, h, stream->chunked);
}
