/* deadline.c - the queues of deadline.h. Of those for the lengths of long polls, a bit each tells
 * which may have clients: a turn of the loop looks at those few, not at all. */

#include "net/deadline.h"

#include "base/clock.h"
#include "net/connection.h"

enum {
    HEARTBEAT_SLACK_MS = 50, /* a heartbeat may be so late, to go out with others */
    EXPIRED_PER_TURN = 64,
    SECOND_MS = 1000,
};

static const int64_t never_ms = INT64_MAX / 4; /* from now: can be added to the clock */

static struct link queues[DEADLINE_COUNT];
static int64_t timeouts_ms[DEADLINE_COUNT];
static uint64_t used_polls; /* from DEADLINE_POLL on; a bit may be set for an empty queue */

_Static_assert(DEADLINE_COUNT - DEADLINE_POLL <= 64, "a bit for each");

void deadline_start(int64_t heartbeat_ms)
{
    static const int64_t given[DEADLINE_POLL] = {
        [DEADLINE_HEAD] = 10 * SECOND_MS,
        [DEADLINE_BODY] = 30 * SECOND_MS,
        [DEADLINE_ANSWER] = 30 * SECOND_MS,
        [DEADLINE_IDLE] = 60 * SECOND_MS,
        [DEADLINE_LINGER] = SECOND_MS,
        [DEADLINE_STALLED] = 60 * SECOND_MS,
        [DEADLINE_READY] = 0,
    };
    memcpy(timeouts_ms, given, sizeof given);
    timeouts_ms[DEADLINE_NONE] = never_ms;
    timeouts_ms[DEADLINE_STREAM] = heartbeat_ms > 0 ? heartbeat_ms : never_ms;
    for (int kind = 0; kind < DEADLINE_COUNT; kind++) {
        list_init(&queues[kind]);
        if (kind >= DEADLINE_POLL)
            timeouts_ms[kind] = SECOND_MS * (kind - DEADLINE_POLL + 1);
    }
}

void deadline_put_back(struct client *c)
{
    unsigned kind = c->deadline_kind;
    list_remove(&c->deadline);
    list_append(&queues[kind], &c->deadline);
    if (kind >= DEADLINE_POLL)
        used_polls |= 1ull << (kind - DEADLINE_POLL);
}

void deadline_set(struct client *c, enum deadline kind)
{
    c->deadline_kind = (uint8_t)kind;
    c->due_ms = clock_mono_ms() + timeouts_ms[kind];
    deadline_put_back(c);
}

struct client *deadline_first(enum deadline kind)
{
    struct link *queue = &queues[kind];
    return list_empty(queue) ? NULL : CONTAINER(queue->next, struct client, deadline);
}

/* The first queue from `kind` on that is not empty; DEADLINE_COUNT when there is none. */
static int next_queue(int kind)
{
    for (; kind < DEADLINE_POLL; kind++)
        if (!list_empty(&queues[kind]))
            return kind;
    while (kind < DEADLINE_COUNT && used_polls >> (kind - DEADLINE_POLL) != 0) {
        kind += __builtin_ctzll(used_polls >> (kind - DEADLINE_POLL));
        if (!list_empty(&queues[kind]))
            return kind;
        used_polls &= ~(1ull << (kind - DEADLINE_POLL));
    }
    return DEADLINE_COUNT;
}

void deadline_expire(void (*expire)(struct client *))
{
    int64_t now_ms = clock_mono_ms();
    for (int kind = 0; (kind = next_queue(kind)) < DEADLINE_COUNT; kind++) {
        int left = kind != DEADLINE_READY ? EXPIRED_PER_TURN : 0;
        for (struct client *c; left > 0 && (c = deadline_first((enum deadline)kind)) != NULL;
             left--) {
            if (c->due_ms > now_ms)
                break;
            expire(c);
        }
    }
}

/* What is due already was left over by deadline_expire, and waits no longer. */
int64_t deadline_next_ms(void)
{
    int64_t now_ms = clock_mono_ms(), next = INT64_MAX;
    for (int kind = 0; (kind = next_queue(kind)) < DEADLINE_COUNT; kind++) {
        int64_t due = CONTAINER(queues[kind].next, struct client, deadline)->due_ms;
        if (kind == DEADLINE_STREAM && due > now_ms)
            due += HEARTBEAT_SLACK_MS;
        if (due < next)
            next = due;
    }
    return next;
}

void deadline_take(enum deadline kind, struct link *all)
{
    list_splice(&queues[kind], all);
}

void deadline_take_all(struct link *all)
{
    for (int kind = 0; kind < DEADLINE_COUNT; kind++)
        deadline_take((enum deadline)kind, all);
}
