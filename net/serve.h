/* serve.h - inside net/: what an open stream is sent, and in which order. */

#ifndef SERVE_H
#define SERVE_H

#include "net/connection.h"

/* Sends everything that is due to a stream, or as much as its socket takes: bytes kept for it,
 * frames, `ready` behind a replay, presence. SENT_ALL when it has caught up, SENT_SOME when the
 * socket is full, GONE_OVERRUN when the ring has passed its cursor, or another reason. */
enum outcome serve_stream(struct client *c);

/* Sends a heartbeat to a stream that is not blocked, unless bytes are kept for it. */
enum outcome serve_heartbeat(struct client *c);

/* The last bytes of a stream: `retry:` with the time after which the client is to come back, and
 * the end of the body. Valid until the next call here; `at` is NULL if out of memory. */
struct span serve_last_words(const struct client *c, uint64_t retry_ms);

#endif
