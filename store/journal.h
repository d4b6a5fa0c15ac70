/* journal.h - the hub on disk.
 *
 * The journal is itself an event stream. Each record is a comment line and, if it is a message, the
 * lines of its event as streams get them; then an empty line:
 *
 *      :5d41402a {"n":17,"room":"lobby","kind":"chat","key":"abc"}
 *      id: 1760000000000-0
 *      data: {"id":"1760000000000-0","room":"lobby", ... }
 *
 * The eight digits are the CRC-32 of everything after them in the record, including the empty line.
 * docs/journal.md describes all records to the byte. */

#ifndef JOURNAL_H
#define JOURNAL_H

#include "store/keeper.h"

struct journal_settings {
    const char *path; /* NULL: no journal */

    /* True: a message is safe when it is on the disk (it survives a power cut). False: when the
     * kernel has it (it survives the end of the process, but not a power cut). */
    bool sync;
};

/* Opens the journal (created with mode 0600 if it does not exist), locks it against other
 * processes, and loads it into the hub, which must be new and must outlive the keeper. On failure
 * it writes one sentence to standard error and exits with EXIT_SYSTEM; a file that is no journal,
 * or of a newer version, stays as it is. A full disk is not a failure: the server starts, and
 * reading works. */
struct keeper *journal_open(const struct journal_settings *settings, struct hub *hub);

/* Exits in the same way if journal_open would fail, unless that is for a lock or a full disk.
 * Writes nothing, so a server can be using the journal. */
void journal_check(const struct journal_settings *settings);

#endif
