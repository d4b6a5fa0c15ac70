/* peers.c - a table of addresses, each with its counts.
 *
 * What is kept is bounded by what is connected: a peer goes with its last connection, unless it
 * still owes time for its posts. Of those there are PEERS_IDLE_MAX at most; beyond, the one that
 * left first is forgiven. */

#include "net/peers.h"

#include <stdlib.h>

enum { PEERS_IDLE_MAX = 16384, SECOND_US = 1000000 };

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

/* Whoever comes or goes sweeps another one away, if that is done: one left, two sweep. So nothing
 * piles up, and nobody has to do it all at once. */
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

/* Each post takes 1/rate seconds of the peer's time. Who has rested may be ahead of the clock by
 * the burst, and no more: one number is all there is to remember.
 *
 *          now             posts_until
 *     ──────┼───────────────────┼────────────────► time
 *           └── at most burst ──┘                                                      */
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
