/* room.h - inside: the hub's own structs, for hub/, hub.c and store/ only.
 *
 *      hub ──► table of rooms ──► room ──► ring of frames
 *                                  │  └──► presence
 *                                  └──► three lists of members: idle, due, blocked
 *      hub ──► table of keys ───► key ───► its room, and the entry that has it
 *      hub ──► the batch: publications that wait to be kept
 */

#ifndef ROOM_H
#define ROOM_H

#include "base/list.h"
#include "base/table.h"
#include "hub/frame.h"
#include "hub/history.h"
#include "hub/presence.h"
#include "hub/publication.h"
#include "hub/ring.h"
#include "hub/settings.h"
#include "hub/stream.h"

/* An idempotency key, for as long as its message is on its way or in the ring. */
struct key {
    struct node node;
    struct room *room;
    struct publication *pending; /* its message, while that is on its way; then NULL */
    uint64_t number;             /* then: its message's entry in the room's ring */
    size_t len;
    char bytes[];
};

struct room {
    struct node node;
    struct ring ring;
    struct id lost; /* the last id that it dropped: whoever asks from before it has a gap */

    /* Every member is in one of these, but for the one whose stream is being served. */
    struct link idle;      /* has everything */
    struct link due;       /* has something to get */
    struct link blocked;   /* could not take what it was offered */
    struct link due_rooms; /* in hub->due_rooms, while `due` is not empty */

    struct presence presence;
    struct link changed_rooms; /* in hub->changed_rooms, while a snapshot is due */
    int64_t told_ms;           /* when the last snapshot was taken */

    struct link silent_rooms; /* in hub->silent_rooms, while it has history but no members */
    int64_t silent_ms;        /* since when */

    unsigned members;     /* long polls included, which presence does not count */
    unsigned pending;     /* messages on their way */
    size_t pending_bytes; /* the most that their frames can have */
    uint8_t name_len;
    char name[];
};

struct hub {
    const struct hub_settings *settings;
    struct stream_owner owner;
    struct table rooms, names, keys;
    int64_t mono_ms;
    uint64_t unix_ms;

    struct id start;  /* where this server's memory begins: an id before it is from another life */
    struct id last;   /* the newest id given to any message */
    struct id newest; /* the newest id in a ring */
    struct id lost;   /* the newest that a dropped room took along: what a new room has lost */

    struct publication *batch, **batch_end;
    struct publication *spares;
    unsigned spare_count;
    unsigned pending; /* messages on their way: in the batch, or with the keeper */
    uint64_t held;    /* bytes in all rings */
    bool restoring;
    bool damage; /* while restoring: something was there that cannot be read any more */
    struct link due_rooms;
    struct link changed_rooms;
    struct link silent_rooms; /* the longest silent first */
    int64_t presence_ms;      /* when the next of changed_rooms is due */
    int64_t overrun_ms;       /* when to look at the blocked streams next */
    unsigned blocked;         /* streams */
    struct buffer body;       /* of the message that is being published */
    struct buffer frame; /* of the message that enters its ring: large enough for each on its way */
};

static inline struct span room_name(const struct room *room)
{
    return (struct span) { room->name, room->name_len };
}

/* The offset up to which a member may be sent to now. */
static inline uint64_t member_end(const struct member *m)
{
    return m->limit < m->room->ring.head ? m->limit : m->room->ring.head;
}

/* Finds a room, or NULL. */
struct room *room_find(const struct hub *hub, struct span name);

/* A new, empty room, whatever the limits; NULL without memory. */
struct room *room_new(struct hub *hub, struct span name);

/* Finds a room, or makes it as far as --max-rooms allows. On NULL *join says what is missing. */
struct room *room_make(struct hub *hub, struct span name, enum join *join);

/* To be called when a room may have lost its last member or message: it goes when it has neither,
 * and counts as silent when it has only history. */
void room_release(struct hub *hub, struct room *room);

/* Drops a room with all that it holds. */
void room_free(struct hub *hub, struct room *room);

/* Drops a room's oldest message. Every stream that is not stalled has already been offered it. */
void room_drop_oldest(struct hub *hub, struct room *room);

/* Every idle stream of the room has something to get. */
void room_wake(struct hub *hub, struct room *room);

/* Puts the room among the due ones, when a stream of it is due. */
void room_mark_due(struct hub *hub, struct room *room);

/* Presence has changed: a snapshot is due, at most once in max(1 s, 1 ms a stream). */
void room_changed(struct hub *hub, struct room *room);
int64_t room_presence_due(const struct room *room);

/* The id for a message now: the greater of the clock and the last id plus one, so that ids grow
 * while the clock steps back. It is the last one from then on. */
struct id next_id(struct hub *hub);

/* The key with these bytes in a room, or NULL. */
struct key *room_find_key(const struct hub *hub, const struct room *room, struct span bytes);

/* Remembers a key that room_find_key does not know; NULL without memory. */
struct key *room_add_key(struct hub *hub, struct room *room, struct span bytes);
void room_forget_key(struct hub *hub, struct key *key);

#endif
