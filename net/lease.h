/* lease.h - inside net/: streams that may stay until their token expires.
 *
 * Tokens can expire at any second, so leases cannot be FIFO queues like those of deadline.h. */

#ifndef LEASE_H
#define LEASE_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct lease;

/* Call this once, before any other function here. */
void lease_start(void);

/* Makes a lease, which the caller owns. `expires`, a Unix time, must be in the future; from then on
 * lease_expire passes `c` to its callback. Returns NULL if out of memory. */
struct lease *lease_new(struct client *c, int64_t expires);

/* Frees a lease, whether its token has expired or not; `lease` may be NULL. */
void lease_end(struct lease *lease);

/* Calls `expire` for streams whose token has expired, a bounded number per turn. `expire` must call
 * lease_end for that stream's lease and no other. */
void lease_expire(void (*expire)(struct client *));

/* Returns when to call lease_expire again, in monotonic milliseconds; INT64_MAX if none. */
int64_t lease_next_ms(void);

#endif
