/* events.h - GET /events. */

#ifndef EVENTS_H
#define EVENTS_H

#include "auth/token.h"
#include "net/client.h"

/* Call this once, before events_get. Both arguments are borrowed. */
void events_start(const struct net_settings *settings, struct hub *hub);

/* Answers the request with a stream for the holder of `token`, with `busy`, or with an error. */
void events_get(struct client *c, const struct token *token);

/* Returns how many streams have begun after an event id, with this as the worst gap in a room. */
uint64_t events_replays(enum gap gap);

#endif
