/* messages.h - /messages: publishing, history, long polling. */

#ifndef MESSAGES_H
#define MESSAGES_H

#include "net/client.h"

/* What of a POST's head cannot be mended by its body: the status to answer and why, or 0. */
int messages_check_post(const struct client *c, const char **why);

/* Each answers the client's request, now or when it can be answered. */
void messages_post(struct client *c);
void messages_get(struct client *c);

#endif
