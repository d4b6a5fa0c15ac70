/* listen.h - the sockets on which clients arrive. */

#ifndef LISTEN_H
#define LISTEN_H

#include "base/bytes.h"

#include <sys/types.h>

struct listener {
    int fd;
    dev_t device; /* of the file of a unix socket */
    ino_t inode;
};

/* Binds and listens on `address`: "127.0.0.1:8080", "[::1]:8080", "localhost:8080" or
 * "unix:/path". On failure it writes one sentence to standard error and
 * exits: EXIT_USAGE when the address makes no sense, EXIT_SYSTEM when the system says no.
 * With `dry` it only checks that the address makes sense. */
struct listener listen_on(const char *address, bool dry);

/* Writes where the socket listens to standard error: "listening on http://127.0.0.1:8080". */
void listen_announce(const struct listener *listener);

/* Closes it. The file of a unix socket goes too, unless somebody has put another in its place. */
void listen_close(const struct listener *listener);

#endif
