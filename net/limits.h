/* limits.h - how much one address, and all together, may take: connections, streams, messages, and
 * memory for large requests and answers.
 *
 * A limit says yes or no; what follows from a no is the caller's decision: a 429, a `busy`, a
 * close. The caller also counts what it takes and what it gives back, and the two must match. */

#ifndef LIMITS_H
#define LIMITS_H

#include "net/peers.h"
#include "net/settings.h"

/* Must be called once, before all other functions here. `descriptors` is the process's limit: a
 * part of it is kept for requests, the rest is for streams. Logs the limits. `settings` must stay
 * valid. */
void limits_start(const struct net_settings *settings, unsigned descriptors);

/* Count connections and streams as they come (1) and go (-1). */
void limits_count_connections(int more);
void limits_count_streams(struct peer *peer, int more);

/* All connections, and all streams with long polls. */
unsigned limits_connections(void);
unsigned limits_streams(void);

/* Returns whether the address holds more connections than it may, and logs it then, because the
 * caller will refuse one. `peer` may be NULL here and below: such a client has no limits of its
 * own. */
bool limits_is_crowded(const struct peer *peer);

/* Returns whether there may be one more stream, or whose limit forbids it. */
enum limit { LIMIT_NONE, LIMIT_SERVER, LIMIT_ADDRESS };
enum limit limits_stream(const struct peer *peer);

/* Returns whether this address may post another message now; if so, counts it. */
bool limits_post(struct peer *peer);

/* Ten thousand clients, each with a large body half sent or a large answer half read, would take
 * gigabytes. So buffers of more than 4 KiB are counted, and limited together. */
enum buffered { BUFFERED_REQUESTS, BUFFERED_ANSWERS, BUFFERED_KINDS };

/* Returns whether a buffer may grow from `old` to `size` bytes (0: there is none yet). */
bool limits_buffer(enum buffered kind, const struct peer *peer, size_t old, size_t size);

/* Counts a buffer that has grown, or shrunk. */
void limits_count_buffer(enum buffered kind, struct peer *peer, size_t old, size_t size);

/* Logs that a limit was reached, at most once in ten seconds for each kind, so that a flood of
 * requests makes no flood of lines. `peer` is NULL if it is not about one address. */
enum limits_refused {
    LIMITS_CONNECTION,
    LIMITS_STREAM,
    LIMITS_POST,
    LIMITS_ROOM,
    LIMITS_BUFFER,
    LIMITS_REFUSED
};
void limits_log(const struct peer *peer, enum limits_refused what);

#endif
