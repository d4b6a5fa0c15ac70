/* stream.c - the hub's readers: which rooms they are in, and what each gets next.
 *
 * A stream in one room with chunks (nearly all of them) gets the span from its cursor to the head,
 * however many frames lie in it: ten messages are one send. Any other stream gets its frames one by
 * one: merge.c.
 *
 * What is not a message stays out of the ring and has no id: a `gap` is written for the one stream
 * that it concerns, and presence is one snapshot a room, which each stream gets when it has caught
 * up. So neither takes history away, and neither is replayed.
 *
 * Joining is all or nothing, and linear in the stream's rooms, as is all else here. */

#include "hub/stream.h"

#include "base/print.h"
#include "hub/merge.h"
#include "hub/room.h"
#include "json.h"

#include <stdlib.h>

/* ==== Coming and going ======================================================================= */

/* Makes one member for each room, and the rooms that do not exist. Messages that are there already
 * are not the stream's until stream_seek: each cursor begins at the head. On failure the members so
 * far stay, the last perhaps without a room, and stream_leave removes them. */
static enum join add_members(
    struct hub *hub, struct stream *stream, const struct span *rooms, size_t count)
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
        struct room *room = room_make(hub, rooms[i], &join);
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

/* Shows the stream in all its rooms, or in none: a name's place in a room needs memory. Snapshots
 * are due only when it is in all of them. */
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

/* The name is held for the whole of the stream's life: the rooms' presence only points to it. */
enum join stream_join(struct hub *hub, struct stream *stream, const struct span *rooms,
    size_t count, struct span name, bool present)
{
    must(count >= 1 && count <= STREAM_ROOMS_MAX);
    *stream = (struct stream) { .chunked = stream->chunked };
    list_init(&stream->first.link);
    if (present && name.len > 0) {
        stream->name = name_hold(&hub->names, name);
        if (stream->name == NULL)
            return JOIN_NO_MEMORY;
    }
    enum join join = add_members(hub, stream, rooms, count);
    if (join == JOIN_OK && present && !appear(hub, stream))
        join = JOIN_NO_MEMORY;
    if (join != JOIN_OK)
        stream_leave(hub, stream);
    return join;
}

/* Also the way back from a join that failed half-way. A room may go with its last member, so it is
 * not looked at after room_release; the name goes after all rooms have forgotten it. The struct
 * ends as if it had never joined, and a link in no list may be removed again. */
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

/* Tells the stream that messages of a room are lost to it. A gap has no id, because it must not
 * move what the client will send as Last-Event-ID. `after` is what the client asked for, null when
 * that is no id; `oldest` is where the replay begins. */
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

/* The limit is where the head is now. Messages that arrive while a slow stream replays come after
 * its `ready`, whose id says that all before it has been sent. */
bool stream_seek(
    struct hub *hub, struct stream *stream, const struct start *start, struct buffer *out)
{
    bool replay = false;
    for (struct member *m = &stream->first; m != NULL; m = m->also) {
        const struct ring *ring = &m->room->ring;
        const char *reason = history_gap(hub, m->room, start);
        if (reason != NULL)
            add_gap(out, stream, m->room, start->id, reason, start->since == SINCE_UNKNOWN);
        uint64_t number = history_seek(hub, m->room, start);
        m->cursor = number < ring->next ? ring_entry(ring, number)->offset : ring->head;
        m->limit = ring->head;
        replay |= m->cursor < m->limit;
    }
    return replay;
}

/* The counts include this stream, because it has joined before it is told. */
void stream_add_online(const struct stream *stream, struct buffer *out)
{
    for (const struct member *m = &stream->first; m != NULL; m = m->also) {
        buffer_add_string(out, m == &stream->first ? "{\"room\":" : ",{\"room\":");
        json_string_add(out, room_name(m->room));
        buffer_printf(out, ",\"online\":%u}", m->room->presence.online);
    }
}

/* A new stream is told the present state, which may be newer than the room's snapshot; `seen` keeps
 * it from getting that snapshot afterwards. */
void stream_add_presence(struct stream *stream, struct buffer *out)
{
    for (struct member *m = &stream->first; m != NULL; m = m->also) {
        presence_add(out, &m->room->presence, room_name(m->room), stream->chunked);
        m->seen = m->room->presence.change;
    }
}

/* ==== What to send next ====================================================================== */

/* In a stream's turn the owner sends these in order, each when it has sent all of the one before:
 *
 *      frames up to the limits ──► `ready`, stream_go_live ──► frames ──► presence ──► idle
 *
 * So a replay is wholly before live events, and presence, which is state, comes to a stream that
 * has caught up. When the socket is full, it goes on from there in its next turn. */

/* All that there is, as it lies, in one piece or two. No frame is looked at: a cursor in the middle
 * of a frame, where a partial write left it, needs no care, because the rest is just what comes
 * next. */
static void gather_span(struct member *m, struct gather *g)
{
    uint64_t from = m->cursor;
    g->count = ring_pieces(&m->room->ring, from, member_end(m), g->pieces);
    g->bytes = 0;
    for (int i = 0; i < g->count; i++) {
        size_t len = g->pieces[i].iov_len;
        g->places[i].member = m;
        g->places[i].from = from;
        g->places[i].next = from += len;
        g->bytes += len;
    }
}

/* `all` is true for a span; merging sets it to false when its pieces run out. */
void stream_gather(struct stream *stream, struct gather *g)
{
    struct member *first = &stream->first;
    g->all = true;
    if (first->also == NULL && stream->chunked)
        gather_span(first, g);
    else
        merge_gather(stream, g);
}

/* The pieces are in the order in which they were sent. Each that went whole takes its cursor to
 * `next`, which is behind the envelope also when that was left out. The first that went in part
 * takes it to the byte after the last one sent, and those behind it stay unsent. */
void stream_advance(const struct gather *g, size_t sent)
{
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

/* Only a long poll asks: it sends no frames but a page, and its cursors stay where it joined. */
bool stream_is_behind(const struct stream *stream)
{
    for (const struct member *m = &stream->first; m != NULL; m = m->also)
        if (m->cursor < m->room->ring.head)
            return true;
    return false;
}

/* This comparison is all that a slow client costs the ring. It must come before each gather. */
bool stream_is_overrun(const struct stream *stream)
{
    for (const struct member *m = &stream->first; m != NULL; m = m->also)
        if (m->cursor < m->room->ring.tail)
            return true;
    return false;
}

/* All of a stream's limits are set and lifted together, so that one tells. */
bool stream_is_replaying(const struct stream *stream)
{
    return stream->first.limit != UINT64_MAX;
}

void stream_go_live(struct stream *stream)
{
    for (struct member *m = &stream->first; m != NULL; m = m->also)
        m->limit = UINT64_MAX;
}

/* Compares by the sign of the difference, so that a wrap-around of the 32-bit counter is harmless
 * (serial number arithmetic, RFC 1982); a stream that has just joined may be ahead of the snapshot.
 * Nothing is copied: all streams of a room are sent the same bytes, those without chunks from
 * behind the lead. What the socket does not take is the owner's to keep, because the next snapshot
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
