/* compact.h - inside store/: rewrites a journal from the rings. */

#ifndef COMPACT_H
#define COMPACT_H

#include "store/inside.h"

/* Returns whether the file should be rewritten, and no rewrite is in progress: it is large,
 * damaged, not to be trusted, or takes up space that is short. O(1). */
bool compact_is_due(const struct journal *j);

/* Starts a child that writes the new file. If that fails, the next attempt is at j->compact_ms. */
void compact_start(struct journal *j);

/* Call this when the child has ended. If the journal has grown a lot in the meantime, starts
 * another child that copies what is missing. */
void compact_continue(struct journal *j);

/* Returns whether the children are done: the three steps below replace the file. Between them, the
 * caller syncs, and writes nothing to the old file.
 *
 *      compact_finish ── sync of the new file ──► compact_replace ── of the folder ──► compact_end
 *
 * The first two return the descriptor to sync, or -1 if the rewrite has failed; then the old file
 * stays in use. The others take the errno of the sync, or 0. */
bool compact_is_written(const struct journal *j);
int compact_finish(struct journal *j);
int compact_replace(struct journal *j, int error);
void compact_end(struct journal *j, int error);

/* Kills the child, if there is one, and removes the new file that has not replaced the old one. */
void compact_stop(struct journal *j);

#endif
