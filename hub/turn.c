/* turn.c - the lists of turn.h: a stream is in the same list in each of its rooms. */

#include "hub/turn.h"

#include "hub/room.h"

void turn_wake(struct hub *hub, struct stream *stream)
{
    for (struct member *m = &stream->first; m != NULL; m = m->also) {
        list_remove(&m->link);
        list_prepend(&m->room->due, &m->link);
        room_mark_due(hub, m->room);
    }
}

/* While it is served, a stream is in no list; then it is in the same one in each of its rooms. */
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

void turn_serve_before(struct hub *hub, struct room *room, uint64_t end)
{
    while (!list_empty(&room->due)) {
        struct member *m = CONTAINER(room->due.next, struct member, link);
        if (m->cursor >= end && !m->stream->blocked)
            return; /* those that were woken are all in front, the rest is in order */
        turn_serve(hub, m->stream);
    }
}

/* While the kernel sends to one stream, the memory of the next one comes nearer. */
static void prefetch(const struct link *next)
{
    for (size_t line = 0; line < 192; line += 64)
        __builtin_prefetch((const char *)next + line);
}

void turn_run(struct hub *hub, unsigned count)
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
        turn_serve(hub, CONTAINER(room->due.next, struct member, link)->stream);
    }
}
