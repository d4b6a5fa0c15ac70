/* presence.h - the streams in a room: their count, and the distinct names among them.
 *
 * Presence is state, not history: only the latest matters, and it replaces all before it. So it
 * never enters the ring, where joins and leaves would push out messages and be replayed. A join or
 * a leave only counts up `change`. Now and then the state is formatted once, as a snapshot that all
 * streams of the room share. Each stream remembers which change it has been told (`seen` of its
 * member) and gets the latest snapshot when it has caught up with the messages. */

#ifndef PRESENCE_H
#define PRESENCE_H

#include "base/bytes.h"
#include "base/table.h"

#include <stdint.h>

/* How many names a snapshot shows, because each stream is sent all of them; `online` counts all. */
enum { PRESENCE_NAMES_MAX = 100 };

/* A name is kept once, however many streams and rooms show it (interned), so that pointers can be
 * compared instead of names. */
struct name {
    struct node node;
    unsigned holders; /* streams */
    uint8_t len;
    char bytes[];
};

/* Finds or makes the name with these bytes (at most 255), and adds a holder. Returns NULL if out of
 * memory. name_drop removes a holder, and frees the name with the last one. */
struct name *name_hold(struct table *names, struct span bytes);
void name_drop(struct table *names, struct name *name);

/* A name in a room, and how many of the room's streams show it. */
struct present {
    struct name *name;
    unsigned streams;
};

struct presence {
    struct present *names; /* in byte order */
    size_t count, capacity;
    unsigned online;
    uint32_t change;          /* joins and leaves so far, with wrap-around */
    uint32_t snapshot_change; /* what `change` was when the snapshot was taken */
    struct buffer snapshot;   /* the event in its envelope; empty before the first */
};

/* A stream comes or goes; `name` is NULL when it shows none, and must otherwise be held until it
 * goes. presence_join returns false if out of memory, and has changed nothing then. */
bool presence_join(struct presence *p, struct name *name);
void presence_leave(struct presence *p, struct name *name);

/* Appends the present state as a `presence` event. */
void presence_add(struct buffer *out, const struct presence *p, struct span room, bool chunked);

/* Takes a new snapshot. Returns false if out of memory; then the old one stays. */
bool presence_snapshot(struct presence *p, struct span room);

void presence_free(struct presence *p);

#endif
