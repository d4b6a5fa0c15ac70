/* compact.h - inside store/: a journal that is written again from the rings. */

#ifndef COMPACT_H
#define COMPACT_H

#include "store/inside.h"

/* Whether the file is large enough, or bad enough, to be written again. */
bool compact_is_due(const struct journal *j);

/* Starts a child that writes the new file; tries again later when that fails. */
void compact_start(struct journal *j);

/* The child has ended: the new file takes the place of the old one, or more is added to it first.
 */
void compact_continue(struct journal *j);

/* Ends the child, if there is one, and what it wrote. */
void compact_stop(struct journal *j);

#endif
