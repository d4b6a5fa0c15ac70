/* presence.h - the streams in a room: their count and their distinct names.
 *
 * Presence is state, not history: only the latest state matters. So it never enters the ring, where
 * joins and leaves would displace messages and be replayed. A join or a leave only increments
 * `change`. From time to time the state is formatted once, as a snapshot that all streams of the
 * room share. Each stream remembers the last change it has been sent (its member's `seen`), and
 * gets the latest snapshot when it has caught up with the messages. */

#ifndef PRESENCE_H
#define PRESENCE_H

#include "base/bytes.h"
#include "base/table.h"

#include <stdint.h>

/* The most names in a snapshot, which is sent to every stream, and the most of one address;
 * `online` counts all streams. */
enum { PRESENCE_NAMES_MAX = 100, PRESENCE_SOURCE_MAX = 16 };

/* An interned name: it is stored once, however many streams of an address and rooms show it, so
 * that pointers can be compared instead of names. */
struct name {
    struct node node;
    uint64_t source;  /* the address that shows it (share.h) */
    unsigned holders; /* streams */
    uint8_t len;
    char bytes[];
};

/* Finds or makes the name with these bytes (at most 255) and this source, and adds a holder.
 * Returns NULL if out of memory. name_drop removes a holder, and frees the name after the last
 * one. */
struct name *name_hold(struct table *names, struct span bytes, uint64_t source);
void name_drop(struct table *names, struct name *name);

/* A name in a room, and how many of the room's streams show it. */
struct present {
    struct name *name;
    unsigned streams;
};

struct presence {
    struct present *names; /* in byte order, and equal ones in the order of their sources */
    size_t count, capacity;
    unsigned online;
    uint32_t change;          /* number of joins and leaves; wraps around */
    uint32_t snapshot_change; /* the value of `change` when the snapshot was taken */
    struct buffer snapshot;   /* the event in its envelope; empty before the first one */
};

/* Count a stream that joins or leaves. `name` is NULL if it shows none; otherwise the caller must
 * hold the name until the stream leaves. presence_join returns false if out of memory; then nothing
 * has changed. */
bool presence_join(struct presence *p, struct name *name);
void presence_leave(struct presence *p, struct name *name);

/* Appends the current state as a `presence` event. */
void presence_add(struct buffer *out, const struct presence *p, struct span room, bool chunked);

/* Takes a new snapshot. Returns false if out of memory; then the old one stays. */
bool presence_snapshot(struct presence *p, struct span room);

void presence_free(struct presence *p);

#endif
