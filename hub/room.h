/* room.h - inside: the hub's own structs, for hub/, hub.c and store/ only.
 *
 *      hub ──► table of rooms ──► room ──► ring of frames
 *                                  │  └──► presence
 *                                  └──► three lists of members: idle, due, blocked
 *      hub ──► table of keys ───► key ───► its room, and the entry that has it
 *      hub ──► the batch: publications that wait for the keeper
 *      room ─► notes: what is stored with messages of kinds that only a newer version knows
 *      hub ──► table of shares ─► share ◄─── room: the address that has made it
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
#include "hub/share.h"
#include "hub/stream.h"

/* An idempotency key, which is known by its room, its scope and its bytes. It lives as long as its
 * message:
 *
 *      hub_publish ── pending ──► hub_safe ── number ──► the ring drops the entry: forgotten
 *                         └─────► hub_refused: forgotten
 */
struct key {
    struct node node;
    struct room *room;
    struct publication *pending; /* its message; NULL once it is in the ring */
    uint64_t number;             /* the message's entry, once it is in the ring */
    uint64_t scope;              /* whose key it is: see author_scope */
    size_t len;
    char bytes[];
};

/* What a record says of a MESSAGE_OTHER besides its payload, so that a rewritten journal can repeat
 * it. A room's notes are in the order of its entries of that kind. */
struct note {
    struct link link;
    size_t len;
    char bytes[];
};

/* What the heap adds to an allocation: its own header, and rounding up. */
enum { HEAP_BYTES = 16 };

/* Return what a key and a note weigh in the ring: all the memory that they take. A key has up to
 * two chains in its table. `len` is 0 for no key. */
static inline size_t key_weight(size_t len)
{
    return len > 0 ? sizeof(struct key) + 2 * sizeof(struct node *) + HEAP_BYTES + len : 0;
}

static inline size_t note_weight(size_t len)
{
    return sizeof(struct note) + HEAP_BYTES + len;
}

struct room {
    struct node node;
    struct ring ring;
    struct link notes; /* one for each entry of kind MESSAGE_OTHER, oldest first */
    struct id
        lost; /* the newest dropped id: a reader with an earlier id has a gap; never lowered */

    /* Every member is in one of these lists, except while its stream is being served (turn.h). */
    struct link idle;      /* members that have everything */
    struct link due;       /* members that have something to get */
    struct link blocked;   /* members that could not take everything they were offered */
    struct link due_rooms; /* in hub->due_rooms, while `due` is not empty */

    struct presence presence;
    struct link changed_rooms; /* in hub->changed_rooms, while a snapshot is due */
    int64_t told_ms;           /* when the last snapshot was taken */

    struct link silent_rooms; /* in hub->silent_rooms, while it has history but no members */
    int64_t silent_ms; /* when it became silent, monotonic; can be negative after a restore */

    struct link used_rooms; /* in hub->used_rooms, while it has messages, held or pending */
    struct share *share;    /* the address that has made it, or NULL */
    bool exempt;            /* never counts: see share.h */

    unsigned members;     /* including long polls, which presence does not count */
    unsigned pending;     /* number of pending messages */
    size_t pending_bytes; /* size of the pending messages' frames, with the longest ids */
    uint8_t name_len;
    char name[];
};

/* The most intervals of unused ids that the hub remembers. */
enum { UNUSED_MAX = 16 };

/* The ids between two others, which are not part of it. */
struct interval {
    struct id after, before;
};

struct hub {
    const struct hub_settings *settings;
    struct stream_owner owner;
    struct table rooms, names, keys, shares;
    int64_t mono_ms;
    uint64_t unix_ms;

    struct id start;  /* where memory begins: an earlier id is from before a restart */
    struct id last;   /* the newest id given to any message, safe or not */
    struct id newest; /* the newest id of a safe message */
    struct id lost;   /* the newest id that any freed room had lost: a new room begins with it */
    struct id lost_before; /* while restoring: `lost` before the last state was restored */

    /* Ids up to `last` that no message here has or had. A reader with one of them got it from
     * messages that are not in the journal, such as those after a backup was made. */
    struct interval unused[UNUSED_MAX];
    unsigned unused_count;

    struct publication *batch, **batch_end; /* oldest first; where the next is linked */
    struct publication *spares;             /* free publications (publication.c) */
    unsigned spare_count;
    unsigned pending;              /* pending messages: in the batch, or with the keeper */
    uint64_t held;                 /* bytes in all rings */
    uint64_t messages;             /* entries in all rings */
    uint64_t published, delivered; /* since the start: see survey.h */
    size_t limit;                  /* bytes per ring: --history, or more until restore_end */
    bool restoring;
    bool clock_behind; /* it was logged that the clock is behind the ids */
    bool damage;       /* something that was stored could not be restored */
    struct link due_rooms;
    struct link behind; /* streams that were blocked, or have used their share: turn.h */
    struct link changed_rooms;
    struct link silent_rooms; /* the longest silent first */
    struct link used_rooms;
    size_t counted;         /* used rooms that count towards --max-rooms */
    int64_t presence_ms;    /* when to look at changed_rooms next */
    int64_t presence_at_ms; /* when that was last done */
    int64_t overrun_ms;     /* when to look at the blocked streams next */
    unsigned blocked;       /* number of blocked streams */
    struct stamp stamp;     /* of the message that was numbered last */
    struct buffer body;     /* scratch: the body of the message that is being published */
    struct buffer frame;    /* scratch: a frame that enters a ring; large enough for any */
};

static inline struct span room_name(const struct room *room)
{
    return (struct span) { room->name, room->name_len };
}

/* Returns the offset up to which a member's stream may currently get bytes. */
static inline uint64_t member_end(const struct member *m)
{
    return m->limit < m->room->ring.head ? m->limit : m->room->ring.head;
}

/* Finds a room. Returns NULL if there is none. */
struct room *room_find(const struct hub *hub, struct span name);

/* Makes an empty room, regardless of limits. Returns NULL if out of memory. */
struct room *room_new(struct hub *hub, struct span name);

/* Finds a room, or makes it if the limits allow it (share.h). If `posts`, the room is used from now
 * on, which takes the same permission; room_release ends that if no message enters. If it returns
 * NULL, *join says why. */
struct room *room_open(
    struct hub *hub, struct span name, uint64_t source, bool posts, enum join *join);

/* Notes that the room has messages from now on, regardless of limits. Its first publisher is
 * `source`. Returns false if out of memory, which cannot happen if that is 0. */
bool room_use(struct hub *hub, struct room *room, uint64_t source);

/* Call this when a room may have lost its last member or message. A room with neither is freed, so
 * the caller must not use it afterwards; a room with only history becomes silent. */
void room_release(struct hub *hub, struct room *room);

/* Frees a room and its history. The room must have no members and no pending messages. */
void room_free(struct hub *hub, struct room *room);

/* Drops a room's oldest message. Every stream that is not stalled has already been offered it. */
void room_drop_oldest(struct hub *hub, struct room *room);

/* Drops all messages of a room, after they have been offered to the streams that are due. */
void room_empty(struct hub *hub, struct room *room);

/* Adds a note for the MESSAGE_OTHER that is appended next. Returns false if out of memory. */
bool room_add_note(struct room *room, struct span bytes);

/* Makes all idle streams of the room due, in O(1). */
void room_wake(struct hub *hub, struct room *room);

/* Adds the room to the due rooms if one of its streams is due. */
void room_mark_due(struct hub *hub, struct room *room);

/* Notes that presence has changed, so that a snapshot is due: at most one per max(1 s, 1 ms per
 * stream and KiB of the last snapshot). room_presence_due returns when, in monotonic
 * milliseconds. The hub looks for rooms that are due at most once per PRESENCE_SCAN_MS: when many
 * rooms change, each at its own time, one look per room would take quadratic time. */
enum { PRESENCE_SCAN_MS = 20 };
void room_changed(struct hub *hub, struct room *room);
int64_t room_presence_due(const struct room *room);

/* Makes the next id: the greater of the clock and the last id plus one, so that ids grow even if
 * the clock steps back. */
struct id next_id(struct hub *hub);

/* Finds the author's key with these bytes in a room. Returns NULL if there is none. */
struct key *room_find_key(
    const struct hub *hub, const struct room *room, struct span bytes, struct author author);

/* Adds a key that room_find_key does not find. Returns NULL if out of memory. room_forget_key frees
 * it; the caller removes its address from the entry or publication. */
struct key *room_add_key(
    struct hub *hub, struct room *room, struct span bytes, struct author author);
void room_forget_key(struct hub *hub, struct key *key);

#endif
