/* lease.c - a hashed timing wheel (Varghese and Lauck, 1987) with one slot per second. A stream
 * whose token expires at second t waits in slot t modulo the size of the wheel. Each second one
 * slot is searched: due streams are ended, and streams of a later round stay.
 *
 *      slot   0     1     2            ...           1023
 *             │     │     └► 1026, 2050, 1026
 *             │     └► 1025
 *             └► 2048, 1024
 *
 * Adding and removing a stream costs O(1), and each second checks a thousandth of all leases. A
 * heap would cost O(log n) per lease and order the leases exactly, which nothing here needs. */

#include "net/lease.h"

#include "base/clock.h"
#include "base/list.h"

#include <stdlib.h>

/* 1024 slots use 16 KiB. A one-hour lease is skipped three times before it is due. */
enum { SLOTS = 1024, ENDS_PER_TURN = 64 };

/* Allocated separately from the client, so that only streams with a token pay for it. */
struct lease {
    struct link link;
    struct client *client;
    int64_t expires;
};

static struct link slots[SLOTS];
static unsigned count;
static int64_t done; /* the last second whose slot was searched to its end */

/* Returns the Unix time, which tokens use; other time limits use the monotonic clock. */
static int64_t now(void)
{
    return (int64_t)(clock_unix_ms() / 1000);
}

void lease_start(void)
{
    for (int i = 0; i < SLOTS; i++)
        list_init(&slots[i]);
    done = now();
}

struct lease *lease_new(struct client *c, int64_t expires)
{
    struct lease *lease = malloc(sizeof *lease);
    if (lease == NULL)
        return NULL;
    *lease = (struct lease) { .client = c, .expires = expires };
    list_append(&slots[expires % SLOTS], &lease->link);
    count++;
    return lease;
}

void lease_end(struct lease *lease)
{
    if (lease == NULL)
        return;
    list_remove(&lease->link);
    count--;
    free(lease);
}

/* Ends at most `*most` due leases in a slot. Returns false if others may be due; the slot is then
 * searched again from its front, past the leases of later rounds. */
static bool look_through(struct link *slot, unsigned *most, void (*expire)(struct client *))
{
    for (struct link *l = slot->next, *next; l != slot; l = next) {
        struct lease *lease = CONTAINER(l, struct lease, link);
        next = l->next;
        if (lease->expires > now())
            continue;
        if (*most == 0)
            return false;
        --*most;
        expire(lease->client);
    }
    return true;
}

/* Spreads the work over several turns, because tokens that were made together expire together.
 * `done` does not pass the unfinished second.
 *
 * The system clock can be set. After a step forward of more than a round, one full round is
 * searched, which finds every lease that is due. After a step back the wheel is also set back, so
 * that leases that expire before the old time do not wait for another round. */
void lease_expire(void (*expire)(struct client *))
{
    if (done > now() || done < now() - SLOTS)
        done = now() - (done > now() ? 1 : SLOTS);
    unsigned most = ENDS_PER_TURN;
    while (done < now() && look_through(&slots[(done + 1) % SLOTS], &most, expire))
        done++;
}

/* Returns the next full second if there are leases, even if none of them will be due then. */
int64_t lease_next_ms(void)
{
    if (count == 0)
        return INT64_MAX;
    return done < now() ? clock_mono_ms()
                        : clock_mono_ms() + 1000 - (int64_t)(clock_unix_ms() % 1000);
}
