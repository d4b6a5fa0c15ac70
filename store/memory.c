/* memory.c - numbers a batch by the clock and settles it at once. What a restart forgets, the hub
 * tells its readers by itself: a `gap`, `restarted`. */

#include "store/memory.h"

#include "base/list.h"

#include <stdlib.h>

struct memory {
    struct keeper keeper;
    struct hub *hub;
};

static void keep(struct keeper *keeper, struct publication *batch)
{
    struct hub *hub = CONTAINER(keeper, struct memory, keeper)->hub;
    for (struct publication *p = batch, *next; p != NULL; p = next) {
        struct id id = hub_next_id(hub);
        next = p->next;
        hub_number(hub, p, id, id.ms);
        hub_safe(hub, p);
    }
}

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

static const char *trouble(const struct keeper *keeper)
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
        .keeper = { keep, tick, next_ms, -1, ready, trouble, memory_close },
        .hub = hub,
    };
    return &memory->keeper;
}
