/* output.h - inside net/: sending. The bytes that a socket does not take are kept in c->out, and
 * sent when it is writable again.
 *
 * A function that returns an outcome returns SENT_ALL, SENT_SOME (then output_flush goes on when
 * the socket is writable), or why the connection is gone. Only client.c closes it. */

#ifndef OUTPUT_H
#define OUTPUT_H

#include "net/connection.h"

/* Sends pieces as they lie, and keeps nothing. `flags` are send(2)'s. Returns the number of bytes
 * sent, 0 if the socket is full, -1 if the connection is gone (GONE_RESET). */
ssize_t output_send(struct client *c, struct iovec *pieces, int count, int flags);

/* Sends an answer: `head`, which is copied if it does not fit, and behind it `body`, which must
 * stay valid until it is sent. Nothing may be kept from before, here and in the next three. */
enum outcome output_answer(struct client *c, struct span head, struct span body);

/* The same with the first `left` bytes of `file`, which is closed when it is sent or when the
 * client goes. */
enum outcome output_file(struct client *c, struct span head, int file, uint64_t left);

/* Sends the beginning of a stream. The bytes from `hold` on (`ready`, presence) follow the replay:
 * they are kept until output_release, which lets output_flush send them. */
enum outcome output_stream(struct client *c, struct span bytes, size_t hold);
void output_release(struct client *c);

/* Sends an event between two frames of a stream: a heartbeat, a snapshot. */
enum outcome output_piece(struct client *c, struct span bytes);

/* Sends what is kept; c->out must not be NULL. */
enum outcome output_flush(struct client *c);

/* The number of files closed so far: each of them freed a descriptor. */
unsigned output_files_closed(void);

/* Frees what is kept, sent or not, and closes its file. */
void output_free(struct client *c);

#endif
