/* page.h - GET / and the files of the page, or of --www. */

#ifndef PAGE_H
#define PAGE_H

#include "auth/token.h"
#include "net/client.h"

/* Must be called once, before all other functions here. `folder` replaces the page in the binary,
 * unless it is NULL. Exits with EXIT_SYSTEM when it cannot be opened. */
void page_start(const char *folder);

/* Answers with the file that the request's path names, 304, or 404. `token` is not looked at. Like
 * page_has it decodes the path in place: only one of them may be called for a request. */
void page_get(struct client *c, const struct token *token);

/* Whether the request's path names a file. */
bool page_has(struct client *c);

#endif
