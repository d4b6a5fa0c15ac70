/* limits.h - how much one address, and all addresses together, may use: connections, streams,
 * messages, and memory for large requests and answers.
 *
 * A limit says yes or no; the caller decides whether a no means a 429, a `busy` answer or a closed
 * connection. The caller also counts what it takes and gives back, and the two must match. */

#ifndef LIMITS_H
#define LIMITS_H

#include "net/peers.h"
#include "net/settings.h"

/* Logs the limits. Call this once, before any other function here. `descriptors` is the process's
 * limit: some are reserved for requests, the rest are for streams. `settings` must stay valid. */
void limits_start(const struct net_settings *settings, unsigned descriptors);

/* Return what limits_start would allow: streams with this many descriptors, and bytes in buffers of
 * requests and answers. */
unsigned limits_max_streams(const struct net_settings *settings, unsigned descriptors);
uint64_t limits_max_buffers(const struct net_settings *settings);

/* With fewer descriptors than this, half of them would be too few for the listeners, the journal
 * and requests. */
enum { LIMITS_DESCRIPTORS_MIN = 64 };

/* Count connections and streams: 1 when one begins, -1 when it ends. */
void limits_count_connections(int more);
void limits_count_streams(struct peer *peer, int more);

/* Return the number of connections, of streams including long polls, the most streams that may be
 * open at a time, and how many have been opened since the start. */
unsigned limits_connections(void);
unsigned limits_streams(void);
unsigned limits_streams_allowed(void);
uint64_t limits_streams_opened(void);

/* Returns the time over which streams that end together are told to reconnect: a millisecond per
 * stream, but at least a second, so that they do not all connect at the same instant. */
uint64_t limits_spread_ms(void);

/* Returns whether the address has more connections than it may have, and logs it if so, because the
 * caller will refuse one. `peer` can be NULL, here and below: then no limit per address applies. */
bool limits_is_crowded(const struct peer *peer);

/* Returns whose limit forbids one more stream; LIMIT_NONE if it is allowed. */
enum limit { LIMIT_NONE, LIMIT_SERVER, LIMIT_ADDRESS };
enum limit limits_stream(const struct peer *peer);

/* Counts a post with a body of this many bytes against the allowance of its address (--post-rate):
 * as one message for each LIMITS_POST_BYTES, and at least as one. Returns 0 if the address may make
 * it now; otherwise nothing is counted, and the result is how many seconds the address must wait.
 */
enum { LIMITS_POST_BYTES = 4096 };
unsigned limits_post(struct peer *peer, uint64_t bytes);

/* Returns 0, or how many seconds the address must wait because it owes more than a burst. Call this
 * when a body is complete: posts whose heads were allowed may all be found to be larger. */
unsigned limits_owes(struct peer *peer);

/* Counts a post that was counted as `counted` bytes as `bytes`: a chunked body has no length in its
 * head, and a frame can be longer than the body of its post. The address may owe the difference,
 * that is one body more than its burst. */
void limits_post_more(struct peer *peer, uint64_t counted, uint64_t bytes);

/* Returns the number by which the hub knows the address (hub/share.h): 0 if no limit per address
 * applies to it. Those of rooms and names also exempt loopback unless a proxy is trusted, because
 * the addresses of a proxy's clients are then unknown. */
uint64_t limits_source(const struct peer *peer);

/* Ten thousand clients, each with a large body half sent or a large answer half read, would use
 * gigabytes. So buffers of more than 4 KiB are counted, and their total is limited, for each
 * address (peers.h) and for all. */

/* Returns whether a buffer may grow from `old` to `size` bytes (0: no buffer yet). */
bool limits_buffer(enum buffered kind, const struct peer *peer, size_t old, size_t size);

/* Counts a buffer that has grown or shrunk. */
void limits_count_buffer(enum buffered kind, struct peer *peer, size_t old, size_t size);

/* Counts that a limit was reached, and logs it at most once per kind in ten seconds, so that a
 * flood of requests does not flood the log. `peer` is NULL if no single address is concerned. */
enum limits_refused {
    LIMITS_CONNECTION,
    LIMITS_STREAM,
    LIMITS_POST,
    LIMITS_ROOM,
    LIMITS_BUFFER,
    LIMITS_REFUSED
};
void limits_refuse(const struct peer *peer, enum limits_refused what);

/* Return the word for a kind, as in the log, and how often its limit was reached. */
const char *limits_word(enum limits_refused what);
uint64_t limits_refused(enum limits_refused what);

#endif
