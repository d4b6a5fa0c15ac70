/* publication.h - a message on its way from the POST into a ring, and who is told what became of
 * it.
 *
 *      hub_publish ──► the batch ──hub_take_batch──► the keeper ──hub_number, hub_safe──► the ring
 *                                                           └────hub_refused──► nowhere
 *
 * Nobody can read it before it is safe. */

#ifndef PUBLICATION_H
#define PUBLICATION_H

#include "hub/frame.h"

struct hub;
struct key;
struct room;

struct publication {
    struct publication *next; /* in the batch; once it is taken, the keeper's to use */
    struct room *room;
    struct key *key; /* or NULL */
    struct waiter *waiters;
    struct id id;                 /* from hub_number on */
    uint64_t time_ms;             /* from hub_number on */
    struct stamp stamp;           /* both as text */
    size_t size_max;              /* the most that its frame can have */
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
    SETTLED_FULL, /* refused: where it was to be kept there is no space left; later there may be */
    SETTLED_FAILED, /* refused for another reason */
};

/* What was published: `room` and `online` are those of the answer to the POST. */
struct receipt {
    struct stamp stamp;
    struct span room;
    unsigned online;
};

/* The owner of a POST that waits for the result. It lives with its owner, which calls hub_forget
 * when it goes before `done` was called. */
struct waiter {
    struct waiter *next;
    struct publication *publication; /* NULL when nothing is awaited */
    bool repeated;                   /* its key was on its way already: the first one's result */
    void (*done)(struct waiter *, enum settled, const struct receipt *);
};

#endif
