/* lease.h - inside net/: streams that may stay until their token ends.
 *
 * Tokens end at any second, so leases cannot be FIFO queues like the deadlines of deadline.h. */

#ifndef LEASE_H
#define LEASE_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct lease;

/* Must be called once, before all other functions here. */
void lease_start(void);

/* Makes a lease: from `expires` on, in seconds of Unix time and in the future, lease_expire names
 * `c`. The caller owns it. Returns NULL if out of memory. */
struct lease *lease_new(struct client *c, int64_t expires);

/* Frees a lease, whether its token has ended or not; `lease` may be NULL. */
void lease_end(struct lease *lease);

/* Calls `expire` for streams whose token has ended, a bounded number in a turn. It must call
 * lease_end for this stream's lease, and for no other. */
void lease_expire(void (*expire)(struct client *));

/* Returns when to call lease_expire again, in monotonic milliseconds; INT64_MAX for never. */
int64_t lease_next_ms(void);

#endif
