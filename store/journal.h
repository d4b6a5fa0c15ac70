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

#include "store/keeper.h"

struct journal_settings {
    const char *path; /* NULL: there is none */
    bool sync;        /* each batch is on the disk before it counts */
};

/* Opens the journal (made if it is not there, mode 0600), locks it against other processes, and
 * puts all it holds into the hub, which must be new. On failure it writes one sentence to standard
 * error and exits with EXIT_SYSTEM. */
struct keeper *journal_open(const struct journal_settings *settings, struct hub *hub);

#endif
