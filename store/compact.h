/* compact.h - inside store/: writes a journal again, from the rings alone. */

#ifndef COMPACT_H
#define COMPACT_H

#include "store/inside.h"

/* Whether the file is large enough, or bad enough, to be written again. O(1). */
bool compact_is_due(const struct journal *j);

/* Starts a child that writes the new file. If that fails, the next attempt is at j->compact_ms. */
void compact_start(struct journal *j);

/* Must be called when the child has ended: puts the new file in the place of the old one, or, if
 * the journal has grown much meanwhile, starts another child that copies what is missing. */
void compact_continue(struct journal *j);

/* Kills the child, if there is one, and removes the file that it was writing. */
void compact_stop(struct journal *j);

#endif
