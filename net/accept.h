/* accept.h - where clients arrive: the listeners, and when they are not watched.
 *
 * Each listener has handlers of its own, so that another service is another listener. */

#ifndef ACCEPT_H
#define ACCEPT_H

#include "net/client.h"

enum { ACCEPT_LISTENERS_MAX = 16 };

/* To be called once, before all others. */
void accept_start(const struct net_settings *settings, int epoll);

/* Opens a listener: see listen_on. On failure it exits. */
void accept_open(const char *address, const struct handlers *handlers);

/* From here on clients may come: each listener is watched, and standard error told where it is.
 * False when one cannot be watched. */
bool accept_begin(void);

/* Whether what epoll reports with `data` is a listener; if so, its clients are accepted. */
bool accept_ready(void *data);

/* After a pause for lack of descriptors: begins again when one may have come free. Once a turn. */
void accept_tick(void);

/* When to do so without a cause, in monotonic milliseconds; INT64_MAX for never. */
int64_t accept_next_ms(void);

/* Accepts the clients that have connected already, and closes the listeners. */
void accept_end(void);

#endif
