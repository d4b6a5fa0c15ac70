/* rotation.h - inside net/: which request is handled next.
 *
 * A client can have a hundred connections, and a request of a few bytes can ask for an answer of
 * 64 KiB. If requests were handled in the order in which they arrive, the requests of one such
 * client would delay those of all others. So complete requests wait in one queue per address, and
 * the addresses take turns:
 *
 *      in rotation       queue
 *
 *      10.0.0.7     ──►  c1  c2  c3  c4  c5  c6 ...      handled:  c1  c7  c8  c2  c9  c3  c4 ...
 *      10.0.0.8     ──►  c7
 *      10.0.0.9     ──►  c8  c9
 *
 * Each turn of the loop handles requests for 2 milliseconds; the others wait for the next turn.
 * A new request of a quiet address thus waits for the rest of one turn, and then for one request of
 * each other address at most. */

#ifndef ROTATION_H
#define ROTATION_H

#include <stdbool.h>

struct client;
struct link;

/* Call this once, before any other function here. */
void rotation_start(void);

/* Adds a client whose request, or its head, is complete to the queue of its address. Until it is
 * handled, the client has no deadline. */
void rotation_add(struct client *c);

/* Removes waiting clients from their queues and calls `handle` for each, by address in rotation,
 * until none is left or the time of this turn is used up. `handle` must give the client a deadline,
 * add it again, or close it. */
void rotation_run(void (*handle)(struct client *));

/* Returns whether requests wait for the next turn. */
bool rotation_waits(void);

/* Moves all waiting clients to the end of the list `all`: see deadline_take_all. */
void rotation_take_all(struct link *all);

#endif
