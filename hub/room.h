/* room.h - the inside of the hub, shared by hub.c, stream.c, history.c and journal.c, and nobody
 * else. */

#ifndef ROOM_H
#define ROOM_H

#include "base/table.h"
#include "hub.h"
#include "hub/presence.h"
#include "hub/ring.h"

/* A message in the batch. */
struct publication {
    struct publication *next;
    struct room *room;
    struct key *key; /* NULL when it has none */
    struct id id;
    enum message_kind kind;
    struct waiter *waiters;
    size_t len;
    char frame[];
};

/* An idempotency key, for as long as its message is in the batch or in the ring. */
struct key {
    struct node node;
    struct room *room;
    struct publication *pending; /* while in the batch; then */
    uint64_t number;             /* the entry in the room's ring */
    size_t len;
    char bytes[];
};

struct room {
    struct node node;
    struct ring ring;
    struct id lost; /* of the last frame that it dropped: an id before it has a gap behind it */

    /* Every member is in one of these, but for the one whose stream is being served. `idle` has
     * everything; `due` has something to get; `blocked` could not take it. */
    struct link idle, due, blocked;
    struct link due_rooms; /* in hub->due_rooms, while somebody is due */

    struct presence presence;
    struct link changed_rooms; /* in hub->changed_rooms, while presence waits to be told */
    int64_t told_ms;           /* when it was told last */

    struct link silent_rooms; /* in hub->silent_rooms, while it has history but no members */
    int64_t silent_ms;

    unsigned members; /* long polls too, which presence does not count */
    unsigned pending; /* messages in the batch, and their */
    size_t pending_bytes;
    uint8_t name_len;
    char name[];
};

struct hub {
    const struct hub_settings *settings;
    struct table rooms, names, keys;
    int64_t mono_ms;
    uint64_t unix_ms;

    struct id start;  /* where this server's memory begins: an id before it is from another life */
    struct id last;   /* the newest id given to anybody */
    struct id newest; /* the newest id in a ring */
    struct id lost;   /* the newest that a dropped room took along: what a new room has lost */

    struct journal *journal; /* NULL: memory only */
    struct publication *batch, **batch_end;
    uint64_t held;       /* bytes in all rings */
    bool damage;         /* while restoring: something was there that cannot be read any more */
    bool restore_failed; /* and there was no memory for something */
    struct link due_rooms;
    struct link changed_rooms;
    struct link silent_rooms; /* the longest silent first */
    int64_t presence_ms;      /* when the next of changed_rooms is to be told */
    int64_t overrun_ms;       /* when to look at the blocked streams next */
    unsigned blocked;         /* streams */
    struct buffer scratch;
};

static inline struct span room_name(const struct room *room)
{
    return (struct span) { room->name, room->name_len };
}

/* Finds a room, or NULL. room_make makes it, empty, when there is none; NULL when it may not or
 * cannot be made: *join says which. */
struct room *room_find(struct hub *hub, struct span name);
struct room *room_make(struct hub *hub, struct span name, enum join *join);

/* To be called when a room may have lost its last member or message: it goes when it has neither,
 * and counts as silent when it has only history. */
void room_release(struct hub *hub, struct room *room);

/* Everybody who is idle in the room has something to get. */
void room_wake(struct hub *hub, struct room *room);

/* Serves those in `room` who have not yet been offered the bytes before `end`. */
void room_serve_before(struct hub *hub, struct room *room, uint64_t end);

/* What is wrong with a start in a room: NULL, or the reason of a gap. `room` may be NULL. */
const char *room_gap(const struct hub *hub, const struct room *room, const struct start *start);

/* Where to begin reading: an entry's number. */
uint64_t room_seek(const struct hub *hub, const struct room *room, const struct start *start);

/* Presence has changed. */
void room_changed(struct hub *hub, struct room *room);

#endif
