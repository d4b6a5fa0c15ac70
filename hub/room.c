/* room.c - rooms and what they own: the ring, the keys of its messages, when presence is due. */

#include "hub/room.h"

#include <stdlib.h>

enum { PRESENCE_MIN_MS = 1000 }; /* between two snapshots of a room */

struct room *room_find(const struct hub *hub, struct span name)
{
    struct node *n = table_find(&hub->rooms, table_hash(name, 0));
    for (; n != NULL; n = table_find_next(n))
        if (span_equal(room_name(CONTAINER(n, struct room, node)), name))
            return CONTAINER(n, struct room, node);
    return NULL;
}

struct room *room_new(struct hub *hub, struct span name)
{
    struct room *room = malloc(sizeof *room + name.len);
    if (room == NULL)
        return NULL;
    *room = (struct room) {
        .node.hash = table_hash(name, 0),
        .lost = hub->lost,
        .told_ms = INT64_MIN / 2,
        .name_len = (uint8_t)name.len,
    };
    memcpy(room->name, name.at, name.len);
    if (!table_add(&hub->rooms, &room->node)) {
        free(room);
        return NULL;
    }
    ring_init(&room->ring, (size_t)hub->settings->history);
    list_init(&room->idle);
    list_init(&room->due);
    list_init(&room->blocked);
    list_init(&room->due_rooms);
    list_init(&room->changed_rooms);
    list_init(&room->silent_rooms);
    return room;
}

struct room *room_make(struct hub *hub, struct span name, enum join *join)
{
    struct room *room = room_find(hub, name);
    uint64_t max = hub->settings->max_rooms;
    *join = JOIN_NO_ROOM;
    if (room == NULL && (max == 0 || hub->rooms.count < max)) {
        *join = JOIN_NO_MEMORY;
        room = room_new(hub, name);
    }
    return room;
}

/* ==== Keys =================================================================================== */

struct key *room_find_key(const struct hub *hub, const struct room *room, struct span bytes)
{
    struct node *n = table_find(&hub->keys, table_hash(bytes, (uintptr_t)room));
    for (; n != NULL; n = table_find_next(n)) {
        struct key *key = CONTAINER(n, struct key, node);
        if (key->room == room && span_equal((struct span) { key->bytes, key->len }, bytes))
            return key;
    }
    return NULL;
}

struct key *room_add_key(struct hub *hub, struct room *room, struct span bytes)
{
    struct key *key = malloc(sizeof *key + bytes.len);
    if (key == NULL)
        return NULL;
    *key = (struct key) {
        .node.hash = table_hash(bytes, (uintptr_t)room), .room = room, .len = bytes.len
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

void room_drop_oldest(struct hub *hub, struct room *room)
{
    struct entry *oldest = ring_entry(&room->ring, room->ring.first);
    if (oldest->key != NULL)
        room_forget_key(hub, oldest->key);
    room->lost = oldest->id;
    hub->held -= ring_end(&room->ring, room->ring.first) - oldest->offset;
    ring_drop(&room->ring);
}

void room_free(struct hub *hub, struct room *room)
{
    while (!ring_empty(&room->ring))
        room_drop_oldest(hub, room);
    if (id_before(hub->lost, room->lost))
        hub->lost = room->lost;
    table_remove(&hub->rooms, &room->node);
    list_remove(&room->due_rooms);
    list_remove(&room->changed_rooms);
    list_remove(&room->silent_rooms);
    presence_free(&room->presence);
    ring_free(&room->ring);
    free(room);
}

void room_release(struct hub *hub, struct room *room)
{
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

void room_mark_due(struct hub *hub, struct room *room)
{
    if (!list_empty(&room->due) && list_empty(&room->due_rooms))
        list_append(&hub->due_rooms, &room->due_rooms);
}

void room_wake(struct hub *hub, struct room *room)
{
    list_splice(&room->idle, &room->due);
    room_mark_due(hub, room);
}

/* The more streams, the longer between two snapshots: each costs a send a stream. */
int64_t room_presence_due(const struct room *room)
{
    int64_t wait = room->presence.online;
    return room->told_ms + (wait > PRESENCE_MIN_MS ? wait : PRESENCE_MIN_MS);
}

void room_changed(struct hub *hub, struct room *room)
{
    if (!list_empty(&room->changed_rooms))
        return;
    list_append(&hub->changed_rooms, &room->changed_rooms);
    if (room_presence_due(room) < hub->presence_ms)
        hub->presence_ms = room_presence_due(room);
}

struct id next_id(struct hub *hub)
{
    if (hub->unix_ms > hub->last.ms)
        hub->last = (struct id) { hub->unix_ms, 0 };
    else
        hub->last.seq++;
    return hub->last;
}
