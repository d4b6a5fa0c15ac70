/* deadline.c - the queues of deadline.h. Which of them may have clients is a bit each: a turn of
 * the loop looks at those few, not at one for each length of a long poll. */

#include "net/deadline.h"

#include "base/clock.h"
#include "net/connection.h"

enum {
    HEARTBEAT_SLACK_MS = 50, /* a heartbeat may be so late, to go out with others */
    EXPIRED_PER_TURN = 64,
    WORD_BITS = 64,
    WORDS = (DEADLINE_COUNT + WORD_BITS - 1) / WORD_BITS,
};

static struct link queues[DEADLINE_COUNT];
static uint64_t used[WORDS]; /* a bit that is set may be wrong; one that is not set is right */
static int64_t heartbeat;

void deadline_start(int64_t heartbeat_ms)
{
    heartbeat = heartbeat_ms;
    for (int kind = 0; kind < DEADLINE_COUNT; kind++)
        list_init(&queues[kind]);
}

static int64_t timeout_ms(enum deadline kind)
{
    switch (kind) {
    case DEADLINE_HEAD:
        return 10000;
    case DEADLINE_BODY:
    case DEADLINE_ANSWER:
        return 30000;
    case DEADLINE_IDLE:
    case DEADLINE_STALLED:
        return 60000;
    case DEADLINE_LINGER:
        return 1000;
    case DEADLINE_STREAM:
        return heartbeat;
    default:
        return kind >= DEADLINE_POLL ? 1000 * (kind - DEADLINE_POLL + 1) : 0;
    }
}

void deadline_put_back(struct client *c)
{
    int kind = c->deadline_kind;
    list_remove(&c->deadline);
    list_append(&queues[kind], &c->deadline);
    used[kind / WORD_BITS] |= 1ull << kind % WORD_BITS;
}

void deadline_set(struct client *c, enum deadline kind)
{
    if (kind == DEADLINE_STREAM && heartbeat == 0)
        kind = DEADLINE_NONE;
    c->deadline_kind = (uint8_t)kind;
    c->due_ms = clock_mono_ms() + timeout_ms(kind);
    deadline_put_back(c);
}

struct client *deadline_first(enum deadline kind)
{
    struct link *queue = &queues[kind];
    return list_empty(queue) ? NULL : CONTAINER(queue->next, struct client, deadline);
}

/* The first queue from `kind` on that is not empty and whose clients can be late; DEADLINE_COUNT
 * when there is none. */
static int next_queue(int kind)
{
    while (kind < DEADLINE_COUNT) {
        uint64_t word = used[kind / WORD_BITS] >> kind % WORD_BITS;
        if (word == 0) {
            kind = (kind / WORD_BITS + 1) * WORD_BITS;
            continue;
        }
        kind += __builtin_ctzll(word);
        if (list_empty(&queues[kind]))
            used[kind / WORD_BITS] &= ~(1ull << kind % WORD_BITS);
        else if (kind != DEADLINE_NONE && kind != DEADLINE_READY)
            return kind;
        kind++;
    }
    return DEADLINE_COUNT;
}

void deadline_expire(void (*expire)(struct client *))
{
    int64_t now_ms = clock_mono_ms();
    for (int kind = 0; (kind = next_queue(kind)) < DEADLINE_COUNT; kind++) {
        struct client *c;
        int left = EXPIRED_PER_TURN;
        while (
            (c = deadline_first((enum deadline)kind)) != NULL && c->due_ms <= now_ms && left-- > 0)
            expire(c);
    }
}

/* What is due already was left over by deadline_expire, and waits no longer. */
int64_t deadline_next_ms(void)
{
    int64_t now_ms = clock_mono_ms(), next = INT64_MAX;
    if (deadline_first(DEADLINE_READY) != NULL)
        return now_ms;
    for (int kind = 0; (kind = next_queue(kind)) < DEADLINE_COUNT; kind++) {
        int64_t due = deadline_first((enum deadline)kind)->due_ms;
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
