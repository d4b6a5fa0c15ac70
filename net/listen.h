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

/* Exits with EXIT_USAGE, after one sentence on standard error, when an address makes no sense. It
 * is one like "127.0.0.1:8080", "[::1]:8080", "localhost:8080" or "unix:/path". */
void listen_check(const char *address);

/* Binds and listens on such an address. Exits with EXIT_SYSTEM when the system says no. */
struct listener listen_on(const char *address);

/* Writes where the socket listens to standard error: "listening on http://127.0.0.1:8080". */
void listen_announce(const struct listener *listener);

/* Closes it. The file of a unix socket goes too, unless somebody has put another in its place. */
void listen_close(const struct listener *listener);

#endif
