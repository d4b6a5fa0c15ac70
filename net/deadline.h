/* deadline.h - inside net/: when a client's patience, or ours, is at its end.
 *
 * Equal timeouts make a queue: who comes last is due last, so only the first of each queue is ever
 * looked at. Every client is in exactly one queue. */

#ifndef DEADLINE_H
#define DEADLINE_H

#include <stdint.h>

struct client;
struct link;

enum deadline {
    DEADLINE_HEAD,
    DEADLINE_BODY,
    DEADLINE_ANSWER, /* nothing was read of an answer */
    DEADLINE_IDLE,   /* between requests */
    DEADLINE_LINGER,
    DEADLINE_STREAM,  /* the next heartbeat */
    DEADLINE_STALLED, /* a stream took nothing of what there is for it */
    DEADLINE_READY,   /* none: the next request is in the buffer, and is read in the next turn */
    DEADLINE_NONE,
    DEADLINE_POLL, /* a long poll of one second, two, ... */
    DEADLINE_COUNT = DEADLINE_POLL + 60
};

/* To be called once, before all others; heartbeat_ms 0 is off. */
void deadline_start(int64_t heartbeat_ms);

/* Puts the client into this queue, out of any other. */
void deadline_set(struct client *c, enum deadline kind);

/* Calls `expire` for the clients whose deadline has passed: at most 64 of each queue, so that many
 * that are due together do not keep the sockets waiting. */
void deadline_expire(void (*expire)(struct client *));

/* When the next one passes, in monotonic milliseconds; for never, a time that does not come. */
int64_t deadline_next_ms(void);

/* The first client in a queue; NULL when it is empty. */
struct client *deadline_first(enum deadline kind);

/* Moves all clients of a queue, or of all queues, into the list `all`, by their `deadline` links.
 */
void deadline_take(enum deadline kind, struct link *all);
void deadline_take_all(struct link *all);

/* Puts a client that was taken back into the queue that it was in. */
void deadline_put_back(struct client *c);

#endif
