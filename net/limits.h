/* limits.h - how much one address, and all together, may take: connections, streams, messages, and
 * memory for large requests and answers. */

#ifndef LIMITS_H
#define LIMITS_H

#include "net/peers.h"
#include "net/settings.h"

/* To be called once, before all others. `descriptors`: as many as the process may have; a part of
 * them is kept for requests, the rest is for streams. Logs the limits. */
void limits_start(const struct net_settings *settings, unsigned descriptors);

/* All connections and streams, for the log and for the limits. */
void limits_count_connections(int more);
void limits_count_streams(struct peer *peer, int more);
unsigned limits_connections(void);
unsigned limits_streams(void);

/* Whether the address holds more connections than it may: then that is logged, for the caller will
 * refuse one. `peer` may be NULL here and below: then it is not counted. */
bool limits_is_crowded(const struct peer *peer);

/* Whether there may be one more stream. */
enum limit { LIMIT_NONE, LIMIT_SERVER, LIMIT_ADDRESS };
enum limit limits_stream(const struct peer *peer);

/* Whether this address may post another message now; if so, it is counted. */
bool limits_post(struct peer *peer);

/* Ten thousand clients, each with a large body half sent, or a large answer half read, would be a
 * lot of memory. So buffers of more than 4 KiB are counted, and have a limit together. */
enum buffered { BUFFERED_REQUESTS, BUFFERED_ANSWERS, BUFFERED_KINDS };

/* Whether a buffer may grow from `old` to `size` bytes. */
bool limits_buffer(enum buffered kind, const struct peer *peer, size_t old, size_t size);

/* It has grown, or shrunk. */
void limits_count_buffer(enum buffered kind, struct peer *peer, size_t old, size_t size);

/* Writes a line to the log: one for a flood. `peer` is NULL when it is not about one address. */
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
