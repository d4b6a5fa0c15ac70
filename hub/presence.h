/* presence.h - who is in a room: a count of streams, and the distinct names among them.
 *
 * Presence is state, not history. A join or a leave only counts up `change`; now and then the state
 * is formatted once, as a snapshot that all streams of the room share. */

#ifndef PRESENCE_H
#define PRESENCE_H

#include "base/bytes.h"
#include "base/table.h"

#include <stdint.h>

/* How many names a snapshot shows; `online` counts all. */
enum { PRESENCE_NAMES_MAX = 100 };

/* A name is kept once, however many streams and rooms show it. */
struct name {
    struct node node;
    unsigned holders;
    uint8_t len;
    char bytes[];
};

/* The name with these bytes (at most 255), found or made, with one holder more; NULL without
 * memory. name_drop takes a holder off and frees the name with the last one. */
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
    uint32_t change;          /* joins and leaves so far */
    uint32_t snapshot_change; /* what `change` was when the snapshot was taken */
    struct buffer snapshot;   /* the event, in its chunk envelope; empty before the first */
};

/* A stream comes or goes; `name` is NULL when it shows none. presence_join returns false, and has
 * changed nothing, when there is no memory. */
bool presence_join(struct presence *p, struct name *name);
void presence_leave(struct presence *p, struct name *name);

/* Writes the present state as a `presence` event. */
void presence_add(struct buffer *out, const struct presence *p, struct span room, bool chunked);

/* Takes a new snapshot. Without memory the old one stays, and false says so. */
bool presence_snapshot(struct presence *p, struct span room);

void presence_free(struct presence *p);

#endif
