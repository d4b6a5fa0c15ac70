/* serve.h - inside net/: what an open stream gets, and in which order. */

#ifndef SERVE_H
#define SERVE_H

#include "net/connection.h"

/* Sends everything that is due to a stream, or as much as its socket accepts: kept bytes, frames,
 * `ready` after a replay, presence. Returns SENT_ALL if the stream has caught up, SENT_SOME if the
 * socket is full, SENT_SHARE if it has had enough for this turn, GONE_OVERRUN if the ring has
 * passed the stream's cursor, or another reason. */
enum outcome serve_stream(struct client *c);

/* Sends a heartbeat to a stream that is not blocked, unless bytes are kept for it. */
enum outcome serve_heartbeat(struct client *c);

/* Returns a stream's last bytes: a heartbeat with the client's reconnection time (`retry:`), and
 * the end of the body. They are valid until the next call here; `at` is NULL if out of memory. */
struct span serve_last_words(const struct client *c, uint64_t retry_ms);

#endif
