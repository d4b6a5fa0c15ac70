/* peers.c - a table of addresses, each with its counts.
 *
 * The table must not grow with the number of addresses ever seen: an attacker may have very many.
 * So a peer is freed with its last connection if its posts are paid for. If not, it is kept, so
 * that a client cannot post without limit by reconnecting each time. At most PEERS_IDLE_MAX such
 * idle peers are kept; beyond that the peer that left first is forgiven. A record is 112 bytes on a
 * 64-bit machine.
 *
 * The table (table.h) has a keyed hash, so that attackers cannot choose colliding addresses. */

#include "net/peers.h"

#include <stdlib.h>

enum {
    PEERS_IDLE_MAX = 16384, /* under two megabytes of idle records */
    BURST_US = PEERS_BURST_SECONDS * 1000000,
};

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
    table_trim(&peers);
    free(peer);
}

/* Removes one idle peer whose posts are paid for. Runs at each arrival and each departure: a peer
 * that becomes idle has caused one of each, so more peers are removed than added, without a timer
 * or a long walk. Only the head is checked, because no peer owes more than three bursts. */
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

/* Adds a peer that has no connection yet and is not in `idle`. On failure nothing needs undoing. */
static struct peer *add_peer(const struct address *address, uint64_t hash)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (peer == NULL)
        return NULL;
    peer->address = *address;
    peer->node.hash = hash;
    list_init(&peer->idle);
    list_init(&peer->waiting.clients);
    list_init(&peer->waiting.turn);
    if (!table_add(&peers, &peer->node)) {
        free(peer);
        return NULL;
    }
    return peer;
}

/* Finds or adds the record that all addresses of an IPv6 /64 share. An idle peer that returns still
 * owes what it owed. */
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

/* Adds the peer to the list of idle peers first, because `forget` removes it from that list. */
void peers_leave(struct peer *peer, int64_t now_us)
{
    if (--peer->connections > 0)
        return;
    list_remove(&peer->waiting.turn);
    list_append(&idle, &peer->idle);
    idle_count++;
    if (peer->posts_until_us <= now_us)
        forget(peer);
    sweep(now_us);
}

/* Returns until when the peer's posts are paid for; now, if it has rested. */
static int64_t until(const struct peer *peer, int64_t now_us)
{
    return peer->posts_until_us > now_us ? peer->posts_until_us : now_us;
}

static int64_t at_most_a_burst(int64_t cost_us)
{
    return cost_us < BURST_US ? cost_us : BURST_US;
}

/* Keeps a token bucket as one timestamp (the generic cell rate algorithm): each post moves
 * `posts_until_us` ahead by its cost, and is refused if that would be further ahead of the clock
 * than the burst. The clock refills the bucket, without a timer. A peer that has rested starts from
 * now: it has the full burst, but no more, however long it rested. No post costs more than a burst,
 * so that every post which --max-body allows can be made.
 *
 *          now             posts_until
 *     ──────┼───────────────────┼────────────────► time
 *           └── at most burst ──┘
 */
int64_t peers_post(struct peer *peer, int64_t cost_us, int64_t now_us)
{
    int64_t until_us = until(peer, now_us) + at_most_a_burst(cost_us);
    int64_t wait_us = until_us - now_us - BURST_US;
    if (wait_us > 0)
        return wait_us;
    peer->posts_until_us = until_us;
    return 0;
}

void peers_owe(struct peer *peer, int64_t cost_us, int64_t now_us)
{
    peer->posts_until_us = until(peer, now_us) + at_most_a_burst(cost_us);
}

void peers_free(void)
{
    for (struct link *l = idle.next, *next; l != &idle; l = next) {
        next = l->next;
        free(CONTAINER(l, struct peer, idle));
    }
    table_free(&peers);
}
