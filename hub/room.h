/* room.h - inside: the hub's own structs, for hub/, hub.c and store/ only.
 *
 *      hub ──► table of rooms ──► room ──► ring of frames
 *                                  │  └──► presence
 *                                  └──► three lists of members: idle, due, blocked
 *      hub ──► table of keys ───► key ───► its room, and the entry that has it
 *      hub ──► the batch: publications that wait for the keeper
 *
 * Rooms, names and keys are found by hash and carry their own nodes and links (intrusive lists), so
 * that entering or leaving a list needs no memory and cannot fail. */

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

/* An idempotency key. It lives as long as its message:
 *
 *      hub_publish ── pending ──► hub_safe ── number ──► the ring drops the entry: forgotten
 *                         └─────► hub_refused: forgotten
 */
struct key {
    struct node node;
    struct room *room;
    struct publication *pending; /* its message on its way; NULL when that is in the ring */
    uint64_t number;             /* then its entry in the room's ring */
    size_t len;
    char bytes[];
};

struct room {
    struct node node;
    struct ring ring;
    struct id lost; /* the last id that it dropped: a reader whose id is before it has a gap */

    /* Every member is in one of these, except those of the stream that is being served (turn.h). */
    struct link idle;      /* they have everything */
    struct link due;       /* they have something to get */
    struct link blocked;   /* they could not take all they were offered */
    struct link due_rooms; /* in hub->due_rooms, while `due` is not empty */

    struct presence presence;
    struct link changed_rooms; /* in hub->changed_rooms, while a snapshot is due */
    int64_t told_ms;           /* when the last snapshot was taken */

    struct link silent_rooms; /* in hub->silent_rooms, while it has history but no members */
    int64_t silent_ms;        /* since when, monotonic; may be negative for a restored room */

    unsigned members;     /* with long polls, which presence does not count */
    unsigned pending;     /* messages on their way */
    size_t pending_bytes; /* of their frames, with the longest ids */
    uint8_t name_len;
    char name[];
};

struct hub {
    const struct hub_settings *settings;
    struct stream_owner owner;
    struct table rooms, names, keys;
    int64_t mono_ms;
    uint64_t unix_ms;

    struct id start;  /* where memory begins: an id before it is from before a restart */
    struct id last;   /* the newest id given to any message, safe or not */
    struct id newest; /* the newest id of a safe message */
    struct id lost;   /* the newest that a dropped room took along: what a new room has lost */

    struct publication *batch, **batch_end; /* the oldest first; where the next one is linked */
    struct publication *spares;             /* publication.c's */
    unsigned spare_count;
    unsigned pending; /* messages on their way: in the batch, or with the keeper */
    uint64_t held;    /* bytes in all rings */
    bool restoring;
    bool damage; /* something that was stored could not be restored */
    struct link due_rooms;
    struct link changed_rooms;
    struct link silent_rooms; /* the longest silent first */
    int64_t presence_ms;      /* when to look at changed_rooms next */
    int64_t overrun_ms;       /* when to look at the blocked streams next */
    unsigned blocked;         /* blocked streams */
    struct buffer body;       /* scratch: the body of the message that is being published */
    struct buffer frame;      /* scratch: a frame on its way into a ring; large enough for each */
};

static inline struct span room_name(const struct room *room)
{
    return (struct span) { room->name, room->name_len };
}

/* The offset up to which a member's stream may get bytes now. */
static inline uint64_t member_end(const struct member *m)
{
    return m->limit < m->room->ring.head ? m->limit : m->room->ring.head;
}

/* Finds a room. Returns NULL if there is none. */
struct room *room_find(const struct hub *hub, struct span name);

/* Makes an empty room, whatever the limits. Returns NULL if out of memory. */
struct room *room_new(struct hub *hub, struct span name);

/* Finds a room, or makes it if --max-rooms allows. When it returns NULL, *join says why. */
struct room *room_make(struct hub *hub, struct span name, enum join *join);

/* To be called when a room may have lost its last member or message. A room that has neither is
 * freed, so the caller must not use it afterwards; one that has only history counts as silent. */
void room_release(struct hub *hub, struct room *room);

/* Frees a room with all that it holds. It must have no members and no messages on their way. */
void room_free(struct hub *hub, struct room *room);

/* Drops a room's oldest message. Every stream that is not stalled has already been offered it. */
void room_drop_oldest(struct hub *hub, struct room *room);

/* All idle streams of the room are due, in O(1). */
void room_wake(struct hub *hub, struct room *room);

/* Puts the room among the due ones if a stream of it is due. */
void room_mark_due(struct hub *hub, struct room *room);

/* Presence has changed: a snapshot is due, at most one in max(1 s, 1 ms a stream).
 * room_presence_due tells when, in monotonic milliseconds. */
void room_changed(struct hub *hub, struct room *room);
int64_t room_presence_due(const struct room *room);

/* The id for a message now: the greater of the clock and the last id plus one, so that ids grow
 * also while the clock steps back. Uses it up. */
struct id next_id(struct hub *hub);

/* Finds the key with these bytes in a room. Returns NULL if there is none. */
struct key *room_find_key(const struct hub *hub, const struct room *room, struct span bytes);

/* Remembers a key that room_find_key does not find. Returns NULL if out of memory. room_forget_key
 * frees it; the caller takes its address out of the entry or publication. */
struct key *room_add_key(struct hub *hub, struct room *room, struct span bytes);
void room_forget_key(struct hub *hub, struct key *key);

#endif
