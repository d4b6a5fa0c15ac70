/* keeper.h - a keeper gives each message its id, and says when the message is safe.
 *
 * The memory keeper and the journal do this differently, but provide the same struct of functions.
 * The loop hands each turn's batch to `keep`. The keeper numbers every message (hub_number) and
 * settles each with hub_safe or hub_refused: inside `keep`, or later, from `tick` or `ready`. Until
 * then no stream and no page sees the message, and its POST is not answered. Ids only grow, in the
 * order of the hub_safe calls. Several batches can be pending at a time. A publication that forgets
 * a room gets no number, but must be settled in its turn like a message. */

#ifndef KEEPER_H
#define KEEPER_H

#include "base/histogram.h"
#include "hub.h"

struct keeper {
    /* Takes over a batch from hub_take_batch; NULL is an empty batch. Called once per turn. */
    void (*keep)(struct keeper *, struct publication *batch);

    /* `tick` does whatever is due, once per turn. `next_ms` returns the latest time at which the
     * loop must call `tick` again, even if no socket wakes it; INT64_MAX for never. Both use
     * monotonic milliseconds. */
    void (*tick)(struct keeper *, int64_t mono_ms);
    int64_t (*next_ms)(const struct keeper *);

    /* A descriptor for the loop's epoll(7), or -1 if there is none. It stays the same until
     * `close`. The loop calls `ready` when it is readable. */
    int watch;
    void (*ready)(struct keeper *);

    /* Returns NULL if all is well, or a sentence for /healthz that says why nothing can be kept. */
    const char *(*trouble)(const struct keeper *);

    /* Returns NULL, or a sentence for /healthz that says what should be mended although messages
     * are kept. */
    const char *(*warning)(const struct keeper *);

    /* NULL for a keeper without a file. Returns the file's size in bytes, and how long its syncs
     * have taken; `*syncs` is valid until `close`. */
    uint64_t (*measure)(const struct keeper *, const struct histogram **syncs);

    /* Refuses the pending messages, and frees everything, including the keeper. */
    void (*close)(struct keeper *);
};

#endif
