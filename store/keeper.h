/* keeper.h - a keeper gives each message its id, and says when the message is safe.
 *
 * Memory and journal are two answers to this question, so they are one struct of functions. The
 * loop hands each turn's batch to `keep`. The keeper numbers every message (hub_number) and settles
 * each with hub_safe or hub_refused: inside `keep`, or later, from `tick` or `ready`. Until then no
 * stream and no page sees the message, and its POST is not answered. Ids only grow, in the order of
 * hub_safe. Several batches may be on their way at a time. */

#ifndef KEEPER_H
#define KEEPER_H

#include "hub.h"

struct keeper {
    /* Takes over a batch from hub_take_batch, which may be empty (NULL). Called once a turn. */
    void (*keep)(struct keeper *, struct publication *batch);

    /* `tick` does whatever is due by now, once a turn. `next_ms` says when the loop must call it
     * again at the latest, even if no socket wakes it. Both in monotonic milliseconds; INT64_MAX
     * for never. */
    void (*tick)(struct keeper *, int64_t mono_ms);
    int64_t (*next_ms)(const struct keeper *);

    /* A descriptor for the loop's epoll(7), or -1 if there is none. The loop calls `ready` when it
     * is readable. It stays the same until `close`. */
    int watch;
    void (*ready)(struct keeper *);

    /* NULL if all is well; otherwise a sentence for /healthz that says why no message can be kept
     * now. */
    const char *(*trouble)(const struct keeper *);

    /* Refuses the messages on their way, and frees everything, the keeper included. */
    void (*close)(struct keeper *);
};

#endif
