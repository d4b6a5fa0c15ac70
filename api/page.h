/* page.h - GET / and the files of the page, or of --www. */

#ifndef PAGE_H
#define PAGE_H

#include "auth/token.h"
#include "net/client.h"

/* Call this once, before any other function here. `folder` replaces the page in the binary, unless
 * it is NULL. Exits with EXIT_SYSTEM if the folder cannot be opened. */
void page_start(const char *folder);

/* Answers with the file that the request's path names, with 304, or with an error. Ignores `token`.
 * Like page_has, decodes the path in place: call only one of them per request. */
void page_get(struct client *c, const struct token *token);

/* Returns whether the request's path names a file. */
bool page_has(struct client *c);

#endif
