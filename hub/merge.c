/* merge.c - puts the frames of several rooms into one order, by id.
 *
 * The order matters because a client has one Last-Event-ID for all its rooms. If it got message 9
 * of one room before message 7 of another and lost the connection in between, it would resume after
 * 9 and miss 7. Messages enter the rings in the order of their ids, so a later message never
 * belongs before one that was sent.
 *
 *      room a    | 3 |   | 6 | 7 |                     sent: 3 4 6 7 9
 *      room b        | 4 |         | 9 |
 *
 * This is a k-way merge of sorted sequences. It looks at each room for each frame: for at most 16
 * rooms that is cheap enough, and simpler than a heap. Only the rest of a partly sent frame comes
 * out of order, because nothing else may follow the first part of an event.
 *
 * A stream without chunks (HTTP/1.0) takes this path even if it has only one room, because its
 * frames are sent without their envelopes, so no two pieces are adjacent. */

#include "hub/merge.h"

#include "hub/room.h"

/* Adds a piece; the member's cursor moves from `from` to `next` when all of it is sent. A piece
 * that directly follows the previous one is joined to it, so that a run of one room's frames costs
 * one piece. Returns whether another frame fits. */
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

/* Adds the bytes from one offset to another. The cursor, which counts ring bytes, also skips
 * `trail` unsent bytes, so that even without chunks it is then at the next frame. */
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

/* The merge's position in one room: ahead of the member's cursor, which moves only when bytes are
 * sent. `end` is the stream's limit or the ring's head, whichever is first. */
struct head {
    struct member *member;
    uint64_t number, cursor, end;
};

/* Returns the room whose frame is sent next: the one with a partly sent frame, otherwise the one
 * with the smallest id; NULL at the end. At most one frame of a stream is partly sent. */
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

/* Adds the frame, or its unsent rest, and moves on to the next one. Without chunks, it adds only
 * what is between lead and trail; in a partly sent frame, the cursor is already past the lead. */
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

/* Makes new heads each time, with a binary search for each room that has frames. A member keeps an
 * offset, its cursor, instead of an entry's number, because the ring could drop that entry. */
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
