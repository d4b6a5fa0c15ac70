/* restore.c - the hub's past: what it remembers of messages that are gone, and which rooms stay.
 *
 * The messages themselves enter by hub_append, the one way into a ring. Here is what no message
 * tells: where memory begins, what was lost, and that damage was found. These few ids (watermarks)
 * decide after a restart whether a reader that resumes has a gap (history.c).
 *
 * When in doubt a gap is told: a gap that is not real costs a reader a look at the history, a gap
 * that is not told costs it messages without its knowing. */

#include "hub/restore.h"

#include "hub/room.h"

#include <stdlib.h>

/* A zero id is before all others: `start` is set when it is found, or by restore_past. */
void restore_begin(struct hub *hub)
{
    hub->start = hub->newest = hub->lost = (struct id) { 0, 0 };
    hub->restoring = true;
}

void restore_damage(struct hub *hub)
{
    hub->damage = true;
}

/* `last` never goes back, because ids must grow over restarts also while the clock is behind. */
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

/* For qsort(3): the room with the older newest message first, empty ones before all. */
static int compare_age(const void *a, const void *b)
{
    uint64_t left = newest_ms(*(const struct room *const *)a);
    uint64_t right = newest_ms(*(const struct room *const *)b);
    return (left > right) - (left < right);
}

/* Completes the hub's own past when all messages are there. The memory of a journal without its
 * state (it was damaged, or is new) begins with the process. Which room and which ids a damaged
 * stretch had cannot be told. So an id that no reader has seen yet is used up as lost, and every
 * reader that resumes is before it. */
static void restore_past(struct hub *hub)
{
    struct id none = { 0, 0 };
    if (id_equal(hub->start, none))
        hub->start = hub->lost = (struct id) { hub->unix_ms, 0 };
    if (hub->damage)
        hub->lost = next_id(hub);
    if (id_before(hub->newest, hub->lost))
        hub->newest = hub->lost; /* the id in `ready` must not be before a gap */
}

/* A restored room has been silent since its newest message, whenever that was; so rooms enter the
 * list of silent ones in the order of their age, which hub_tick relies on. The price is an array of
 * all rooms, once, because the table must not change while it is walked. */
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
    /* The last `max` of the array stay. A room that goes leaves its `lost` to the hub. */
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
