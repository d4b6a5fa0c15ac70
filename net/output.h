/* output.h - inside net/: sending. What the socket does not take is kept, and sent when it can be.
 *
 * What returns an outcome: SENT_ALL, SENT_SOME (then output_flush goes on), or why the connection
 * is gone. */

#ifndef OUTPUT_H
#define OUTPUT_H

#include "net/connection.h"

/* Sends pieces as they lie, and keeps nothing. `flags` are send(2)'s. Returns how many bytes went,
 * 0 when the socket is full; -1 when the connection is gone (GONE_RESET). */
ssize_t output_send(struct client *c, struct iovec *pieces, int count, int flags);

/* An answer: `head`, and behind it `body`, which stays where it is. */
enum outcome output_answer(struct client *c, struct span head, struct span body);

/* The same with `left` bytes of a file, which is closed in the end. */
enum outcome output_file(struct client *c, struct span head, int file, uint64_t left);

/* The beginning of a stream: the bytes from `hold` on are kept until output_release. */
enum outcome output_stream(struct client *c, struct span bytes, size_t hold);
void output_release(struct client *c);

/* Something between two frames of a stream: a heartbeat, a snapshot. */
enum outcome output_piece(struct client *c, struct span bytes);

/* Goes on with what is kept, of which there must be some. */
enum outcome output_flush(struct client *c);

/* How many files were closed so far: as many descriptors came free. */
unsigned output_files_closed(void);

/* Gives back what is kept. */
void output_free(struct client *c);

#endif
