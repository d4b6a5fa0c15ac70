/* accept.h - accepting clients: the listeners, and the pauses in which they are not watched.
 *
 * Each listener has its own set of handlers, so a second service needs only a second listener. */

#ifndef ACCEPT_H
#define ACCEPT_H

#include "net/client.h"

enum { ACCEPT_LISTENERS_MAX = 16 }; /* with that of --metrics */

/* Call this once, before any other function here. `settings` must stay valid. */
void accept_start(const struct net_settings *settings, int epoll);

/* Adds a listener, whose clients get these handlers. `option` is the option that the address is
 * from; both strings must stay valid. Exits with EXIT_USAGE after ACCEPT_LISTENERS_MAX of them. */
void accept_add(const char *option, const char *address, const struct handlers *handlers);

/* Adds a listening socket that the service manager has opened; see listen_adopt. `name` is its name
 * for messages (LISTEN_FDNAMES), and must stay valid. Exits if it is not such a socket. */
void accept_adopt(int fd, const char *name, const struct handlers *handlers);

/* Exits, after an error message that names the option, unless each address is correct and no two
 * of them overlap. Opens nothing. */
void accept_check(void);

/* Opens all listeners, after accept_check. Exits on failure. */
void accept_open(void);

/* Starts accepting: watches each listener and writes its address to standard error. Returns false
 * if a listener cannot be watched. */
bool accept_begin(void);

/* Returns whether an event's `data` is a listener, and accepts clients if it is. */
bool accept_ready(void *data);

/* Ends a pause when a descriptor may have become available. Call this once per turn. */
void accept_tick(void);

/* Returns the time, in monotonic milliseconds, at which accept_tick must be called even if no
 * descriptor was freed; INT64_MAX unless paused. */
int64_t accept_next_ms(void);

/* Accepts the clients that have already connected, then closes the listeners for good. The clients
 * of an inherited socket are left to the next process that inherits it. */
void accept_end(void);

#endif
