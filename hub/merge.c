/* merge.c - frames of several rooms in one order: that of their ids.
 *
 * The order matters because a client has one Last-Event-ID for all its rooms. If it got message 9
 * of one room before message 7 of another and lost the connection in between, it would resume after
 * 9 and miss 7. Ids only grow in the order in which messages enter the rings, so what arrives later
 * never belongs before what was sent.
 *
 *      room a    | 3 |   | 6 | 7 |                     sent: 3 4 6 7 9
 *      room b        | 4 |         | 9 |
 *
 * This is a k-way merge of sorted sequences. It looks at each room for each frame: linear, and for
 * at most 16 rooms simpler than a heap and cheap enough. One frame goes before its turn: the rest
 * of one that a partial write has cut, because an event in mid-frame can only be followed by
 * itself.
 *
 * Streams without chunks (HTTP/1.0) come this way too, even with one room: each frame goes without
 * its envelope, so that no two of them touch. */

#include "hub/merge.h"

#include "hub/room.h"

/* Adds a piece; the member's cursor goes from `from` to `next` when all of it is sent. A piece that
 * touches the one before becomes part of it: a run of one room's frames costs one piece. Returns
 * whether another frame fits. */
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
    return ++g->count < GATHER_PIECES - 1; /* a frame that wraps needs two */
}

/* Adds the bytes from one offset to another. The cursor also passes over `trail` bytes that are not
 * sent: it counts the ring's bytes, so that a stream without chunks is then at the next frame. */
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

/* Where the merge stands in one of the rooms: ahead of the member's cursor, which moves only when
 * bytes are sent. `end` is where the stream's limit or the ring's head is. */
struct head {
    struct member *member;
    uint64_t number, cursor, end;
};

/* The room whose frame goes next: one with a frame that was cut, otherwise the one with the
 * smallest id. At most one frame of a stream is cut, because its rest goes first. Returns NULL at
 * the end. */
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

/* Adds the frame, or what is left of it, and steps to the next one. Without chunks it begins behind
 * the lead and ends before the trail; a cursor that was cut is already behind the lead. */
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

/* The heads are made new each time, with a bisection for each room that has something: a cursor is
 * an offset alone, and a stream keeps no entry's number that the ring might drop. */
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
