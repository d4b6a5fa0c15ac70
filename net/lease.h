/* lease.h - inside net/: streams that may stay until their token ends.
 *
 * The times differ from stream to stream, so they are no queue, as other deadlines are. */

#ifndef LEASE_H
#define LEASE_H

#include <stdbool.h>
#include <stdint.h>

struct client;
struct lease;

/* To be called once, before all others. */
void lease_start(void);

/* From `expires` on, in seconds of Unix time, lease_expire names `c`. NULL without memory. */
struct lease *lease_new(struct client *c, int64_t expires);

/* The stream ended before its token; `lease` may be NULL. */
void lease_end(struct lease *lease);

/* Calls `expire` for streams whose token has ended, a bounded number in a turn; it must end their
 * leases. */
void lease_expire(void (*expire)(struct client *));

/* When lease_expire is to be called again, in monotonic milliseconds; INT64_MAX for never. */
int64_t lease_next_ms(void);

#endif
