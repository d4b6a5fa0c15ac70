/* messages.h - /messages: publishing, history, long polling. */

#ifndef MESSAGES_H
#define MESSAGES_H

#include "auth/token.h"
#include "net/client.h"

/* Call this once, before any other function here. The hub is borrowed. */
void messages_start(struct hub *hub);

/* Checks the fields of a POST's head, before its body is read. Returns false if it has answered. */
bool messages_admit(struct client *c);

/* Answer the client's request, which must be complete, either at once, or later when the message
 * is safe or the poll has news. */
void messages_post(struct client *c, const struct token *token);
void messages_get(struct client *c, const struct token *token);

#endif
