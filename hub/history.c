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
#include "base/sort.h"
#include "hub/room.h"
#include "json.h"

#include <stdlib.h>

/* ==== Reading back =========================================================================== */

/* Returns whether no message here has or had the id, or one like it: it is malformed, newer than
 * all ids given, or from messages that were lost with their journal. For a scoped reader, every id
 * up to the clock is known: with the newest id given as the limit, it could ask whether any room
 * has got a message since then. The price: if the clock was set back at a restart, an id from
 * before is known once the clock has reached it, instead of once a newer message has. */
static bool is_unknown(const struct hub *hub, const struct start *start)
{
    bool unknown = start->since == SINCE_UNKNOWN;
    struct id last = hub->last;
    if (start->scoped)
        id_raise(&last, (struct id) { hub->unix_ms, UINT64_MAX });
    for (unsigned i = 0; start->since == SINCE_ID && i < hub->unused_count; i++)
        unknown |= id_before(hub->unused[i].after, start->id) &&
                   id_before(start->id, hub->unused[i].before);
    return unknown || (start->since == SINCE_ID && id_before(last, start->id));
}

/* Uses the hub's `lost` for a missing room, which may have been dropped with its messages. */
enum gap history_gap(const struct hub *hub, const struct room *room, const struct start *start)
{
    if (is_unknown(hub, start))
        return GAP_UNKNOWN;
    if (start->since != SINCE_ID)
        return GAP_NONE;
    if (!id_before(start->id, room != NULL ? room->lost : hub->lost))
        return GAP_NONE;
    return id_before(start->id, hub->start) ? GAP_RESTARTED : GAP_EXPIRED;
}

const char *history_gap_word(enum gap gap)
{
    static const char *const words[GAP_COUNT] = { NULL, "expired", "restarted", "unknown" };
    return words[gap];
}

/* Includes the id of a scoped reader, so that a reader that leaves one of its rooms does not go
 * back to an earlier id. Includes `lost`, of the hub for a missing room, because a reader with an
 * earlier id has a gap. */
struct id history_newest(
    const struct hub *hub, const struct start *start, const struct span *rooms, size_t count)
{
    struct id newest = { 0, 0 };
    if (!start->scoped)
        return hub->newest;
    if (start->since == SINCE_ID && !is_unknown(hub, start))
        newest = start->id;
    for (size_t i = 0; i < count; i++) {
        const struct room *room = room_find(hub, rooms[i]);
        id_raise(&newest, room != NULL ? room->lost : hub->lost);
        if (room != NULL && !ring_empty(&room->ring))
            id_raise(&newest, ring_entry(&room->ring, room->ring.next - 1)->id);
    }
    return newest;
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

/* The elements of a page as JSON, in the order in which they are read: backwards, the newest comes
 * first. */
struct elements {
    struct buffer text;
    size_t ends[HISTORY_MAX]; /* where each element ends in `text` */
    unsigned count;
};

/* Returns whether a page begins with an id and is read forwards. Other pages end with an id or with
 * the newest message, and are read backwards. */
static bool reads_forwards(const struct page_query *q)
{
    return q->start.since == SINCE_ID || q->start.since == SINCE_UNKNOWN;
}

/* Returns the number of the entry from which a page grows: forwards, it is the first one of the
 * page; backwards, the one after the last. */
static uint64_t page_start(
    const struct hub *hub, const struct room *room, const struct page_query *q)
{
    const struct ring *ring = &room->ring;
    if (reads_forwards(q))
        return history_seek(hub, room, &q->start);
    if (!q->has_before)
        return ring->next;
    /* After the last entry up to `before`, which is `before` itself if that is still held. */
    uint64_t end = ring_after(ring, q->before);
    bool held = end > ring->first && id_equal(ring_entry(ring, end - 1)->id, q->before);
    return held ? end - 1 : end;
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

/* Reads a page's entries, from *first to before *end, until its limit, or until one more element
 * would make it longer than HISTORY_PAGE_BYTES: what counts is what is written, because escapes can
 * make an element six times as long as its frame. One element always goes. */
static void read_page(const struct room *room, const struct page_query *q, uint64_t *first,
    uint64_t *end, struct elements *page)
{
    const struct ring *ring = &room->ring;
    bool forwards = reads_forwards(q);
    struct buffer payload = { 0 };
    while (page->count < q->limit && (forwards ? *end < ring->next : *first > ring->first)) {
        size_t len = page->text.len;
        add_entry(&page->text, room, forwards ? *end : *first - 1, &payload);
        if (page->count > 0 && page->text.len + page->count > HISTORY_PAGE_BYTES) {
            page->text.len = len;
            break;
        }
        page->ends[page->count++] = page->text.len;
        if (forwards)
            ++*end;
        else
            --*first;
    }
    buffer_free(&payload);
}

/* Appends the elements in the order of their ids, separated by commas. */
static void add_elements(struct buffer *out, const struct elements *page, bool forwards)
{
    out->failed |= page->text.failed;
    for (unsigned i = 0; i < page->count; i++) {
        unsigned n = forwards ? i : page->count - 1 - i;
        size_t begin = n > 0 ? page->ends[n - 1] : 0;
        if (i > 0)
            buffer_add(out, SPAN(","));
        buffer_add(out, (struct span) { page->text.at + begin, page->ends[n] - begin });
    }
}

/* In an empty page of a poll, writes as `newest` the id to continue from. This room has no message
 * between the requested id and that id. */
bool history_page(const struct hub *hub, const struct page_query *q, struct buffer *out)
{
    const struct room *room = room_find(hub, q->room);
    const struct ring *ring = room != NULL ? &room->ring : NULL;
    uint64_t first = room != NULL ? page_start(hub, room, q) : 0, end = first;
    struct elements page = { .count = 0 };
    if (room != NULL)
        read_page(room, q, &first, &end, &page);
    buffer_add(out, SPAN("{\"messages\":["));
    add_elements(out, &page, reads_forwards(q));
    buffer_free(&page.text);
    buffer_add(out, SPAN("],\"oldest\":"));
    id_add_json(out, first < end ? &ring_entry(ring, first)->id : NULL);
    buffer_add(out, SPAN(",\"newest\":"));
    struct id newest = history_newest(hub, &q->start, &q->room, 1);
    const struct id *next = q->polls ? &newest : NULL;
    id_add_json(out, first < end ? &ring_entry(ring, end - 1)->id : next);
    bool more = room != NULL && (reads_forwards(q) ? end < ring->next : first > ring->first);
    bool gap = !q->from_oldest && history_gap(hub, room, &q->start) != GAP_NONE;
    buffer_printf(out, ",\"more\":%s,\"gap\":%s}", more ? "true" : "false", gap ? "true" : "false");
    return first < end || gap;
}

/* ==== The rooms ============================================================================== */

/* For sort_pointers: orders rooms by the bytes of their names, as presence does, whatever the
 * locale. */
static bool is_before(const void *a, const void *b)
{
    const struct room *left = a, *right = b;
    size_t len = left->name_len < right->name_len ? left->name_len : right->name_len;
    int order = memcmp(left->name, right->name, len);
    return order != 0 ? order < 0 : left->name_len < right->name_len;
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
    sort_pointers(l->rooms, l->count, is_before);
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
