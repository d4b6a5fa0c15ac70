/* stream.c - the hub's readers: who is in which room, what each gets next, and whose turn it is.
 *
 * A stream that waits costs its cursor. A message wakes a room by moving the whole list of those
 * who are idle behind those who are due, in one step; hub_run then serves them one by one, from the
 * front, a bounded number each turn of the loop:
 *
 *      idle ──room_wake──► due ──hub_run──► served: all of it ──► idle (at the end)
 *                           ▲               served: not all ────► blocked
 *                           └──────────hub_wake────────────────────┘
 *
 * So `due` is in the order of the cursors but for those that hub_wake put in front.
 *
 * A stream in one room with chunks (nearly all of them) gets the span from its cursor to the head,
 * whatever lies in it. Any other stream gets frame by frame: the one with the smallest id among its
 * rooms, but the rest of a frame that was cut first. */

#include "hub.h"

#include "base/print.h"
#include "hub/room.h"

#include <stdlib.h>

/* ==== Coming and going ======================================================================= */

/* One member for each room; the first is inside the stream. */
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
        list_remove(&room->silent_rooms);
        member->room = room;
        member->cursor = room->ring.head;
        member->limit = UINT64_MAX;
    }
    return JOIN_OK;
}

/* Shows the stream in all its rooms, or in none. */
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

enum join hub_join(struct hub *hub, struct stream *stream, const struct span *rooms, size_t count,
    struct span name, bool present)
{
    must(count >= 1 && count <= HUB_STREAM_ROOMS_MAX);
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
        hub_leave(hub, stream);
    return join;
}

void hub_leave(struct hub *hub, struct stream *stream)
{
    for (struct member *m = &stream->first, *next; m != NULL; m = next) {
        next = m->also;
        list_remove(&m->link);
        if (m->room != NULL) {
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

bool hub_seek(struct hub *hub, struct stream *stream, const struct start *start, struct buffer *out)
{
    bool replay = false;
    for (struct member *m = &stream->first; m != NULL; m = m->also) {
        const struct ring *ring = &m->room->ring;
        const char *reason = room_gap(hub, m->room, start);
        if (reason != NULL)
            add_gap(out, stream, m->room, start->id, reason, start->since == SINCE_UNKNOWN);
        uint64_t number = room_seek(hub, m->room, start);
        m->cursor = number < ring->next ? ring_entry(ring, number)->offset : ring->head;
        m->limit = ring->head;
        replay |= m->cursor < m->limit;
    }
    return replay;
}

void hub_add_online(const struct stream *stream, struct buffer *out)
{
    for (const struct member *m = &stream->first; m != NULL; m = m->also) {
        buffer_add_string(out, m == &stream->first ? "{\"room\":" : ",{\"room\":");
        json_string_add(out, room_name(m->room));
        buffer_printf(out, ",\"online\":%u}", m->room->presence.online);
    }
}

void hub_add_presence(struct stream *stream, struct buffer *out)
{
    for (struct member *m = &stream->first; m != NULL; m = m->also) {
        presence_add(out, &m->room->presence, room_name(m->room), stream->chunked);
        m->seen = m->room->presence.change;
    }
}

/* ==== What to send next ====================================================================== */

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
    bool room_left = true;
    int count = ring_pieces(&m->room->ring, from, to, pieces);
    for (int i = 0; i < count; i++) {
        uint64_t next = from + pieces[i].iov_len;
        room_left = add_piece(g, m, pieces[i], from, i + 1 < count ? next : next + trail);
        from = next;
    }
    return room_left;
}

static uint64_t reachable(const struct member *m)
{
    return m->limit < m->room->ring.head ? m->limit : m->room->ring.head;
}

/* A walk over the frames of all rooms of a stream: for each room where it is now. */
struct walk {
    struct member *member;
    uint64_t number, cursor, end;
};

/* The room whose frame goes next: one that was cut, else the smallest id; NULL at the end. */
static struct walk *next_room(struct walk *walks, int count)
{
    struct walk *best = NULL;
    struct id best_id = { 0 };
    for (int i = 0; i < count; i++) {
        struct walk *w = &walks[i];
        if (w->cursor >= w->end)
            continue;
        const struct entry *entry = ring_entry(&w->member->room->ring, w->number);
        if (entry->offset < w->cursor)
            return w;
        if (best == NULL || id_before(entry->id, best_id)) {
            best = w;
            best_id = entry->id;
        }
    }
    return best;
}

/* Adds the frame, or what is left of it, and steps to the next one. */
static bool add_frame(struct gather *g, struct walk *w, bool chunked)
{
    const struct ring *ring = &w->member->room->ring;
    uint64_t begin = ring_entry(ring, w->number)->offset, end = ring_end(ring, w->number);
    uint64_t from = w->cursor;
    unsigned lead = chunked ? 0 : FRAME_LEAD_BYTES, trail = chunked ? 0 : FRAME_TRAIL_BYTES;
    w->cursor = end;
    w->number++;
    return add_span(g, w->member, from > begin + lead ? from : begin + lead, end - trail, trail);
}

/* Frame by frame, until there are none or no further piece fits. */
static void gather_frames(struct stream *stream, struct gather *g)
{
    struct walk walks[HUB_STREAM_ROOMS_MAX], *w;
    int count = 0;
    g->count = 0;
    g->bytes = 0;
    for (struct member *m = &stream->first; m != NULL; m = m->also) {
        uint64_t end = reachable(m);
        if (m->cursor < end)
            walks[count++] =
                (struct walk) { m, ring_at(&m->room->ring, m->cursor), m->cursor, end };
    }
    while (g->all && (w = next_room(walks, count)) != NULL)
        g->all = add_frame(g, w, stream->chunked);
}

/* All that there is, as it lies: what nearly every stream gets. */
static void gather_span(struct member *m, struct gather *g)
{
    uint64_t from = m->cursor;
    g->count = ring_pieces(&m->room->ring, from, reachable(m), g->pieces);
    g->bytes = 0;
    for (int i = 0; i < g->count; i++) {
        size_t len = g->pieces[i].iov_len;
        g->places[i].member = m;
        g->places[i].from = from;
        g->places[i].next = from += len;
        g->bytes += len;
    }
}

void hub_gather(struct stream *stream, struct gather *g)
{
    struct member *first = &stream->first;
    g->all = true;
    if (first->also == NULL && stream->chunked)
        gather_span(first, g);
    else
        gather_frames(stream, g);
}

void hub_advance(const struct gather *g, size_t sent)
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

bool hub_in_frame(const struct stream *stream)
{
    for (const struct member *m = &stream->first; m != NULL; m = m->also) {
        const struct ring *ring = &m->room->ring;
        if (m->cursor < ring->tail)
            return true; /* overrun: nobody can tell any more */
        if (m->cursor < ring->head &&
            ring_entry(ring, ring_at(ring, m->cursor))->offset != m->cursor)
            return true;
    }
    return false;
}

bool hub_is_behind(const struct stream *stream)
{
    for (const struct member *m = &stream->first; m != NULL; m = m->also)
        if (m->cursor < m->room->ring.head)
            return true;
    return false;
}

bool hub_is_overrun(const struct stream *stream)
{
    for (const struct member *m = &stream->first; m != NULL; m = m->also)
        if (m->cursor < m->room->ring.tail)
            return true;
    return false;
}

bool hub_is_replaying(const struct stream *stream)
{
    return stream->first.limit != UINT64_MAX;
}

void hub_go_live(struct stream *stream)
{
    for (struct member *m = &stream->first; m != NULL; m = m->also)
        m->limit = UINT64_MAX;
}

bool hub_next_presence(struct stream *stream, struct span *frame)
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

/* ==== Whose turn it is ======================================================================= */

static void mark_due(struct hub *hub, struct room *room)
{
    if (!list_empty(&room->due) && list_empty(&room->due_rooms))
        list_append(&hub->due_rooms, &room->due_rooms);
}

void room_wake(struct hub *hub, struct room *room)
{
    list_splice(&room->idle, &room->due);
    mark_due(hub, room);
}

void hub_wake(struct hub *hub, struct stream *stream)
{
    for (struct member *m = &stream->first; m != NULL; m = m->also) {
        list_remove(&m->link);
        list_prepend(&m->room->due, &m->link);
        mark_due(hub, m->room);
    }
}

/* While it is served, a stream is in no list; then it is in the same one in each of its rooms. */
static void serve(struct hub *hub, struct stream *stream)
{
    must(stream != NULL);
    for (struct member *m = &stream->first; m != NULL; m = m->also)
        list_remove(&m->link);
    hub->blocked -= stream->blocked;
    stream->blocked = false;
    enum served served = hub->settings->serve(stream);
    if (served == SERVED_GONE)
        return;
    stream->blocked = served == SERVED_BLOCKED;
    hub->blocked += stream->blocked;
    for (struct member *m = &stream->first; m != NULL; m = m->also)
        list_append(stream->blocked ? &m->room->blocked : &m->room->idle, &m->link);
}

void hub_start(struct hub *hub, struct stream *stream)
{
    serve(hub, stream);
}

void room_serve_before(struct hub *hub, struct room *room, uint64_t end)
{
    while (!list_empty(&room->due)) {
        struct member *m = CONTAINER(room->due.next, struct member, link);
        if (m->cursor >= end && !m->stream->blocked)
            return; /* those that were woken are all in front, the rest is in order */
        serve(hub, m->stream);
    }
}

/* While the kernel sends to one stream, the memory of the next one comes nearer. */
static void prefetch(const struct link *next)
{
    for (size_t line = 0; line < 192; line += 64)
        __builtin_prefetch((const char *)next + line);
}

void hub_run(struct hub *hub, unsigned count)
{
    while (!list_empty(&hub->due_rooms)) {
        struct room *room = CONTAINER(hub->due_rooms.next, struct room, due_rooms);
        if (list_empty(&room->due)) {
            list_remove(&room->due_rooms);
            continue;
        }
        if (room->due_rooms.next != &hub->due_rooms) { /* others have their turn, too */
            list_remove(&room->due_rooms);
            list_append(&hub->due_rooms, &room->due_rooms);
        }
        if (count-- == 0)
            return;
        prefetch(room->due.next->next);
        serve(hub, CONTAINER(room->due.next, struct member, link)->stream);
    }
}
