/* figures.h - the hub in numbers, for monitoring. */

#ifndef FIGURES_H
#define FIGURES_H

#include <stddef.h>
#include <stdint.h>

struct hub;

struct figures {
    size_t rooms;
    uint64_t held, held_bytes; /* messages in all rings, and the bytes of their frames */

    /* Since the start: messages that have entered a ring, without those that were restored, and the
     * streams that were in the message's room at that time, summed over these messages. So an event
     * for a thousand streams counts as a thousand deliveries even while they are being sent. */
    uint64_t published, delivered;

    /* The streams that wait until their sockets take more, and the most bytes of one room that one
     * of them has still to get. A stream is ended when that exceeds the room's history. */
    unsigned blocked;
    uint64_t lag;
};

/* Costs a look at each room and each blocked stream, if there are blocked streams. */
void figures_read(const struct hub *hub, struct figures *f);

#endif
