/* input.h - inside net/: the buffer that a request is read into. It is made when the first byte
 * arrives, and freed with the answer unless a pipelined request follows.
 *
 *     0                  end                  len            capacity
 *     |  this request     |  the next request  |  free        |
 */

#ifndef INPUT_H
#define INPUT_H

#include "net/connection.h"

/* Call this once, before any other function here. `max_body` is the largest body in bytes. */
void input_start(size_t max_body);

/* Reads bytes that have arrived; makes or grows the buffer for them. Returns READ_SOME, READ_NONE
 * (nothing had arrived), READ_OVER_LIMIT (the buffer may not grow now; the bytes stay in the
 * kernel), or the reason why the connection is gone. */
enum outcome input_read(struct client *c);

/* Reads and drops what a client sends on an open stream or after its last answer. The bytes mean
 * nothing, but end of file means that the client has closed. Returns READ_SOME with the number of
 * bytes in `*bytes`, READ_NONE, or the reason why the connection is gone. */
enum outcome input_discard(struct client *c, size_t *bytes);

/* Returns whether no request has begun: `in` is NULL or contains only line ends, which some clients
 * send after a body (RFC 9112 2.2). */
bool input_is_blank(const struct input *in);

/* Begins the pipelined request whose first bytes are already in the buffer. If there is none, frees
 * the buffer and returns false. */
bool input_next(struct client *c);

/* Makes the parser forget an unreadable request, so that the request does not affect the answer.
 * The bytes stay. */
void input_restart(struct client *c);

/* Frees the buffer, if there is one. A POST that waits for its result stops waiting. */
void input_free(struct client *c);

#endif
