/* journal.h - the hub on disk.
 *
 * The journal is itself an event stream. Each record is a comment line and, if it is a message, the
 * lines of its event as they go to readers; then an empty line:
 *
 *      :5d41402a {"room":"lobby","kind":"chat","key":"abc"}
 *      id: 1760000000000-0
 *      data: {"id":"1760000000000-0","room":"lobby", ... }
 *
 * The eight digits are the CRC-32 of all that follows them in the record. Records without an event
 * keep what the rings cannot tell: {"start","last","lost"} of the hub, {"room","lost"} of a room.
 */

#ifndef JOURNAL_H
#define JOURNAL_H

#include "hub.h"

struct journal;

/* Opens the journal at `path` (made if it is not there, mode 0600), locks it against others, and
 * puts all it holds into the hub, which must be new. With `sync` every batch is on the disk before
 * it counts. On failure it writes one sentence to standard error and exits with EXIT_SYSTEM. */
struct journal *journal_open(const char *path, bool sync, struct hub *hub);

/* Appends a batch: struct hub_settings' `store`. All of it is safe, or nothing of it happened. */
enum stored journal_store(struct journal *journal, const struct publication *batch);

/* NULL when all is well, else why no message can be stored now. */
const char *journal_trouble(const struct journal *journal);

/* Compaction, and recovery from trouble, when it is time for them. */
void journal_tick(struct journal *journal, int64_t mono_ms);

/* When that is (monotonic milliseconds), or INT64_MAX. */
int64_t journal_next_ms(const struct journal *journal);

/* A child process has ended (SIGCHLD). */
void journal_reap(struct journal *journal);

void journal_close(struct journal *journal);

#endif
