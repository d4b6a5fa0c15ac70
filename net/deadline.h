/* deadline.h - inside net/: when a client, or the server, has waited long enough.
 *
 * Clients with equal timeouts form a FIFO queue: the client that enters last is due last, so only
 * the head of each queue is ever checked. Setting, moving and removing a deadline costs O(1),
 * without a heap or a tree of timers. The price: each timeout needs its own queue, and must be
 * known beforehand. (A token's expiry time is not known beforehand: see lease.h.)
 *
 *     DEADLINE_HEAD     ──► due at 112 ──► due at 113 ──► due at 120      timeout 10 s
 *     DEADLINE_STREAM   ──► due at 111 ──► due at 111 ──► due at 125      timeout 15 s
 *                           only the first column is checked
 *
 * Every client is in exactly one of these queues, or in one of rotation.h. */

#ifndef DEADLINE_H
#define DEADLINE_H

#include <stdint.h>

struct client;
struct link;

enum deadline {
    DEADLINE_HEAD,
    DEADLINE_BODY,
    DEADLINE_ANSWER, /* since the socket last accepted a part of an answer */
    DEADLINE_IDLE,   /* between requests */
    DEADLINE_LINGER,
    DEADLINE_STREAM,  /* until the next heartbeat */
    DEADLINE_STALLED, /* since the socket last accepted a part of a stream */
    DEADLINE_NONE,    /* no deadline: the keeper ends the wait */
    DEADLINE_POLL,    /* long polls: one queue per length, 1 to CLIENT_POLL_MAX_SECONDS */
    DEADLINE_COUNT = DEADLINE_POLL + 55, /* the number of queues */
    DEADLINE_READY, /* no deadline, and no queue here: the client is in one of rotation.h */
};

/* Call this once, before any other function here. A `heartbeat_ms` of 0 means no heartbeats. */
void deadline_start(int64_t heartbeat_ms, int64_t keep_alive_ms);

/* Moves the client to the end of this queue; the client's time starts now. */
void deadline_set(struct client *c, enum deadline kind);

/* Calls `expire` for clients whose deadline has passed: at most 64 per queue, so that many clients
 * that are due together do not keep the sockets waiting. `expire` must close the client or set a
 * new deadline. */
void deadline_expire(void (*expire)(struct client *));

/* Returns the next deadline in monotonic milliseconds, in the far future if there is none. */
int64_t deadline_next_ms(void);

/* Returns the first client in a queue; NULL if the queue is empty. */
struct client *deadline_first(enum deadline kind);

/* Moves all clients of all queues to the end of the list `all`, which links the clients through
 * their `deadline` member. A caller can walk that list while its clients get new deadlines: those
 * clients return to the queues, and the walk does not meet them again. */
void deadline_take_all(struct link *all);

/* Moves a taken client to the end of its queue again; its deadline stays the same. */
void deadline_put_back(struct client *c);

#endif
