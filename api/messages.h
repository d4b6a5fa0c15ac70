/* messages.h - /messages: publishing, history, long polling. */

#ifndef MESSAGES_H
#define MESSAGES_H

#include "auth/token.h"
#include "net/client.h"

/* To be called once, before all others. */
void messages_start(struct hub *hub);

/* What of a POST's head cannot be mended by its body: the status to answer and why, or 0. */
int messages_check_post(const struct client *c, const char **why);

/* Each answers the client's request, now or when it can be answered. */
void messages_post(struct client *c, const struct token *token);
void messages_get(struct client *c, const struct token *token);

#endif
