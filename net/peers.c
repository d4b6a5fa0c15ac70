/* peers.c - a table of addresses, each with its counts.
 *
 * The table must not grow with the number of addresses that were ever seen: an attacker may have
 * very many. So a peer goes with its last connection, unless its posts are not paid for yet: to
 * forget it at once would let a client post without limit by connecting again each time. Of such
 * idle peers there are PEERS_IDLE_MAX at most; beyond that the one that left first is forgiven. A
 * record is 72 bytes on a 64-bit machine.
 *
 * Addresses are found by table.h, whose keyed hash keeps an attacker from choosing addresses that
 * collide. */

#include "net/peers.h"

#include <stdlib.h>

enum { PEERS_IDLE_MAX = 16384, SECOND_US = 1000000 }; /* about a megabyte of idle records */

static struct table peers;
static struct link idle;
static unsigned idle_count;

void peers_start(void)
{
    list_init(&idle);
}

static void forget(struct peer *peer)
{
    list_remove(&peer->idle);
    idle_count--;
    table_remove(&peers, &peer->node);
    free(peer);
}

/* Each arrival and each departure removes one idle peer whose posts are paid for. A peer that
 * becomes idle has caused one of each, so more are removed than added, without a timer or a long
 * walk. Only the head is looked at, because no peer owes more than PEERS_BURST_SECONDS. */
static void sweep(int64_t now_us)
{
    if (list_empty(&idle))
        return;
    struct peer *first = CONTAINER(idle.next, struct peer, idle);
    if (first->posts_until_us <= now_us || idle_count > PEERS_IDLE_MAX)
        forget(first);
}

static struct span address_span(const struct address *address)
{
    return (struct span) { (const char *)address->bytes, sizeof address->bytes };
}

static struct peer *find_peer(const struct address *address, uint64_t hash)
{
    struct node *node = table_find(&peers, hash);
    for (; node != NULL; node = table_find_next(node)) {
        struct peer *peer = CONTAINER(node, struct peer, node);
        if (span_equal(address_span(&peer->address), address_span(address)))
            return peer;
    }
    return NULL;
}

/* A new peer has no connection yet and is not in `idle`; on failure there is nothing to undo. */
static struct peer *add_peer(const struct address *address, uint64_t hash)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return NULL;
    peer->address = *address;
    peer->node.hash = hash;
    list_init(&peer->idle);
    if (!table_add(&peers, &peer->node)) {
        free(peer);
        return NULL;
    }
    return peer;
}

/* All addresses of an IPv6 /64 share one record. A peer that comes back while it is idle finds what
 * it still owes. */
struct peer *peers_enter(const struct address *address, int64_t now_us)
{
    struct address prefix = address_prefix(address);
    uint64_t hash = table_hash(address_span(&prefix), 0);
    struct peer *peer = find_peer(&prefix, hash);
    if (peer == NULL)
        peer = add_peer(&prefix, hash);
    else if (peer->connections == 0) {
        list_remove(&peer->idle);
        idle_count--;
    }
    if (peer != NULL)
        peer->connections++;
    sweep(now_us);
    return peer;
}

/* The peer is in the list of idle ones first, because `forget` takes it out of there. */
void peers_leave(struct peer *peer, int64_t now_us)
{
    if (--peer->connections > 0)
        return;
    list_append(&idle, &peer->idle);
    idle_count++;
    if (peer->posts_until_us <= now_us)
        forget(peer);
    sweep(now_us);
}

/* A token bucket kept as one time stamp (the generic cell rate algorithm): each post moves
 * `posts_until_us` ahead by 1/rate seconds, and is refused if that would be further ahead of the
 * clock than the burst. No timer refills anything; the clock does. A peer that has rested starts
 * from now: it has the whole burst, and no more however long it rested.
 *
 *          now             posts_until
 *     ──────┼───────────────────┼────────────────► time
 *           └── at most burst ──┘
 */
bool peers_may_post(struct peer *peer, uint64_t rate, int64_t now_us)
{
    int64_t until_us = peer->posts_until_us > now_us ? peer->posts_until_us : now_us;
    until_us += (int64_t)(SECOND_US / rate);
    if (until_us - now_us > PEERS_BURST_SECONDS * SECOND_US)
        return false;
    peer->posts_until_us = until_us;
    return true;
}

void peers_free(void)
{
    for (struct link *l = idle.next, *next; l != &idle; l = next) {
        next = l->next;
        free(CONTAINER(l, struct peer, idle));
    }
    table_free(&peers);
}
