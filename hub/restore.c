/* restore.c - the hub's past: what it remembers of messages that are gone, which rooms stay.
 *
 * The messages themselves enter by hub_append. Here is what no message tells: where memory begins,
 * what was lost, and that damage was found. */

#include "hub/restore.h"

#include "hub/room.h"

#include <stdlib.h>

void restore_begin(struct hub *hub)
{
    hub->start = hub->newest = hub->lost = (struct id) { 0, 0 };
    hub->restoring = true;
}

void restore_damage(struct hub *hub)
{
    hub->damage = true;
}

void restore_state(struct hub *hub, struct id start, struct id last, struct id lost)
{
    hub->start = start;
    hub->lost = lost;
    if (id_before(hub->last, last))
        hub->last = last;
}

bool restore_room(struct hub *hub, struct span name, struct id lost)
{
    struct room *room = room_find(hub, name);
    if (room == NULL)
        room = room_new(hub, name);
    if (room != NULL)
        room->lost = lost;
    return room != NULL;
}

static uint64_t newest_ms(const struct room *room)
{
    const struct ring *ring = &room->ring;
    return ring_empty(ring) ? 0 : ring_entry(ring, ring->next - 1)->id.ms;
}

/* The one with the older newest message first. */
static int compare_age(const void *a, const void *b)
{
    uint64_t left = newest_ms(*(const struct room *const *)a);
    uint64_t right = newest_ms(*(const struct room *const *)b);
    return (left > right) - (left < right);
}

/* The hub's own past, when all messages are there. A journal without its state (it was damaged, or
 * is new) begins with the process. Of what was damaged nobody knows the room or the id: everybody
 * who was away is told of a gap, by an id that nobody has seen yet. */
static void restore_past(struct hub *hub)
{
    struct id none = { 0, 0 };
    if (id_equal(hub->start, none))
        hub->start = hub->lost = (struct id) { hub->unix_ms, 0 };
    if (hub->damage)
        hub->lost = next_id(hub);
    if (id_before(hub->newest, hub->lost))
        hub->newest = hub->lost; /* what `ready` tells a new reader must not be behind a gap */
}

/* A restored room has been silent since its newest message, whenever that was. */
bool restore_end(struct hub *hub)
{
    size_t count = hub->rooms.count, i = 0;
    struct room **rooms = malloc((count + 1) * sizeof *rooms);
    if (rooms == NULL)
        return false;
    restore_past(hub);
    hub->restoring = false;
    for (struct node *n = NULL; (n = table_walk(&hub->rooms, n)) != NULL;)
        rooms[i++] = CONTAINER(n, struct room, node);
    qsort(rooms, count, sizeof *rooms, compare_age);
    uint64_t max = hub->settings->max_rooms;
    for (i = 0; i < count; i++) {
        if (ring_empty(&rooms[i]->ring) || (max > 0 && count - i > max)) {
            room_free(hub, rooms[i]);
            continue;
        }
        if (hub->damage)
            rooms[i]->lost = hub->lost;
        room_release(hub, rooms[i]);
        uint64_t newest = newest_ms(rooms[i]);
        if (newest < hub->unix_ms)
            rooms[i]->silent_ms -= (int64_t)(hub->unix_ms - newest);
    }
    free(rooms);
    return true;
}
