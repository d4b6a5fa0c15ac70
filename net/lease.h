/* lease.h - streams that may stay until their token ends, and are then ended.
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

/* From `expires` on, in seconds of Unix time, client_expire_token is called for `c`. NULL without
 * memory. */
struct lease *lease_new(struct client *c, int64_t expires);

/* The stream ended before its token; `lease` may be NULL. */
void lease_end(struct lease *lease);

/* Ends the streams whose tokens have ended. */
void lease_tick(void);

/* When lease_tick is to be called again, in monotonic milliseconds; INT64_MAX for never. */
int64_t lease_next_ms(void);

#endif
