/* accept.h - where clients arrive: the listeners, and when they are not watched.
 *
 * Each listener has its own set of handlers, so another service is another listener. */

#ifndef ACCEPT_H
#define ACCEPT_H

#include "net/client.h"

enum { ACCEPT_LISTENERS_MAX = 16 };

/* Must be called once, before all other functions here. `settings` must stay valid. */
void accept_start(const struct net_settings *settings, int epoll);

/* Opens a listener (see listen_on), whose clients get these handlers. Exits on failure. */
void accept_open(const char *address, const struct handlers *handlers);

/* Begins to accept: watches each listener, and writes to standard error where it listens. Returns
 * false if one cannot be watched. */
bool accept_begin(void);

/* Returns whether an event's `data` is a listener; if so, accepts clients. */
bool accept_ready(void *data);

/* Ends a pause when a descriptor may have come free. Must be called once a turn. */
void accept_tick(void);

/* Returns when accept_tick must be called although nothing came free, in monotonic milliseconds;
 * INT64_MAX for never. */
int64_t accept_next_ms(void);

/* Accepts the clients that have connected already, and closes the listeners for good. */
void accept_end(void);

#endif
