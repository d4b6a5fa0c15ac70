/* routes.h - what each URL does. client.c calls these for every request: first the one, and, unless
 * that has answered, then the other. */

#ifndef ROUTES_H
#define ROUTES_H

#include "net/client.h"

/* The head is complete. True to go on and read the body; false when the request was answered
 * already, because no body can make it right. */
bool routes_admit(struct client *c);

/* The request is complete: it is answered, or waits, or streams, when this returns. */
void routes_handle(struct client *c);

#endif
