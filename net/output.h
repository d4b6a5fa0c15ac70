/* output.h - inside net/: sending. Bytes that a socket does not accept are kept in c->out, and sent
 * when the socket is writable again.
 *
 * A function that returns an outcome returns SENT_ALL, SENT_SOME (output_flush must continue when
 * the socket is writable), or the reason why the connection is gone. Only client.c closes it. */

#ifndef OUTPUT_H
#define OUTPUT_H

#include "net/connection.h"

/* Send bytes without copying or keeping them: one piece, the usual case, costs the kernel less. The
 * `flags` are those of send(2). Return the number of bytes sent, 0 if the socket is full, -1 if the
 * connection is gone (GONE_RESET). */
ssize_t output_send(struct client *c, struct span bytes, int flags);
ssize_t output_send_pieces(struct client *c, struct iovec *pieces, int count, int flags);

/* Sends an answer: `head`, which is copied if it does not fit, then `body`, which must stay valid
 * until it is sent. c->out must be NULL, here and in the other functions that send new bytes. */
enum outcome output_answer(struct client *c, struct span head, struct span body);

/* Sends an answer with `left` bytes of `file` as its body, from the descriptor's offset on. The
 * file is closed when it has been sent or when the client is closed. */
enum outcome output_file(struct client *c, struct span head, int file, uint64_t left);

/* Sends the beginning of a stream. The bytes from `hold` on (`ready`, presence) follow the replay:
 * they are kept until output_release, which lets output_flush send them. */
enum outcome output_stream(struct client *c, struct span bytes, size_t hold);
void output_release(struct client *c);

/* Sends an event between two frames of a stream: a heartbeat or a snapshot. */
enum outcome output_piece(struct client *c, struct span bytes);

/* Sends the kept bytes; c->out must not be NULL. */
enum outcome output_flush(struct client *c);

/* Sends `100 Continue`: all of it, or the connection is gone. */
enum outcome output_continue(struct client *c);

/* Return how many files were closed, each of which freed a descriptor, and bytes sent in all. */
unsigned output_files_closed(void);
uint64_t output_sent_bytes(void);
void output_log(void); /* makes bytes count for the access log: request_log_sent */

/* Frees the kept bytes, sent or not, and closes the file. */
void output_free(struct client *c);

#endif
