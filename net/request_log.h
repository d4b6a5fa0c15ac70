/* request_log.h - the access log: one line for each request, if --access-log is on.
 *
 *     access address=192.0.2.1 method=GET path="/events" status=200 bytes=5120 us=63000125
 *
 * The line is written when the answer ends, so that of a stream or a long poll tells how long it
 * was open, and all that it was sent. Without --access-log each function returns at once. */

#ifndef REQUEST_LOG_H
#define REQUEST_LOG_H

#include "net/client.h"

/* Turns the log on. */
void request_log_start(void);

/* Remembers the address of a new connection; that of a trusted proxy is not shown. If there is no
 * memory for it, the connection's requests have no line. */
void request_log_connect(int fd, const struct sockaddr *socket);

/* Remembers the address that a trusted proxy gives for a request. */
void request_log_address(const struct client *c, const struct address *address);

/* Starts the time of a request: its first byte is in the buffer, or on its way there. */
void request_log_begin(const struct client *c);

/* Remembers the method and the path, if the head is complete. Call this before it is decoded. */
void request_log_head(const struct client *c);

/* Remembers the status of an answer, from its head. */
void request_log_status(const struct client *c, struct span head);

/* Counts bytes that the kernel has accepted for this client. */
void request_log_sent(int fd, size_t bytes);

/* Writes the line, if there was a request and its line is not yet written. */
void request_log_end(const struct client *c);

#endif
