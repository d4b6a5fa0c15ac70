/* keeper.h - who gives a message its id, and says when it is safe.
 *
 * Memory and journal are two answers to this question, so they are one struct of functions. The
 * loop hands each turn's batch to `keep`; the keeper numbers every message (hub_number), and says
 * of each hub_safe or hub_refused: at once, or from `tick` or `ready` later. Until then the message
 * cannot be read and its POST is not answered. Ids only grow, in the order of hub_safe. Several
 * batches may be on their way at a time. */

#ifndef KEEPER_H
#define KEEPER_H

#include "hub.h"

struct keeper {
    /* Takes over a batch of hub_take_batch, which may be empty (NULL). */
    void (*keep)(struct keeper *, struct publication *batch);

    /* What is to be done by now, and when to call it again; monotonic milliseconds, INT64_MAX for
     * never. Once a turn. */
    void (*tick)(struct keeper *, int64_t mono_ms);
    int64_t (*next_ms)(const struct keeper *);

    /* A descriptor that can be read from, or polled by epoll(7), when `ready` is to be called; the
     * same one until `close`. -1: there is none. */
    int watch;
    void (*ready)(struct keeper *);

    /* NULL when all is well; else a sentence that tells why no message can be kept now. */
    const char *(*trouble)(const struct keeper *);

    /* Refuses what is on its way, and gives everything back. */
    void (*close)(struct keeper *);
};

#endif
