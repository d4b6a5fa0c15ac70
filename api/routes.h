/* routes.h - what each URL does. */

#ifndef ROUTES_H
#define ROUTES_H

#include "net/client.h"
#include "store/keeper.h"

/* Call this once, before the first request. All three arguments are borrowed. */
void routes_start(const struct net_settings *settings, struct hub *hub, struct keeper *keeper);

/* The handlers for all URLs of the server, which each listener uses. */
extern const struct handlers routes_handlers;

#endif
