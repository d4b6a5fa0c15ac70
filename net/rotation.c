/* rotation.c - the queues of rotation.h: round robin over the addresses.
 *
 * The queues belong to the records of the addresses (peers.h). Clients that count against no
 * address (those of a unix socket) share one queue. Nothing is allocated, and each step takes
 * constant time, however many requests wait.
 *
 * Requests are counted, not their costs: an address whose requests are all expensive gets more time
 * than others. A dear page takes half a millisecond. A POST of 64 KiB can take five, but its bytes
 * count against --post-rate. So the wait of the others stays small. */

#include "net/rotation.h"

#include "base/clock.h"
#include "net/connection.h"

/* The most time that one turn spends on requests, in microseconds, except that a request which has
 * begun is finished. A new request waits for the rest of a turn, so longer turns would delay it; in
 * shorter ones the batches of POSTs would be smaller. */
enum { HANDLE_US = 2000 };

static struct link rotation;  /* the addresses whose clients wait; the next one first */
static struct waiting others; /* the clients without an address */

void rotation_start(void)
{
    list_init(&rotation);
    list_init(&others.clients);
    list_init(&others.turn);
}

/* Moves the client's link from its queue of deadline.h, because a client is in one queue at a time.
 * An address that already waits keeps its place. */
void rotation_add(struct client *c)
{
    struct waiting *queue = c->peer != NULL ? &c->peer->waiting : &others;
    c->deadline_kind = DEADLINE_READY;
    list_move(&queue->clients, &c->deadline);
    if (list_empty(&queue->turn))
        list_append(&rotation, &queue->turn);
}

/* Takes the first client of the first address, and moves the address to the end of the rotation if
 * more of its clients wait. Returns NULL if that address has none, because they were closed. */
static struct client *next_client(void)
{
    struct waiting *queue = CONTAINER(rotation.next, struct waiting, turn);
    struct client *c = NULL;
    list_remove(&queue->turn);
    if (!list_empty(&queue->clients)) {
        c = CONTAINER(queue->clients.next, struct client, deadline);
        list_remove(&c->deadline);
    }
    if (!list_empty(&queue->clients))
        list_append(&rotation, &queue->turn);
    return c;
}

/* Reads the clock after each request, which costs far less than the cheapest request. */
void rotation_run(void (*handle)(struct client *))
{
    if (list_empty(&rotation))
        return;
    int64_t until_us = clock_now_us(CLOCK_MONOTONIC) + HANDLE_US;
    do {
        struct client *c = next_client();
        if (c != NULL)
            handle(c);
    } while (!list_empty(&rotation) && clock_now_us(CLOCK_MONOTONIC) < until_us);
}

bool rotation_waits(void)
{
    return !list_empty(&rotation);
}

void rotation_take_all(struct link *all)
{
    for (struct link *l = rotation.next; l != &rotation; l = l->next)
        list_splice(&CONTAINER(l, struct waiting, turn)->clients, all);
}
