/* turn.c - the lists of turn.h.
 *
 * A stream in several rooms has a member in each, and may be due in one and idle in another; being
 * served settles all of them, because it gets what all its rooms have. Afterwards, and while it is
 * blocked, its members are in the same list in each room.
 *
 * Fair by construction: a room's streams are served in the order of waiting, rooms in rotation. No
 * stream is looked at before its room has something for it, however many there are. */

#include "hub/turn.h"

#include "hub/room.h"

/* In front of the streams that are only due: as a rule it is further behind, and the ring may soon
 * pass its cursor. */
void turn_wake(struct hub *hub, struct stream *stream)
{
    for (struct member *m = &stream->first; m != NULL; m = m->also) {
        list_remove(&m->link);
        list_prepend(&m->room->due, &m->link);
        room_mark_due(hub, m->room);
    }
}

/* While it is served, a stream is in no list. So its owner may take it out of the hub, and no walk
 * over a list can come to it a second time. After SERVED_GONE the struct may be freed memory. Going
 * to the end of idle keeps that list in the order of the cursors. */
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
    stream->blocked = served == SERVED_BLOCKED;
    hub->blocked += stream->blocked;
    for (struct member *m = &stream->first; m != NULL; m = m->also)
        list_append(stream->blocked ? &m->room->blocked : &m->room->idle, &m->link);
}

/* Ends, because each stream that is served leaves `due`. */
void turn_serve_before(struct hub *hub, struct room *room, uint64_t end)
{
    while (!list_empty(&room->due)) {
        struct member *m = CONTAINER(room->due.next, struct member, link);
        if (m->cursor >= end && !m->stream->blocked)
            return; /* streams that turn_wake put in front are still marked; the rest is in order */
        turn_serve(hub, m->stream);
    }
}

/* While the kernel sends to one stream, the memory of the next one comes nearer: with thousands of
 * streams it is rarely in a cache. Three lines hold what a delivery needs of the owner's struct. A
 * prefetch of an address that is no stream's (the end of the list) is harmless. */
static void prefetch(const struct link *next)
{
    for (size_t line = 0; line < 192; line += 64)
        __builtin_prefetch((const char *)next + line);
}

/* A room goes to the end of the line after each of its streams, not after all of them: a room with
 * ten thousand must not delay one with two. Lists are read again each time, because serving may
 * free streams and rooms. */
void turn_run(struct hub *hub, unsigned count)
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
            return;
        prefetch(room->due.next->next);
        turn_serve(hub, CONTAINER(room->due.next, struct member, link)->stream);
    }
}
