/* routes.h - what each URL does. */

#ifndef ROUTES_H
#define ROUTES_H

#include "net/client.h"
#include "store/keeper.h"

/* To be called once, before all others. */
void routes_start(const struct net_settings *settings, struct hub *hub, struct keeper *keeper);

/* The handlers of a listener for readers and publishers. */
extern const struct handlers routes_handlers;

#endif
