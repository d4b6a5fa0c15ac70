/* compact.h - inside store/: rewrites a journal from the rings. */

#ifndef COMPACT_H
#define COMPACT_H

#include "store/inside.h"

/* Returns whether the file is large enough, or damaged enough, to be rewritten. O(1). */
bool compact_is_due(const struct journal *j);

/* Starts a child that writes the new file. If that fails, the next attempt is at j->compact_ms. */
void compact_start(struct journal *j);

/* Call this when the child has ended. Replaces the old file with the new one or, if the journal has
 * grown a lot in the meantime, starts another child that copies what is missing. */
void compact_continue(struct journal *j);

/* Kills the child, if there is one, and removes the file that it was writing. */
void compact_stop(struct journal *j);

#endif
