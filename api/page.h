/* page.h - GET / and the files of the page. */

#ifndef PAGE_H
#define PAGE_H

#include "auth/token.h"
#include "net/client.h"

/* To be called once, before all others: `folder` takes the place of the page in the binary, unless
 * it is NULL. Exits with EXIT_SYSTEM when it cannot be opened. */
void page_start(const char *folder);

/* Sends the file that the path names, or 404. */
void page_get(struct client *c, const struct token *token);

/* Whether the path names one. */
bool page_has(struct client *c);

#endif
