/* listen.h - the sockets on which clients arrive. */

#ifndef LISTEN_H
#define LISTEN_H

#include "bytes.h"

/* Binds and listens on `address`: "127.0.0.1:8080", "[::1]:8080", "localhost:8080" or
 * "unix:/path". Returns a descriptor. On failure it writes one sentence to standard error and
 * exits: EXIT_USAGE when the address makes no sense, EXIT_SYSTEM when the system says no.
 * With `dry` it only checks that the address makes sense, and returns -1. */
int listen_on(const char *address, bool dry);

/* Writes where the socket listens to standard error: "listening on http://127.0.0.1:8080". */
void listen_announce(int fd);

/* Removes the file of a unix socket. */
void listen_remove(int fd);

#endif
