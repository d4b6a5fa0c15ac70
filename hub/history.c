/* history.c - reads from the hub: where a reader begins, pages of a room's history, the list of
 * rooms.
 *
 * Nothing here changes the hub. A page costs a binary search and its bytes. The list of rooms looks
 * at all rooms: it is for users, and not on the hot path.
 *
 * A reader gives its position as the id of the last message it got. The hub remembers no readers;
 * for each room it keeps only one dropped id, the newest: `lost`. The position of the reader's id
 * decides whether the reader has missed anything:
 *
 *      ids   ─────── start ──────── lost ─────── newest of the room ─────── last ──────────►
 *                  │              │                                       │
 *       restarted  │   expired    │                no gap                 │    unknown
 *
 *      start   where the server's memory begins; without a journal, at startup
 *      lost    a reader with an older id has missed this message; a reader with this id has not
 *      last    the newest id given to any message: an id after it was never given */

#include "hub/history.h"

#include "base/print.h"
#include "hub/room.h"
#include "json.h"

#include <stdlib.h>

/* ==== Reading back =========================================================================== */

/* Returns whether no message here has or had the id, or one like it: it is malformed, newer than
 * all ids given, or from messages that were lost with their journal. */
static bool is_unknown(const struct hub *hub, const struct start *start)
{
    bool unknown = start->since == SINCE_UNKNOWN;
    for (unsigned i = 0; start->since == SINCE_ID && i < hub->unused_count; i++)
        unknown |= id_before(hub->unused[i].after, start->id) &&
                   id_before(start->id, hub->unused[i].before);
    return unknown || (start->since == SINCE_ID && id_before(hub->last, start->id));
}

/* Uses the hub's `lost` for a missing room, which may have been dropped with its messages. */
const char *history_gap(const struct hub *hub, const struct room *room, const struct start *start)
{
    if (is_unknown(hub, start))
        return "unknown";
    if (start->since != SINCE_ID)
        return NULL;
    if (!id_before(start->id, room != NULL ? room->lost : hub->lost))
        return NULL;
    return id_before(start->id, hub->start) ? "restarted" : "expired";
}

/* Gives a reader with an unknown id all held messages, because it may have missed any of them. A
 * reader with an expired id also gets all of them, because they all follow its id. history_gap
 * decides whether there is a gap. */
uint64_t history_seek(const struct hub *hub, const struct room *room, const struct start *start)
{
    const struct ring *ring = &room->ring;
    if (is_unknown(hub, start))
        return ring->first;
    if (start->since == SINCE_ID)
        return ring_after(ring, start->id);
    if (start->since == SINCE_NOW)
        return ring->next;
    uint64_t held = ring->next - ring->first;
    return ring->next - (held < start->count ? held : start->count);
}

/* Finds the entries of a page, from *first to before *end. The page grows from one end, message by
 * message, until it reaches its limit or exceeds HISTORY_PAGE_BYTES. The bytes are checked before
 * each message is added, so that a page always gets at least one message. */
static void page_bounds(const struct hub *hub, const struct room *room, const struct page_query *q,
    uint64_t *first, uint64_t *end)
{
    const struct ring *ring = &room->ring;
    bool forwards = q->start.since == SINCE_ID || q->start.since == SINCE_UNKNOWN;
    if (forwards) {
        *first = *end = history_seek(hub, room, &q->start);
    } else {
        /* After the last entry up to `before`, which is `before` itself if that is still held. */
        *end = q->has_before ? ring_after(ring, q->before) : ring->next;
        if (q->has_before && *end > ring->first &&
            id_equal(ring_entry(ring, *end - 1)->id, q->before))
            --*end;
        *first = *end;
    }
    uint64_t bytes = 0;
    for (unsigned count = 0; count < q->limit && bytes <= HISTORY_PAGE_BYTES; count++) {
        if (forwards ? *end == ring->next : *first == ring->first)
            return;
        uint64_t number = forwards ? (*end)++ : --*first;
        bytes += ring_end(ring, number) - ring_entry(ring, number)->offset;
    }
}

/* Appends one element. The frame may wrap around in the ring, so it is copied to `payload` first,
 * without its envelope; the caller keeps that buffer for the whole page. */
static void add_entry(
    struct buffer *out, const struct room *room, uint64_t number, struct buffer *payload)
{
    const struct ring *ring = &room->ring;
    const struct entry *entry = ring_entry(ring, number);
    buffer_clear(payload);
    ring_copy(ring, entry->offset + FRAME_LEAD_BYTES, ring_end(ring, number) - FRAME_TRAIL_BYTES,
        payload);
    frame_to_json(
        out, buffer_span(payload), entry->kind, room_name(room), entry->id, entry->time_ms);
    out->failed |= payload->failed;
}

/* In an empty page of a poll, writes the hub's newest id as `newest`. This room has no message
 * between the requested id and that id, so the client can continue from there. */
bool history_page(const struct hub *hub, const struct page_query *q, struct buffer *out)
{
    const struct room *room = room_find(hub, q->room);
    const struct ring *ring = room != NULL ? &room->ring : NULL;
    uint64_t first = 0, end = 0;
    if (room != NULL)
        page_bounds(hub, room, q, &first, &end);
    struct buffer payload = { 0 };
    buffer_add(out, SPAN("{\"messages\":["));
    for (uint64_t number = first; number < end; number++) {
        if (number > first)
            buffer_add(out, SPAN(","));
        add_entry(out, room, number, &payload);
    }
    buffer_free(&payload);
    buffer_add(out, SPAN("],\"oldest\":"));
    id_add_json(out, first < end ? &ring_entry(ring, first)->id : NULL);
    buffer_add(out, SPAN(",\"newest\":"));
    const struct id *newest = q->polls ? &hub->newest : NULL;
    id_add_json(out, first < end ? &ring_entry(ring, end - 1)->id : newest);
    bool forwards = q->start.since == SINCE_ID || q->start.since == SINCE_UNKNOWN;
    bool more = room != NULL && (forwards ? end < ring->next : first > ring->first);
    bool gap = !q->from_oldest && history_gap(hub, room, &q->start) != NULL;
    buffer_printf(out, ",\"more\":%s,\"gap\":%s}", more ? "true" : "false", gap ? "true" : "false");
    return first < end || gap;
}

/* ==== The rooms ============================================================================== */

/* Orders rooms by the bytes of their names, as presence does, whatever the locale. */
static int compare_rooms(const void *a, const void *b)
{
    const struct room *left = *(const struct room *const *)a;
    const struct room *right = *(const struct room *const *)b;
    size_t len = left->name_len < right->name_len ? left->name_len : right->name_len;
    int order = memcmp(left->name, right->name, len);
    return order != 0 ? order : left->name_len - right->name_len;
}

/* What the list of rooms is made for: the reader, and the rooms found so far. */
struct listing {
    bool (*shows)(const void *reader, struct span room);
    const void *reader;
    const struct room **rooms;
    size_t count;
};

/* Adds a room if it is listed (not '~...'), has streams or history, and the reader may see it. */
static void list_room(struct listing *l, const struct room *room)
{
    if (room->name[0] != '~' && (room->presence.online > 0 || !ring_empty(&room->ring)) &&
        l->shows(l->reader, room_name(room)))
        l->rooms[l->count++] = room;
}

/* Finds the rooms, sorted by name: first those with messages, whose number --max-rooms limits, then
 * the others, which clients can make just by asking for them. If there are too many, leaves out all
 * of these, because some of them would be an arbitrary choice. Returns whether it has done so. */
static bool find_rooms(const struct hub *hub, struct listing *l)
{
    struct node *node = NULL;
    for (struct link *at = hub->used_rooms.next; at != &hub->used_rooms; at = at->next)
        list_room(l, CONTAINER(at, struct room, used_rooms));
    const size_t used = l->count;
    bool more = false;
    while (!more && (node = table_walk(&hub->rooms, node)) != NULL) {
        const struct room *room = CONTAINER(node, struct room, node);
        if (list_empty(&room->used_rooms))
            list_room(l, room);
        more = l->count > used && l->count > HISTORY_ROOMS_MAX;
    }
    if (more)
        l->count = used;
    qsort(l->rooms, l->count, sizeof *l->rooms, compare_rooms);
    return more;
}

bool history_rooms(const struct hub *hub, bool (*shows)(const void *reader, struct span room),
    const void *reader, struct buffer *out)
{
    /* One more than needed, because malloc(0) may return NULL. */
    const struct room **rooms = malloc((hub->rooms.count + 1) * sizeof *rooms);
    struct listing listing = { shows, reader, rooms, 0 };
    if (rooms == NULL) {
        out->failed = true;
        return false;
    }
    bool more = find_rooms(hub, &listing);
    for (size_t i = 0; i < listing.count; i++) {
        const struct ring *ring = &rooms[i]->ring;
        buffer_add_string(out, i > 0 ? ",{\"room\":" : "{\"room\":");
        json_string_add(out, room_name(rooms[i]));
        buffer_printf(out, ",\"online\":%u,\"newest\":", rooms[i]->presence.online);
        id_add_json(out, ring_empty(ring) ? NULL : &ring_entry(ring, ring->next - 1)->id);
        buffer_add(out, SPAN("}"));
    }
    free(rooms);
    return more;
}
