/* listen.h - the sockets on which clients arrive: their addresses as the operator writes them, and
 * what the accepted sockets inherit from them. */

#ifndef LISTEN_H
#define LISTEN_H

#include "base/bytes.h"

#include <sys/types.h>

struct listener {
    int fd;
    dev_t device; /* with the inode: the file of a unix socket, to know it again */
    ino_t inode;
};

/* Exits with EXIT_USAGE, after one sentence on standard error, unless `address` is one like
 * "127.0.0.1:8080", "[::1]:8080", "localhost:8080" or "unix:/path". */
void listen_check(const char *address);

/* Binds and listens on such an address. Exits with EXIT_SYSTEM, after one sentence, if the system
 * refuses. */
struct listener listen_on(const char *address);

/* Writes where the socket listens to standard error: "listening on http://127.0.0.1:8080". With
 * port 0 this tells the port that the kernel chose. */
void listen_announce(const struct listener *listener);

/* Closes it. The file of a unix socket is removed, unless another file has taken its place. */
void listen_close(const struct listener *listener);

#endif
