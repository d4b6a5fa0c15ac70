/* turn.c - the lists of turn.h.
 *
 * A stream in several rooms has a member in each, and can be due in one room and idle in another.
 * Serving the stream settles all its members, because it gets the messages of all its rooms.
 * Afterwards its members are all idle or all blocked.
 *
 * The order is fair by construction: a room's streams are served in the order in which they began
 * to wait, rooms in rotation, and streams that are far behind apart from the others. No stream
 * costs time before its room has something for it. */

#include "hub/turn.h"

#include "hub/room.h"

/* Only the first member's link is in `behind`; the others are in no list, so that no room wakes the
 * stream meanwhile. A stream that is there keeps its place: its socket is reported in every turn,
 * and would otherwise move it behind all others each time. */
void turn_wake(struct hub *hub, struct stream *stream)
{
    if (stream->behind)
        return;
    stream->behind = true;
    for (struct member *m = &stream->first; m != NULL; m = m->also)
        list_remove(&m->link);
    list_append(&hub->behind, &stream->first.link);
}

/* Keeps the stream out of all lists while it is being served. So its owner may take it out of the
 * hub, and no walk over a list can reach it twice. After SERVED_GONE the struct may be freed
 * memory. Appending to `idle` keeps that list in the order of the cursors. */
void turn_serve(struct hub *hub, struct stream *stream)
{
    must(stream != NULL);
    for (struct member *m = &stream->first; m != NULL; m = m->also)
        list_remove(&m->link);
    hub->blocked -= stream->blocked;
    stream->blocked = stream->behind = false;
    enum served served = hub->owner.serve(stream);
    if (served == SERVED_GONE)
        return;
    stream->blocked = served != SERVED_ALL;
    hub->blocked += stream->blocked;
    for (struct member *m = &stream->first; m != NULL; m = m->also)
        list_append(stream->blocked ? &m->room->blocked : &m->room->idle, &m->link);
    if (served == SERVED_MORE)
        turn_wake(hub, stream);
}

static struct stream *stream_at(struct link *link)
{
    return CONTAINER(link, struct member, link)->stream;
}

/* Fetches the memory of the next stream while the kernel sends to this one, because with thousands
 * of streams that memory is rarely in a cache. Three cache lines contain what a delivery needs from
 * the owner's struct. A prefetch at the end of the list, where there is no stream, is harmless. */
static void prefetch(const struct link *next)
{
    for (size_t line = 0; line < 192; line += 64)
        __builtin_prefetch((const char *)next + line);
}

/* Returns the first due stream of the first due room, or NULL. Moves the room to the end of the
 * queue after each of its streams, not after all of them, because a room with ten thousand streams
 * must not delay a room with two. */
static struct stream *next_due(struct hub *hub)
{
    while (!list_empty(&hub->due_rooms)) {
        struct room *room = CONTAINER(hub->due_rooms.next, struct room, due_rooms);
        if (list_empty(&room->due)) {
            list_remove(&room->due_rooms);
            continue;
        }
        if (room->due_rooms.next != &hub->due_rooms) { /* other rooms are due */
            list_remove(&room->due_rooms);
            list_append(&hub->due_rooms, &room->due_rooms);
        }
        prefetch(room->due.next->next);
        return stream_at(room->due.next);
    }
    return NULL;
}

/* One of BEHIND_ONE_OF streams that are served is one that is behind, if there are both kinds. The
 * lists are read again each time, because serving may free streams and rooms. */
bool turn_run(struct hub *hub, unsigned count)
{
    enum { BEHIND_ONE_OF = 4 };
    for (; count > 0; count--) {
        bool behind = !list_empty(&hub->behind) && count % BEHIND_ONE_OF == 0;
        struct stream *stream = behind ? NULL : next_due(hub);
        if (stream == NULL && list_empty(&hub->behind))
            return false;
        turn_serve(hub, stream != NULL ? stream : stream_at(hub->behind.next));
    }
    return !list_empty(&hub->behind) || !list_empty(&hub->due_rooms);
}

/* ==== Before frames are dropped =============================================================== */

/* Returns whether the stream has not been offered the bytes of `room` before `end`. */
static bool misses(const struct stream *stream, const struct room *room, uint64_t end)
{
    for (const struct member *m = &stream->first; m != NULL; m = m->also)
        if (m->room == room && m->cursor < end)
            return true;
    return false;
}

/* Walks `behind` again from its front after each stream, because serving may remove others.
 * Terminates, because each stream that is served leaves its list or moves its cursors. */
void turn_serve_before(struct hub *hub, struct room *room, uint64_t end)
{
    for (struct link *l = hub->behind.next; l != &hub->behind;) {
        bool serves = misses(stream_at(l), room, end);
        if (serves)
            turn_serve(hub, stream_at(l));
        l = serves ? hub->behind.next : l->next;
    }
    while (!list_empty(&room->due)) {
        struct member *m = CONTAINER(room->due.next, struct member, link);
        if (m->cursor >= end) /* they are in the order of their cursors */
            return;
        turn_serve(hub, m->stream);
    }
}
