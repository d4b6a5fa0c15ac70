/* room.c - rooms and what they own: the ring, the keys of its messages, when presence is due.
 *
 * No client opens or closes a room. A room is made for its first stream or message and freed when
 * it has neither; a room with history but no streams stays until --room-ttl has passed. A freed
 * room leaves behind only the newest id that it has dropped, so that a new room of the same name
 * can report a gap to a reader that resumes from an earlier id. The hub keeps one such id for all
 * names, the greatest, so that old names cost nothing; the price is that a new room with another
 * name may report a gap although it lost nothing. */

#include "hub/room.h"

#include "base/log.h"
#include "hub/turn.h"

#include <stdlib.h>

enum {
    PRESENCE_MIN_MS = 1000, /* between two snapshots of a room: users need no faster updates */
    CLOCK_WARN_MS = 1000,   /* a clock that is corrected by less is not worth a line in the log */
};

struct room *room_find(const struct hub *hub, struct span name)
{
    struct node *n = table_find(&hub->rooms, table_hash(name, 0));
    for (; n != NULL; n = table_find_next(n))
        if (span_equal(room_name(CONTAINER(n, struct room, node)), name))
            return CONTAINER(n, struct room, node);
    return NULL;
}

/* Starts the room with the hub's `lost`, because an earlier room of this name may have lost
 * messages up to that id. */
struct room *room_new(struct hub *hub, struct span name)
{
    struct room *room = malloc(sizeof *room + name.len);
    if (room == NULL)
        return NULL;
    *room = (struct room) {
        .node.hash = table_hash(name, 0),
        .lost = hub->lost,
        .told_ms = INT64_MIN / 2, /* long ago: the first snapshot is due at once */
        .exempt = share_exempts(hub, name),
        .name_len = (uint8_t)name.len,
    };
    memcpy(room->name, name.at, name.len);
    if (!table_add(&hub->rooms, &room->node)) {
        free(room);
        return NULL;
    }
    ring_init(&room->ring, hub->limit);
    list_init(&room->notes);
    list_init(&room->idle);
    list_init(&room->due);
    list_init(&room->blocked);
    list_init(&room->due_rooms);
    list_init(&room->changed_rooms);
    list_init(&room->silent_rooms);
    list_init(&room->used_rooms);
    return room;
}

bool room_use(struct hub *hub, struct room *room, uint64_t source)
{
    if (!list_empty(&room->used_rooms))
        return true;
    if (!share_assign(hub, room, source))
        return false;
    list_append(&hub->used_rooms, &room->used_rooms);
    hub->counted += !room->exempt;
    return true;
}

/* Ends what room_use began. */
static void unuse(struct hub *hub, struct room *room)
{
    if (list_empty(&room->used_rooms))
        return;
    list_remove(&room->used_rooms);
    hub->counted -= !room->exempt;
}

/* Returns at once if the room exists and, for a message, is used: the usual case. */
struct room *room_open(
    struct hub *hub, struct span name, uint64_t source, bool posts, enum join *join)
{
    struct room *room = room_find(hub, name), *made = NULL;
    *join = JOIN_OK;
    if (room != NULL && (!posts || !list_empty(&room->used_rooms)))
        return room;
    if (!share_exempts(hub, name))
        *join = share_check(hub, room, source);
    if (*join != JOIN_OK)
        return NULL;
    if (room == NULL)
        room = made = room_new(hub, name);
    if (room != NULL && (posts ? room_use(hub, room, source) : share_assign(hub, room, source)))
        return room;
    *join = JOIN_NO_MEMORY;
    if (made != NULL)
        room_free(hub, made);
    return NULL;
}

/* ==== Keys =================================================================================== */

/* Uses the room's address and the scope as the seed, so that a key that a client uses in many
 * rooms, or that many users have in one, does not make one long chain. */
static uint64_t hash_key(const struct room *room, struct span bytes, uint64_t scope)
{
    return table_hash(bytes, (uintptr_t)room ^ scope);
}

/* Searches the one table that all rooms share. */
struct key *room_find_key(
    const struct hub *hub, const struct room *room, struct span bytes, struct author author)
{
    uint64_t scope = author_scope(author);
    struct node *n = table_find(&hub->keys, hash_key(room, bytes, scope));
    for (; n != NULL; n = table_find_next(n)) {
        struct key *key = CONTAINER(n, struct key, node);
        if (key->room == room && key->scope == scope &&
            span_equal((struct span) { key->bytes, key->len }, bytes))
            return key;
    }
    return NULL;
}

struct key *room_add_key(
    struct hub *hub, struct room *room, struct span bytes, struct author author)
{
    uint64_t scope = author_scope(author);
    struct key *key = malloc(sizeof *key + bytes.len);
    if (key == NULL)
        return NULL;
    *key = (struct key) {
        .node.hash = hash_key(room, bytes, scope), .room = room, .scope = scope, .len = bytes.len
    };
    memcpy(key->bytes, bytes.at, bytes.len);
    if (!table_add(&hub->keys, &key->node)) {
        free(key);
        return NULL;
    }
    return key;
}

void room_forget_key(struct hub *hub, struct key *key)
{
    table_remove(&hub->keys, &key->node);
    free(key);
}

/* ==== Coming and going ======================================================================= */

/* A key is forgotten with its message, because the receipt is made from the message's entry. A POST
 * that is repeated after that publishes again. */

/* Only raises `lost`: after damage it can be later than everything in the ring. */
void room_drop_oldest(struct hub *hub, struct room *room)
{
    struct entry *oldest = ring_entry(&room->ring, room->ring.first);
    if (oldest->key != NULL) {
        room->ring.extra -= key_weight(oldest->key->len);
        room_forget_key(hub, oldest->key);
    }
    if (oldest->kind == MESSAGE_OTHER) {
        struct note *note = CONTAINER(room->notes.next, struct note, link);
        room->ring.extra -= note_weight(note->len);
        list_remove(&note->link);
        free(note);
    }
    id_raise(&room->lost, oldest->id);
    hub->held -= ring_end(&room->ring, room->ring.first) - oldest->offset;
    hub->messages--;
    ring_drop(&room->ring);
}

void room_empty(struct hub *hub, struct room *room)
{
    turn_serve_before(hub, room, room->ring.head);
    while (!ring_empty(&room->ring))
        room_drop_oldest(hub, room);
}

bool room_add_note(struct room *room, struct span bytes)
{
    struct note *note = malloc(sizeof *note + bytes.len);
    if (note == NULL)
        return false;
    note->len = bytes.len;
    memcpy(note->bytes, bytes.at, bytes.len);
    list_append(&room->notes, &note->link);
    room->ring.extra += note_weight(bytes.len);
    return true;
}

/* Drops the messages one by one, in linear time, so that keys, `held` and `lost` stay right. */
void room_free(struct hub *hub, struct room *room)
{
    while (!ring_empty(&room->ring))
        room_drop_oldest(hub, room);
    id_raise(&hub->lost, room->lost);
    table_remove(&hub->rooms, &room->node);
    list_remove(&room->due_rooms);
    list_remove(&room->changed_rooms);
    list_remove(&room->silent_rooms);
    unuse(hub, room);
    share_assign(hub, room, 0);
    presence_free(&room->presence);
    ring_free(&room->ring);
    free(room);
}

/* Costs little, because most calls return at once. Each settled message comes here, so the ring
 * also gives back what it no longer needs. A silent room is appended to the list with the current
 * time, so that the list stays in the order of silent_ms. */
void room_release(struct hub *hub, struct room *room)
{
    ring_trim(&room->ring, room->pending, room->pending_bytes);
    if (room->pending == 0 && ring_empty(&room->ring))
        unuse(hub, room);
    if (room->members > 0 || room->pending > 0)
        return;
    if (ring_empty(&room->ring)) {
        room_free(hub, room);
        return;
    }
    room->silent_ms = hub->mono_ms;
    list_remove(&room->silent_rooms);
    list_append(&hub->silent_rooms, &room->silent_rooms);
}

/* ==== What is due ============================================================================ */

/* A room that is already due keeps its place (the second check), because rooms take turns
 * (turn_run). */
void room_mark_due(struct hub *hub, struct room *room)
{
    if (!list_empty(&room->due) && list_empty(&room->due_rooms))
        list_append(&hub->due_rooms, &room->due_rooms);
}

/* Appends all idle streams to those that are due:
 *
 *      idle ─ A ─ B ─ C ─┐          idle ─┐
 *       └────────────────┘           └────┘
 *      due ── X ─ Y ─────┐    ──►   due ── X ─ Y ─ A ─ B ─ C ─┐
 *       └────────────────┘           └────────────────────────┘
 *
 * The lists are rings of links, so this changes six pointers, however many streams are idle: until
 * frames are sent, a message costs nothing per stream. A second message in the same turn finds
 * `idle` empty. Idle streams have read everything, so the cursors of `due` stay in order. */
void room_wake(struct hub *hub, struct room *room)
{
    list_splice(&room->idle, &room->due);
    room_mark_due(hub, room);
}

/* Returns a later time for a room with more streams, because a snapshot costs one send per stream,
 * and for long snapshots. So presence never costs a room more than 1,000 sends or 1 MB per second,
 * although a client can change it for free, by opening and closing one stream. */
int64_t room_presence_due(const struct room *room)
{
    int64_t bytes = (int64_t)room->presence.snapshot.len;
    int64_t wait = room->presence.online * (bytes > 1024 ? bytes : 1024) / 1024;
    return room->told_ms + (wait > PRESENCE_MIN_MS ? wait : PRESENCE_MIN_MS);
}

/* Only notes the change: a hundred joins in a second need just one snapshot. A room that was quiet
 * may have been due long ago; that means now, or as soon as the hub may look again. */
void room_changed(struct hub *hub, struct room *room)
{
    if (!list_empty(&room->changed_rooms))
        return;
    list_append(&hub->changed_rooms, &room->changed_rooms);
    int64_t due = room_presence_due(room), earliest = hub->presence_at_ms + PRESENCE_SCAN_MS;
    due = due > hub->mono_ms ? due : hub->mono_ms;
    due = due > earliest ? due : earliest;
    if (due < hub->presence_ms)
        hub->presence_ms = due;
}

/* Warns once if the ids are far ahead of the clock. Either the clock is wrong now, or it was ahead
 * when one of the ids was made; ids must not go back, so they stay ahead until the clock has caught
 * up. */
static void warn_of_clock(struct hub *hub)
{
    uint64_t ahead_ms = hub->last.ms - hub->unix_ms;
    if (hub->clock_behind || ahead_ms < CLOCK_WARN_MS)
        return;
    hub->clock_behind = true;
    log_line(LOG_WARN,
        "clock behind_ms=%llu hint=\"ids go on from the newest one; the time of a message is the "
        "clock's\"",
        (unsigned long long)ahead_ms);
}

/* Implements a hybrid clock: the time if it has moved on, otherwise the last time with a counter.
 * All rooms share the clock, so that one Last-Event-ID is enough for a stream in several rooms. */
struct id next_id(struct hub *hub)
{
    if (hub->unix_ms > hub->last.ms) {
        hub->last = (struct id) { hub->unix_ms, 0 };
        return hub->last;
    }
    hub->last.seq++;
    warn_of_clock(hub);
    return hub->last;
}
