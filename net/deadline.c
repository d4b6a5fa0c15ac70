/* deadline.c - the queues of deadline.h.
 *
 * Each turn checks the heads of eight queues. The queues of long polls, one per length, are mostly
 * empty, so a bit mask marks the queues that may have clients, and only those are checked.
 * Bits are set eagerly and cleared lazily, when a queue is found empty, because a client that
 * leaves a queue does not know whether it was the last.
 *
 * Nothing is allocated: the links are in the clients, so setting a deadline cannot fail. */

#include "net/deadline.h"

#include "base/clock.h"
#include "net/connection.h"

enum {
    HEARTBEAT_SLACK_MS = 50, /* a heartbeat may be this late, so that one turn sends several */
    EXPIRED_PER_TURN = 64,   /* per queue; the rest follow in the next turn, which begins at once */
    SECOND_MS = 1000,
};

static const int64_t never_ms = INT64_MAX / 4; /* adding it to the clock does not overflow */

static struct link queues[DEADLINE_COUNT]; /* the client that is due first comes first */
static int64_t timeouts_ms[DEADLINE_COUNT];
static uint64_t used_polls; /* bit n: the queue DEADLINE_POLL + n may have clients */

_Static_assert(DEADLINE_COUNT - DEADLINE_POLL <= 64, "one bit per queue");

/* Sets the timeouts. A head must arrive within 10 s, in whatever pieces, and 64 KiB of a body
 * within 30 s. An answer may stall for 30 s and a stream for 60 s: a client that reads slowly may
 * stay, a client that reads nothing may not. A second of lingering is a few round trips, enough for
 * the answer to arrive. */
void deadline_start(int64_t heartbeat_ms, int64_t keep_alive_ms)
{
    const int64_t given[DEADLINE_POLL] = {
        [DEADLINE_HEAD] = 10 * SECOND_MS,
        [DEADLINE_BODY] = 30 * SECOND_MS,
        [DEADLINE_ANSWER] = 30 * SECOND_MS,
        [DEADLINE_IDLE] = keep_alive_ms,
        [DEADLINE_LINGER] = SECOND_MS,
        [DEADLINE_STALLED] = 60 * SECOND_MS,
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

/* Moves the client to the end of a queue. list_move also removes it from a caller's list: see
 * deadline_take_all. */
static inline void enter(struct client *c, unsigned kind)
{
    list_move(&queues[kind], &c->deadline);
    if (kind >= DEADLINE_POLL)
        used_polls |= 1ull << (kind - DEADLINE_POLL);
}

/* Keeps `due_ms`. */
void deadline_put_back(struct client *c)
{
    enter(c, c->deadline_kind);
}

/* Appends the client. The queue stays in order, because the clock is monotonic and the timeout is
 * the same for the whole queue. */
void deadline_set(struct client *c, enum deadline kind)
{
    c->deadline_kind = (uint8_t)kind;
    c->due_ms = clock_mono_ms() + timeouts_ms[kind];
    enter(c, kind);
}

struct client *deadline_first(enum deadline kind)
{
    struct link *queue = &queues[kind];
    return list_empty(queue) ? NULL : CONTAINER(queue->next, struct client, deadline);
}

/* Returns the first non-empty queue from `kind` on; DEADLINE_COUNT if there is none. Counting the
 * trailing zeros of the mask skips empty long-poll queues in one instruction. */
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

/* Reads the head again in each round, because `expire` removes the client and may remove others. */
void deadline_expire(void (*expire)(struct client *))
{
    int64_t now_ms = clock_mono_ms();
    for (int kind = 0; (kind = next_queue(kind)) < DEADLINE_COUNT; kind++) {
        int left = EXPIRED_PER_TURN;
        for (struct client *c; left > 0 && (c = deadline_first((enum deadline)kind)) != NULL;
             left--) {
            if (c->due_ms > now_ms)
                break;
            expire(c);
        }
    }
}

/* Adds the slack to heartbeats: among many streams one is always due, and the loop would otherwise
 * wake up for each of them. A heartbeat that is already due does not wait for the slack: it was
 * left over when deadline_expire reached its limit. */
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

void deadline_take_all(struct link *all)
{
    for (int kind = 0; kind < DEADLINE_COUNT; kind++)
        list_splice(&queues[kind], all);
}
