/* peers.h - how much each address takes of the server: its connections, streams and posts.
 *
 * A peer exists while it has connections, and a little longer when it has posted a lot. */

#ifndef PEERS_H
#define PEERS_H

#include "base/list.h"
#include "base/table.h"
#include "net/address.h"

struct peer {
    struct node node;
    struct link idle; /* among those without connections, in the order in which they were left */
    struct address address; /* its prefix: see address_prefix */
    unsigned connections, streams;
    size_t buffered;        /* bytes of large requests: see limits_buffer */
    int64_t posts_until_us; /* when its posts so far will have been paid for: see peers_may_post */
};

/* To be called once, before all others. */
void peers_start(void);

/* Counts a connection of this address. NULL without memory. Each peers_enter needs a peers_leave.
 * `now_us` is the monotonic clock in microseconds, here and below. */
struct peer *peers_enter(const struct address *address, int64_t now_us);
void peers_leave(struct peer *peer, int64_t now_us);

/* Whether this peer may post now, when each may post `rate` times a second (up to a million), and
 * after a rest as often at once as it could have in PEERS_BURST_SECONDS. If so, it is counted. */
enum { PEERS_BURST_SECONDS = 4 };
bool peers_may_post(struct peer *peer, uint64_t rate, int64_t now_us);

/* Forgets those that are not connected; for the end. */
void peers_free(void);

#endif
