/* peers.h - what each address uses: its connections, streams and posts.
 *
 * A peer is the record of one address, or of one IPv6 /64 (address_prefix). It exists while the
 * address has connections, and a few seconds longer if it has posted a lot. */

#ifndef PEERS_H
#define PEERS_H

#include "base/list.h"
#include "base/table.h"
#include "net/address.h"

/* The clients of one address whose requests are complete: see rotation.h. */
struct waiting {
    struct link clients; /* the first to be handled comes first */
    struct link turn;    /* in the rotation of the addresses */
};

enum buffered { BUFFERED_REQUESTS, BUFFERED_ANSWERS, BUFFERED_KINDS };

struct peer {
    struct node node;
    struct waiting waiting;
    struct link idle;       /* in the list of idle peers, the longest idle first */
    struct address address; /* the prefix of its addresses: see address_prefix */
    unsigned connections, streams;
    size_t buffered[BUFFERED_KINDS]; /* bytes in large buffers: see limits_buffer */
    int64_t posts_until_us;          /* when its posts so far are paid for: see peers_post */
};

/* Call this once, before any other function here. */
void peers_start(void);

/* Counts a connection of this address, and returns the record of the address; NULL if out of
 * memory. Each peers_enter needs a peers_leave, which may free the record. `now_us` is the
 * monotonic clock in microseconds, here and below. */
struct peer *peers_enter(const struct address *address, int64_t now_us);
void peers_leave(struct peer *peer, int64_t now_us);

/* Counts a post that takes the peer's allowance `cost_us` microseconds to pay for. After a rest a
 * peer may make posts worth PEERS_BURST_SECONDS at once, or one post that costs more. Returns 0, or
 * the microseconds to wait; then nothing is counted. */
enum { PEERS_BURST_SECONDS = 4 };
int64_t peers_post(struct peer *peer, int64_t cost_us, int64_t now_us);

/* Counts a cost that is known only afterwards, even if the peer then owes more than a burst. */
void peers_owe(struct peer *peer, int64_t cost_us, int64_t now_us);

/* Frees the table and the records without connections. Call this last. */
void peers_free(void);

#endif
