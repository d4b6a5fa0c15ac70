/* lease.c - a wheel of seconds. A stream whose token ends at second t waits in slot t modulo the
 * size of the wheel. Each second one slot is looked through: those who are due end, those who are
 * here for a later round stay.
 *
 *      slot   0     1     2            ...           1023
 *             │     │     └► 1026, 2050, 1026
 *             │     └► 1025
 *             └► 2048, 1024
 *
 * So it costs nothing to come or go, and a second costs a thousandth of all. */

#include "net/lease.h"

#include "base/clock.h"
#include "base/list.h"

#include <stdlib.h>

enum { SLOTS = 1024, ENDS_PER_TURN = 64 };

struct lease {
    struct link link;
    struct client *client;
    int64_t expires;
};

static struct link slots[SLOTS];
static unsigned count;
static int64_t done; /* the last second that was looked at */

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

/* Ends those in a slot who are due, `*most` of them. False when some may be left. */
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

/* Tokens that were made together end together: then several turns share them. The clock of the day
 * can be set: after a step forwards one round sees everybody who is due; after a step back the
 * wheel goes back too. */
void lease_expire(void (*expire)(struct client *))
{
    if (done > now() || done < now() - SLOTS)
        done = now() - (done > now() ? 1 : SLOTS);
    unsigned most = ENDS_PER_TURN;
    while (done < now() && look_through(&slots[(done + 1) % SLOTS], &most, expire))
        done++;
}

int64_t lease_next_ms(void)
{
    if (count == 0)
        return INT64_MAX;
    return done < now() ? clock_mono_ms()
                        : clock_mono_ms() + 1000 - (int64_t)(clock_unix_ms() % 1000);
}
