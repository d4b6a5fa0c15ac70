/* input.h - inside net/: the buffer that a request is read into, and how long it lives.
 *
 *     0                  end                  len            capacity
 *     |  this request     |  the next one's    |  free        |
 */

#ifndef INPUT_H
#define INPUT_H

#include "net/connection.h"

/* To be called once, before all others: no body may have more bytes. */
void input_start(size_t max_body);

/* Reads what has come, into a buffer that is made or grows for it. READ_SOME, READ_NONE,
 * READ_OVER_LIMIT, or why the connection is gone. */
enum outcome input_read(struct client *c);

/* Reads and throws away: what a client sends on an open stream, or after it was refused, has no
 * meaning; that it hangs up has one. READ_SOME and how much in `*bytes`, READ_NONE, or GONE_. */
enum outcome input_discard(struct client *c, size_t *bytes);

/* Whether nothing but line ends was sent: some clients put one behind a body (RFC 9112 2.2). */
bool input_is_blank(const struct input *in);

/* Starts a new request with what was sent ahead. Returns whether there is anything. */
bool input_next(struct client *c);

/* The request was not readable: the parser forgets what it saw, the bytes stay. */
void input_restart(struct client *c);

/* Gives the buffer back. */
void input_free(struct client *c);

#endif
