/* publication.h - a pending message, between its POST and the ring, and the POSTs that wait for the
 * result. Forgetting a room takes the same way, because it must be on the disk before it happens:
 * otherwise a restart would bring the messages back.
 *
 *      hub_publish ──► the batch ──hub_take_batch──► the keeper ──hub_number, hub_safe──► the ring
 *                                                           └────hub_refused──► nowhere
 *
 * Streams and pages do not see a message before the keeper reports it safe. */

#ifndef PUBLICATION_H
#define PUBLICATION_H

#include "hub/frame.h"

struct hub;
struct key;
struct room;

struct publication {
    struct publication *next;     /* next in the batch; the keeper's once the batch is taken */
    bool forgets;                 /* not a message: its room's history is to be forgotten */
    struct room *room;            /* its room, which stays while this is pending */
    struct key *key;              /* its idempotency key, or NULL */
    struct waiter *waiters;       /* the POST that brought it, and those that repeat it */
    struct id id;                 /* set by hub_number */
    uint64_t time_ms;             /* set by hub_number */
    struct stamp stamp;           /* id and time as text */
    size_t size_max;              /* reserved for its frame: the length with the longest id */
    struct frame_content content; /* its spans point into `bytes` */
    size_t capacity;              /* the size of `bytes` */
    char bytes[];
};

/* Makes a publication with space for `bytes` bytes; the fields before `stamp` are zero. Returns
 * NULL if out of memory. publication_free returns it to the hub, which keeps a few for later
 * messages until publication_free_spares. */
struct publication *publication_new(struct hub *hub, size_t bytes);
void publication_free(struct hub *hub, struct publication *p);
void publication_free_spares(struct hub *hub);

/* What became of a message. */
enum settled {
    SETTLED_SAFE,
    SETTLED_FULL,   /* refused: the keeper has no space left, but may have some later */
    SETTLED_FAILED, /* refused for another reason */
};

/* What was published, for the answer to the POST. `online` counts the room's current streams;
 * `room` is borrowed, and valid until the next call to the hub. */
struct receipt {
    struct stamp stamp;
    struct span room;
    unsigned online;
};

/* A POST that waits for the result. Its owner embeds it, sets `done`, and calls hub_forget if it
 * stops waiting before `done` is called. The receipt is valid only for SETTLED_SAFE. */
struct waiter {
    struct waiter *next;
    struct publication *publication; /* NULL if it waits for nothing */
    bool repeated; /* its message was already pending: it gets the first POST's result */
    void (*done)(struct waiter *, enum settled, const struct receipt *);
};

#endif
