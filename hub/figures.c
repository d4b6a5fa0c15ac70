/* figures.c - sums up the hub.
 *
 * Counts that a message changes are kept in struct hub. The lag is looked up instead, because it
 * changes with each message and each send, and hardly anything asks for it. */

#include "hub/figures.h"

#include "hub/room.h"

static uint64_t lag_of(const struct member *m)
{
    return m->room->ring.head - m->cursor;
}

static void raise_lag(uint64_t *lag, const struct member *m)
{
    if (lag_of(m) > *lag)
        *lag = lag_of(m);
}

/* Blocked streams are in the list of each of their rooms or, if they wait for their turn, in the
 * hub's list. There are other streams in that list, which replay a lot. */
static uint64_t largest_lag(const struct hub *hub)
{
    uint64_t lag = 0;
    for (struct node *n = NULL; (n = table_walk(&hub->rooms, n)) != NULL;) {
        const struct room *room = CONTAINER(n, struct room, node);
        for (struct link *l = room->blocked.next; l != &room->blocked; l = l->next)
            raise_lag(&lag, CONTAINER(l, struct member, link));
    }
    for (struct link *l = hub->behind.next; l != &hub->behind; l = l->next) {
        const struct stream *stream = CONTAINER(l, struct member, link)->stream;
        for (const struct member *m = &stream->first; m != NULL; m = m->also)
            raise_lag(&lag, m);
    }
    return lag;
}

void figures_read(const struct hub *hub, struct figures *f)
{
    *f = (struct figures) {
        .rooms = hub->rooms.count,
        .held = hub->messages,
        .held_bytes = hub->held,
        .published = hub->published,
        .delivered = hub->delivered,
        .blocked = hub->blocked,
        .lag = hub->blocked > 0 ? largest_lag(hub) : 0,
    };
}
