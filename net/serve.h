/* serve.h - inside net/: what an open stream is sent. */

#ifndef SERVE_H
#define SERVE_H

#include "net/connection.h"

/* Sends all that a stream has coming, or as much as it takes: what is kept for it, frames, `ready`
 * behind a replay, presence. */
enum outcome serve_stream(struct client *c);

/* Sends a heartbeat, unless something unfinished is in its way. */
enum outcome serve_heartbeat(struct client *c);

/* The last words of a stream: when to come back, and the end of the body. Valid until the next
 * call; `at` is NULL without memory. */
struct span serve_last_words(const struct client *c, uint64_t retry_ms);

#endif
