/* turn.c - the lists of turn.h.
 *
 * A stream in several rooms has a member in each, and can be due in one room and idle in another.
 * Serving the stream settles all its members, because it gets the messages of all its rooms.
 * Afterwards its members are all idle or all blocked.
 *
 * The order is fair by construction: a room's streams are served in the order in which they began
 * to wait, and rooms in rotation. No stream costs time before its room has something for it. */

#include "hub/turn.h"

#include "hub/room.h"

/* Puts the stream before those that are only due: it is usually further behind, and the ring may
 * soon pass its cursor. */
void turn_wake(struct hub *hub, struct stream *stream)
{
    for (struct member *m = &stream->first; m != NULL; m = m->also) {
        list_remove(&m->link);
        list_prepend(&m->room->due, &m->link);
        room_mark_due(hub, m->room);
    }
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
    stream->blocked = false;
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

/* Terminates, because each stream that is served leaves `due` or gets closer to the head. */
void turn_serve_before(struct hub *hub, struct room *room, uint64_t end)
{
    while (!list_empty(&room->due)) {
        struct member *m = CONTAINER(room->due.next, struct member, link);
        if (m->cursor >= end && !m->stream->blocked)
            return; /* woken streams are first and still marked blocked; the others are in order */
        turn_serve(hub, m->stream);
    }
}

/* Fetches the memory of the next stream while the kernel sends to this one, because with thousands
 * of streams that memory is rarely in a cache. Three cache lines contain what a delivery needs from
 * the owner's struct. A prefetch at the end of the list, where there is no stream, is harmless. */
static void prefetch(const struct link *next)
{
    for (size_t line = 0; line < 192; line += 64)
        __builtin_prefetch((const char *)next + line);
}

/* Moves a room to the end of the queue after each of its streams, not after all of them, because a
 * room with ten thousand streams must not delay a room with two. Lists are read again each time,
 * because serving may free streams and rooms. */
bool turn_run(struct hub *hub, unsigned count)
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
        if (count-- == 0)
            return true;
        prefetch(room->due.next->next);
        turn_serve(hub, CONTAINER(room->due.next, struct member, link)->stream);
    }
    return false;
}
