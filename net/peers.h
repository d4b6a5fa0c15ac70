/* peers.h - how much each address takes of the server: its connections, streams and posts.
 *
 * A peer is the record of one address, or of one IPv6 /64 (address_prefix). It exists while the
 * address has connections, and a few seconds longer if it has posted a lot. */

#ifndef PEERS_H
#define PEERS_H

#include "base/list.h"
#include "base/table.h"
#include "net/address.h"

struct peer {
    struct node node;
    struct link idle; /* among the peers without connections, in the order of their last close */
    struct address address; /* the prefix that stands for it: see address_prefix */
    unsigned connections, streams;
    size_t buffered;        /* bytes of large requests: see limits_buffer */
    int64_t posts_until_us; /* when its posts so far are paid for: see peers_may_post */
};

/* Must be called once, before all other functions here. */
void peers_start(void);

/* Counts a connection of this address, and returns its record; NULL if out of memory. Each
 * peers_enter needs a peers_leave, after which the record may be gone. `now_us` is the monotonic
 * clock in microseconds, here and below. */
struct peer *peers_enter(const struct address *address, int64_t now_us);
void peers_leave(struct peer *peer, int64_t now_us);

/* Returns whether this peer may post now, and counts the post then. Each peer may post `rate` times
 * a second (1 to a million), and after a rest a burst of as many posts as PEERS_BURST_SECONDS
 * allow. */
enum { PEERS_BURST_SECONDS = 4 };
bool peers_may_post(struct peer *peer, uint64_t rate, int64_t now_us);

/* Frees the table and the records without connections. Must be the last call here. */
void peers_free(void);

#endif
