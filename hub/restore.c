/* restore.c - restores what the hub remembers about dropped messages, and decides which rooms stay.
 *
 * hub_append restores the messages themselves. This file restores what no message contains: the id
 * at which the hub's history begins, the newest lost id, and whether the journal was damaged. After
 * a restart, these few ids (watermarks) decide whether a reader that resumes has a gap (history.c).
 *
 * When in doubt, a gap is reported: a false gap costs a reader a look at the history, but an
 * unreported gap silently costs it messages. */

#include "hub/restore.h"

#include "hub/room.h"

#include <stdlib.h>

/* Sets the ids to zero, the lowest id. restore_state or restore_past then sets `start`. */
void restore_begin(struct hub *hub)
{
    hub->start = hub->newest = hub->lost = (struct id) { 0, 0 };
    hub->restoring = true;
}

void restore_damage(struct hub *hub)
{
    hub->damage = true;
}

/* Never lowers `last`, because ids must grow across restarts even while the clock is behind. */
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

/* For qsort(3): orders rooms by their newest message, oldest first; empty rooms come first. */
static int compare_age(const void *a, const void *b)
{
    uint64_t left = newest_ms(*(const struct room *const *)a);
    uint64_t right = newest_ms(*(const struct room *const *)b);
    return (left > right) - (left < right);
}

/* Completes the hub's own ids once all messages are restored. If the journal contains no state,
 * because it was damaged or is new, the history begins at startup. The rooms and ids of a damaged
 * stretch are unknown. So a new id, which no reader has seen, becomes `lost`, and every reader that
 * resumes has an earlier id. */
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

/* Counts a restored room as silent since its newest message. So rooms enter the list of silent
 * rooms oldest first, which hub_tick relies on. The price is one array of all rooms, because the
 * table must not change during a walk. */
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
    /* The last `max` rooms stay. A room that is freed leaves its `lost` to the hub. */
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
