/* restore.c - restores what the hub remembers about dropped messages, and decides which rooms stay.
 *
 * hub_append restores the messages themselves. This file restores what no message contains: the id
 * at which the hub's history begins, the newest lost id, which ids no message has, and whether the
 * journal was damaged. After a restart, these few ids (watermarks) decide whether a reader that
 * resumes has a gap (history.c).
 *
 * When in doubt, a gap is reported: a false gap costs a reader a look at the history, but an
 * unreported gap silently costs it messages. */

#include "hub/restore.h"

#include "base/sort.h"
#include "hub/room.h"

#include <stdlib.h>

/* Sets the ids to zero, the lowest id. restore_state or restore_past then sets `start`. */
void restore_begin(struct hub *hub)
{
    hub->start = hub->last = hub->newest = hub->lost = (struct id) { 0, 0 };
    hub->restoring = true;
}

void restore_damage(struct hub *hub)
{
    hub->damage = true;
}

/* Never lowers an id. If journals were joined into one file, the earliest start counts. */
bool restore_state(struct hub *hub, struct id start, struct id last, struct id lost)
{
    struct id none = { 0, 0 };
    if (id_equal(hub->start, none) || id_before(start, hub->start))
        hub->start = start;
    hub->lost_before = hub->lost;
    id_raise(&hub->lost, lost);
    if (id_before(last, hub->last))
        return false;
    hub->last = last;
    hub->unused_count = 0;
    return true;
}

void restore_unused(struct hub *hub, struct id after, struct id before)
{
    if (hub->unused_count == UNUSED_MAX) {
        hub->unused_count--;
        memmove(hub->unused, hub->unused + 1, hub->unused_count * sizeof *hub->unused);
    }
    hub->unused[hub->unused_count++] = (struct interval) { after, before };
}

/* Raises the limit of all rings, to a power of two. They take memory only for what they hold. */
void restore_history(struct hub *hub, uint64_t bytes)
{
    while (hub->limit < bytes && hub->limit < SIZE_MAX / 4)
        hub->limit *= 2;
    for (struct node *n = NULL; (n = table_walk(&hub->rooms, n)) != NULL;)
        CONTAINER(n, struct room, node)->ring.limit = hub->limit;
}

/* A room that has such a record was there before others were freed, so it does not begin with the
 * hub's `lost`: that would be a false gap for each of its readers. It does begin with what was lost
 * in a journal before this one, in the same file. */
bool restore_room(struct hub *hub, struct span name, struct id lost)
{
    struct room *room = room_find(hub, name);
    if (room == NULL) {
        room = room_new(hub, name);
        if (room == NULL)
            return false;
        room->lost = hub->lost_before;
    }
    id_raise(&room->lost, lost);
    id_raise(&hub->last, lost);
    return true;
}

/* Keeps messages after `lost`: the record may be repeated. */
void restore_forgotten(struct hub *hub, struct span name, struct id lost)
{
    struct room *room = room_find(hub, name);
    while (room != NULL && !ring_empty(&room->ring) &&
           !id_before(lost, ring_entry(&room->ring, room->ring.first)->id))
        room_drop_oldest(hub, room);
    if (room != NULL)
        id_raise(&room->lost, lost);
    if (room != NULL && ring_empty(&room->ring))
        room_free(hub, room);
    id_raise(&hub->lost, lost);
    id_raise(&hub->last, lost);
}

/* ==== The end ================================================================================ */

/* Returns the time of a room's newest message, or 0 if it has none. */
static uint64_t newest_ms(const struct room *room)
{
    const struct ring *ring = &room->ring;
    return ring_empty(ring) ? 0 : ring_entry(ring, ring->next - 1)->time_ms;
}

/* For sort_pointers: orders rooms by their newest message, oldest first; empty rooms come first. */
static bool is_older(const void *a, const void *b)
{
    return newest_ms(a) < newest_ms(b);
}

/* Adds an interval, or extends the last one if a start without a message separates them: no reader
 * has got the first id of that start, unless it is a watermark. So the few intervals last for as
 * many losses. */
static void add_unused(struct hub *hub, struct id after, struct id before)
{
    struct interval *last = hub->unused_count > 0 ? &hub->unused[hub->unused_count - 1] : NULL;
    if (last != NULL && id_equal(last->before, after) && !id_equal(hub->lost, after) &&
        !id_equal(hub->start, after))
        last->before = before;
    else
        restore_unused(hub, after, before);
}

/* Completes the hub's own ids once all messages are restored. The ids of this process begin with a
 * new one, `first`; whatever lies between it and the newest id in the journal was given to messages
 * that are not here, or to none. If the journal contains no state, because it was damaged or is
 * new, the history begins at startup. The rooms and ids of a damaged stretch are unknown, so
 * `first`, which no reader has seen, becomes `lost`, and every reader that resumes has an earlier
 * id. */
static void restore_past(struct hub *hub)
{
    struct id none = { 0, 0 }, loaded = hub->last, first = next_id(hub);
    if (id_equal(hub->start, none))
        hub->start = hub->lost = first;
    else if (loaded.ms != first.ms || loaded.seq + 1 < first.seq)
        add_unused(hub, loaded, first);
    if (hub->damage)
        hub->lost = first;
}

/* Returns whether a ring holds more than `limit`. A single message does only by its frame. */
static bool is_over(const struct ring *ring, size_t limit)
{
    bool several = ring->next - ring->first > 1;
    return (several ? ring_weight(ring) : ring->head - ring->tail) > limit;
}

/* Drops what exceeds --history, as a ring does that gets the same messages with that limit. Returns
 * false if out of memory. */
static bool fit(struct hub *hub, struct room *room, struct restore_excess *excess)
{
    struct ring *ring = &room->ring;
    while (is_over(ring, hub->limit)) {
        excess->messages++;
        excess->bytes += ring_end(ring, ring->first) - ring_entry(ring, ring->first)->offset;
        room_drop_oldest(hub, room);
    }
    return ring_shrink(ring, hub->limit);
}

/* Makes a room silent since its newest message, at `now_ms` by the messages' own times: the clock
 * can be wrong at one start, and days ahead, which must not cost a room its history. Not longer
 * than the grace allows: it may have had streams all the time. */
static void make_silent(
    struct hub *hub, struct room *room, uint64_t now_ms, struct restore_excess *excess)
{
    uint64_t newest = newest_ms(room), ttl = hub->settings->room_ttl_ms;
    uint64_t most = ttl > RESTORE_GRACE_MS ? ttl - RESTORE_GRACE_MS : 0;
    uint64_t silent = newest < now_ms ? now_ms - newest : 0;
    room_release(hub, room);
    room->silent_ms -= (int64_t)(silent < most ? silent : most);
    if (silent < ttl)
        return;
    excess->silent++;
    excess->silent_messages += room->ring.next - room->ring.first;
}

/* Frees a room that is empty or one too many, or makes it silent. */
static bool settle_room(
    struct hub *hub, struct room *room, bool stays, uint64_t now_ms, struct restore_excess *excess)
{
    if (!stays && newest_ms(room) > 0) {
        excess->rooms++;
        excess->room_messages += room->ring.next - room->ring.first;
    } else if (!fit(hub, room, excess)) {
        return false;
    }
    if (!stays || ring_empty(&room->ring)) {
        room_free(hub, room); /* leaves its `lost` to the hub */
        return true;
    }
    if (hub->damage)
        id_raise(&room->lost, hub->lost);
    make_silent(hub, room, now_ms, excess);
    return true;
}

/* Lets the rooms enter the list of silent rooms in the order of their newest messages, which
 * hub_tick relies on. The price is one array of all rooms, because the table must not change during
 * a walk. */
bool restore_end(struct hub *hub, struct restore_excess *excess)
{
    size_t count = hub->rooms.count, i = 0;
    struct room **rooms = malloc((count + 1) * sizeof *rooms);
    uint64_t max = hub->settings->max_rooms, now_ms;
    bool fits = true, stays;
    *excess = (struct restore_excess) { 0 };
    if (rooms == NULL)
        return false;
    restore_past(hub);
    hub->restoring = false;
    hub->limit = (size_t)hub->settings->history;
    for (struct node *n = NULL; (n = table_walk(&hub->rooms, n)) != NULL;)
        rooms[i++] = CONTAINER(n, struct room, node);
    sort_pointers(rooms, count, is_older);
    now_ms = count > 0 ? newest_ms(rooms[count - 1]) : 0;
    now_ms = now_ms < hub->unix_ms ? now_ms : hub->unix_ms;
    for (i = 0; i < count && fits; i++) { /* the last `max` rooms that count stay */
        stays = rooms[i]->exempt || hub->counted <= max;
        fits = settle_room(hub, rooms[i], stays, now_ms, excess);
    }
    id_raise(&hub->newest, hub->lost); /* the id in `ready` must not be before a gap */
    free(rooms);
    return fits;
}
