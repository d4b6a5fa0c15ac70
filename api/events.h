/* events.h - GET /events. */

#ifndef EVENTS_H
#define EVENTS_H

#include "auth/token.h"
#include "net/client.h"

/* To be called once, before all others. */
void events_start(const struct net_settings *settings, struct hub *hub);

/* Begins a stream for the holder of `token`; or answers why there is none. */
void events_get(struct client *c, const struct token *token);

#endif
