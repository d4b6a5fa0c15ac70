/* listen.h - the listening sockets: opened on addresses as the operator writes them, or inherited
 * from the service manager; and the options that accepted sockets inherit from them. */

#ifndef LISTEN_H
#define LISTEN_H

#include "base/bytes.h"

#include <sys/types.h>

struct listener {
    const char *option;  /* that the address is from, for messages: "--listen" */
    const char *address; /* as the operator wrote it; of an inherited socket, its name */
    bool inherited;      /* the service manager opened it, and keeps it open */
    bool queued;         /* its backlog may have connections from before listen_adopt */
    int fd;
    dev_t device; /* device and inode identify the file of a unix socket */
    ino_t inode;
};

/* Exits with EXIT_USAGE, after an error message, unless each address is correct (endpoint.h), and
 * no two of them are the same or overlap. */
void listen_check(const struct listener *all, size_t count);

/* Binds and listens on the address of a listener, one of all listeners, which listen_check has
 * checked. If the system refuses, exits with EXIT_SYSTEM after an error message. */
void listen_open(struct listener *listener, const struct listener *all, size_t count);

/* Takes over the inherited socket listener->fd (sd_listen_fds(3)). Exits with EXIT_SYSTEM, after an
 * error message, unless it is a listening stream socket for IPv4, IPv6 or unix clients. */
void listen_adopt(struct listener *listener);

/* Sets the options of an accepted socket that was made before its listener got them. */
void listen_prepare(int fd);

/* Writes the socket's address to standard error: "listening on http://127.0.0.1:8080", with what it
 * `does` as the first word. For port 0 this shows the port that the kernel chose. */
void listen_announce(const struct listener *listener, const char *does);

/* Closes the listener, and removes the file of a unix socket unless it was replaced, or the socket
 * was inherited. */
void listen_close(const struct listener *listener);

#endif
