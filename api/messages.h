/* messages.h - /messages: publishing, history, long polling. */

#ifndef MESSAGES_H
#define MESSAGES_H

#include "auth/token.h"
#include "net/client.h"

/* Must be called once, before all other functions here. The hub is borrowed. */
void messages_start(struct hub *hub);

/* Checks the fields of a POST's head, before its body is read. Returns 0, or the status to answer
 * and, in `*why`, the sentence that goes with it. */
int messages_check_post(const struct client *c, const char **why);

/* Each answers the client's request: at once, or later when the message is safe or the poll has
 * news. The request must be complete. */
void messages_post(struct client *c, const struct token *token);
void messages_get(struct client *c, const struct token *token);

#endif
