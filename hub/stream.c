/* stream.c - the hub's readers: which rooms they are in, and what each gets next.
 *
 * A chunked stream in one room (the usual case) gets the span from its cursor to the head, however
 * many frames that contains: ten messages are one send. For any other stream, merge.c collects the
 * frames one by one.
 *
 * Only messages enter the ring and have an id. A `gap` is written for the one stream that it
 * concerns, and presence is one snapshot per room, which each stream gets when it has caught up. So
 * neither displaces history, and neither is replayed.
 *
 * Joining is all or nothing. Like everything else here, it is linear in the stream's rooms. */

#include "hub/stream.h"

#include "base/print.h"
#include "hub/merge.h"
#include "hub/room.h"
#include "json.h"

#include <stdlib.h>

/* ==== Coming and going ======================================================================= */

/* Makes a member for each room, and makes any missing room. Each cursor begins at the head, after
 * all older messages, until stream_seek moves it. On failure the members made so far remain, and
 * the last one may have no room; stream_leave removes them. */
static enum join add_members(
    struct hub *hub, struct stream *stream, const struct span *rooms, size_t count, uint64_t source)
{
    struct member *member = &stream->first;
    for (size_t i = 0; i < count; i++) {
        enum join join = JOIN_NO_MEMORY;
        if (i > 0) {
            member->also = malloc(sizeof *member);
            if (member->also == NULL)
                return join;
            member = member->also;
        }
        *member = (struct member) { .stream = stream };
        list_init(&member->link);
        struct room *room = room_open(hub, rooms[i], source, false, &join);
        if (room == NULL)
            return join;
        room->members++;
        list_remove(&room->silent_rooms); /* --room-ttl is for rooms without streams */
        member->room = room;
        member->cursor = room->ring.head;
        member->limit = UINT64_MAX;
    }
    return JOIN_OK;
}

/* Adds the stream to the presence of all its rooms and makes their snapshots due. Returns false if
 * out of memory; then the stream is in none, and no snapshot is due. */
static bool appear(struct hub *hub, struct stream *stream)
{
    for (struct member *m = &stream->first; m != NULL; m = m->also) {
        if (presence_join(&m->room->presence, stream->name))
            continue;
        for (struct member *undo = &stream->first; undo != m; undo = undo->also)
            presence_leave(&undo->room->presence, stream->name);
        return false;
    }
    for (struct member *m = &stream->first; m != NULL; m = m->also)
        room_changed(hub, m->room);
    stream->present = true;
    return true;
}

/* Holds the name until the stream leaves, because the rooms' presence only points to it. */
enum join stream_join(struct hub *hub, struct stream *stream, const struct span *rooms,
    size_t count, struct span name, bool present, uint64_t source)
{
    must(count >= 1 && count <= STREAM_ROOMS_MAX);
    *stream = (struct stream) { .chunked = stream->chunked };
    list_init(&stream->first.link);
    if (present && name.len > 0) {
        stream->name = name_hold(&hub->names, name, source);
        if (stream->name == NULL)
            return JOIN_NO_MEMORY;
    }
    enum join join = add_members(hub, stream, rooms, count, source);
    if (join == JOIN_OK && present && !appear(hub, stream))
        join = JOIN_NO_MEMORY;
    if (join != JOIN_OK)
        stream_leave(hub, stream);
    return join;
}

/* Removes the stream from its rooms, even after a join that failed half-way. room_release may free
 * the room, so nothing uses it afterwards; the name is dropped after all rooms have forgotten it.
 * The struct is then as it was before the join, so that leaving again is harmless. */
void stream_leave(struct hub *hub, struct stream *stream)
{
    for (struct member *m = &stream->first, *next; m != NULL; m = next) {
        next = m->also;
        list_remove(&m->link);
        if (m->room != NULL) { /* NULL: the join failed at this room */
            if (stream->present) {
                presence_leave(&m->room->presence, stream->name);
                room_changed(hub, m->room);
            }
            m->room->members--;
            room_release(hub, m->room);
        }
        if (m != &stream->first)
            free(m);
    }
    if (stream->name != NULL)
        name_drop(&hub->names, stream->name);
    hub->blocked -= stream->blocked;
    *stream = (struct stream) { .chunked = stream->chunked };
    list_init(&stream->first.link);
}

/* Appends the event that says that the stream has missed messages of a room. A gap has no id,
 * because it must not change the client's Last-Event-ID. `after` is the id that the client sent, or
 * null if it is malformed; `oldest` is where the replay begins. */
static void add_gap(struct buffer *out, const struct stream *stream, const struct room *room,
    struct id after, const char *reason, bool malformed)
{
    size_t begin = frame_begin(out, stream->chunked);
    buffer_add(out, SPAN("event: gap\ndata: {\"room\":"));
    json_string_add(out, room_name(room));
    buffer_add(out, SPAN(",\"after\":"));
    id_add_json(out, malformed ? NULL : &after);
    buffer_add(out, SPAN(",\"oldest\":"));
    id_add_json(
        out, ring_empty(&room->ring) ? NULL : &ring_entry(&room->ring, room->ring.first)->id);
    buffer_printf(out, ",\"reason\":\"%s\"}\n", reason);
    frame_end(out, begin, stream->chunked);
}

/* Sets the limits to the current heads. Messages that arrive while a slow stream replays come after
 * its `ready`, whose id says that everything up to that id has been sent. */
bool stream_seek(struct hub *hub, struct stream *stream, const struct start *start,
    struct buffer *out, enum gap *gap)
{
    bool replay = false;
    *gap = GAP_NONE;
    for (struct member *m = &stream->first; m != NULL; m = m->also) {
        const struct ring *ring = &m->room->ring;
        enum gap why = history_gap(hub, m->room, start);
        if (why != GAP_NONE)
            add_gap(out, stream, m->room, start->id, history_gap_word(why),
                start->since == SINCE_UNKNOWN);
        *gap = why > *gap ? why : *gap;
        uint64_t number = history_seek(hub, m->room, start);
        m->cursor = number < ring->next ? ring_entry(ring, number)->offset : ring->head;
        m->limit = ring->head;
        replay |= m->cursor < m->limit;
    }
    return replay;
}

/* Includes this stream in the counts, because it has already joined. */
void stream_add_online(const struct stream *stream, struct buffer *out)
{
    for (const struct member *m = &stream->first; m != NULL; m = m->also) {
        buffer_add_string(out, m == &stream->first ? "{\"room\":" : ",{\"room\":");
        json_string_add(out, room_name(m->room));
        buffer_printf(out, ",\"online\":%u}", m->room->presence.online);
    }
}

/* Gives a new stream the current state, which may be newer than the room's snapshot; `seen` keeps
 * the stream from getting that snapshot afterwards. */
void stream_add_presence(struct stream *stream, struct buffer *out)
{
    for (struct member *m = &stream->first; m != NULL; m = m->also) {
        presence_add(out, &m->room->presence, room_name(m->room), stream->chunked);
        m->seen = m->room->presence.change;
    }
}

/* ==== What to send next ====================================================================== */

/* In a stream's turn the owner sends these in order, each after the previous one is complete:
 *
 *      frames up to the limits ──► `ready`, stream_go_live ──► frames ──► presence ──► idle
 *
 * So a replay is complete before live events begin, and presence, which is state, comes once the
 * stream has caught up. If the socket is full, the stream continues in its next turn. */

/* Returns whether the stream gets the bytes of one ring as they are. Any other needs a merge. */
static bool is_plain(const struct stream *stream)
{
    return stream->first.also == NULL && stream->chunked;
}

/* Gathers everything up to the limit, in one piece or two, without looking at frames: if a partial
 * write left the cursor in the middle of a frame, the rest of that frame simply comes next. */
static void gather_span(const struct member *m, struct gather *g)
{
    uint64_t end = member_end(m);
    g->bytes = (size_t)(end - m->cursor);
    g->count = ring_pieces(&m->room->ring, m->cursor, end, g->pieces);
}

/* Comparing cursors with tails is the only cost of slow clients. */
bool stream_gather(struct stream *stream, struct gather *g)
{
    const struct member *m = &stream->first;
    do {
        if (m->cursor < m->room->ring.tail)
            return false;
    } while ((m = m->also) != NULL);
    g->all = true; /* until merging finds that no further piece fits */
    if (is_plain(stream))
        gather_span(&stream->first, g);
    else
        merge_gather(stream, g);
    return true;
}

/* Walks merged pieces in the order in which they were sent. A complete piece moves its cursor to
 * `next`, which is after the envelope even if the envelope was left out. A partly sent piece moves
 * its cursor to the first unsent byte, and all pieces after it are unsent. */
void stream_advance(struct stream *stream, const struct gather *g, size_t sent)
{
    if (is_plain(stream)) {
        stream->first.cursor += sent;
        return;
    }
    for (int i = 0; i < g->count && sent > 0; i++) {
        size_t len = g->pieces[i].iov_len;
        if (sent < len) {
            g->places[i].member->cursor = g->places[i].from + sent;
            return;
        }
        g->places[i].member->cursor = g->places[i].next;
        sent -= len;
    }
}

/* Call this only for long polls, which send pages instead of frames, so their cursors do not
 * move. */
bool stream_is_behind(const struct stream *stream)
{
    for (const struct member *m = &stream->first; m != NULL; m = m->also)
        if (m->cursor < m->room->ring.head)
            return true;
    return false;
}

void stream_go_live(struct stream *stream)
{
    for (struct member *m = &stream->first; m != NULL; m = m->also)
        m->limit = UINT64_MAX;
}

/* Compares by the sign of the difference, so that a wrap-around of the 32-bit counter is harmless
 * (serial number arithmetic, RFC 1982); a stream that has just joined may be ahead of the snapshot.
 * Nothing is copied: all streams of a room are sent the same bytes, without the envelope if not
 * chunked. The owner must keep whatever the socket does not take, because the next snapshot
 * replaces this one. */
bool stream_next_presence(struct stream *stream, struct span *frame)
{
    for (struct member *m = &stream->first; m != NULL; m = m->also) {
        const struct presence *p = &m->room->presence;
        if (p->snapshot.len == 0 || (int32_t)(p->snapshot_change - m->seen) <= 0)
            continue;
        m->seen = p->snapshot_change;
        *frame = buffer_span(&p->snapshot);
        if (!stream->chunked) {
            frame->at += FRAME_LEAD_BYTES;
            frame->len -= FRAME_ENVELOPE_BYTES;
        }
        return true;
    }
    return false;
}
