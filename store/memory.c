/* memory.c - the keeper without a disk: numbers a batch by the clock and settles it at once.
 *
 * It is the smallest possible keeper, and so the place to see what the interface requires. Nothing
 * is ever pending between two turns, so there is nothing to wait for, to retry or to refuse.
 * Messages do not survive a restart, but clients learn of their loss: a hub begins at its start
 * time, so an older id gets a `gap` with the reason `restarted`. */

#include "store/memory.h"

#include "base/list.h"

#include <stdlib.h>

struct memory {
    struct keeper keeper;
    struct hub *hub;
};

/* Makes each message safe at once. Ids come from hub_next_id, so they grow in the order of the
 * hub_safe calls. `next` is read first, because hub_safe frees the publication. */
static void keep(struct keeper *keeper, struct publication *batch)
{
    struct hub *hub = CONTAINER(keeper, struct memory, keeper)->hub;
    for (struct publication *p = batch, *next; p != NULL; p = next) {
        next = p->next;
        if (!p->forgets)
            hub_number(hub, p, hub_next_id(hub), hub_time(hub));
        hub_safe(hub, p);
    }
}

/* Do nothing, but must exist: the loop calls every function of a keeper without a NULL check. */
static void tick(struct keeper *keeper, int64_t mono_ms)
{
    (void)keeper;
    (void)mono_ms;
}

static int64_t next_ms(const struct keeper *keeper)
{
    (void)keeper;
    return INT64_MAX;
}

static void ready(struct keeper *keeper)
{
    (void)keeper;
}

/* Serves as `trouble` and as `warning`. */
static const char *none(const struct keeper *keeper)
{
    (void)keeper;
    return NULL;
}

static void memory_close(struct keeper *keeper)
{
    free(CONTAINER(keeper, struct memory, keeper));
}

struct keeper *memory_open(struct hub *hub)
{
    struct memory *memory = malloc(sizeof *memory);
    if (memory == NULL)
        return NULL;
    *memory = (struct memory) {
        .keeper = { keep, tick, next_ms, -1, ready, none, none, NULL, memory_close },
        .hub = hub,
    };
    return &memory->keeper;
}
