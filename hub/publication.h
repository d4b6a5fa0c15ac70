/* publication.h - a message on its way from the POST into a ring, and the POSTs that wait for the
 * result.
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
    struct publication *next;     /* in the batch; the keeper may use it once the batch is taken */
    struct room *room;            /* which counts it as pending, and so stays */
    struct key *key;              /* or NULL */
    struct waiter *waiters;       /* the POST that brought it, and those that repeat it */
    struct id id;                 /* from hub_number on */
    uint64_t time_ms;             /* from hub_number on */
    struct stamp stamp;           /* both as text */
    size_t size_max;              /* of its frame, with the longest id: what is reserved for it */
    struct frame_content content; /* its spans lie in `bytes` */
    size_t capacity;              /* of `bytes` */
    char bytes[];
};

/* A publication with space for `bytes` bytes; the fields before `stamp` are zero. Returns NULL if
 * out of memory. publication_free gives it back to the hub, which keeps a few for the next messages
 * until publication_free_spares. */
struct publication *publication_new(struct hub *hub, size_t bytes);
void publication_free(struct hub *hub, struct publication *p);
void publication_free_spares(struct hub *hub);

/* What became of a message. */
enum settled {
    SETTLED_SAFE,
    SETTLED_FULL,   /* refused: the keeper has no space left; there may be some later */
    SETTLED_FAILED, /* refused for another reason */
};

/* What was published, for the answer to the POST. `online` counts the room's streams now; `room` is
 * borrowed, valid until the next call of the hub. */
struct receipt {
    struct stamp stamp;
    struct span room;
    unsigned online;
};

/* A POST that waits for the result. It is a part of its owner, which sets `done`, and calls
 * hub_forget when it goes before `done` was called. The receipt is meant for SETTLED_SAFE only. */
struct waiter {
    struct waiter *next;
    struct publication *publication; /* NULL when it waits for nothing */
    bool repeated; /* its message was on its way already: the first one's result */
    void (*done)(struct waiter *, enum settled, const struct receipt *);
};

#endif
