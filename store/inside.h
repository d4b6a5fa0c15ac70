/* inside.h - inside store/: the state of a journal, which journal.c appends to, replay.c reads and
 * compact.c replaces.
 *
 *      PATH                             PATH.new
 *      | ...      |      |  settling |  | rings | more |
 *      0     copied   size              '-- a child writes it
 *
 * In PATH everything before `size` is good. A batch is written at `size` and synced; then `size`
 * moves. Messages up to `copied` are in PATH.new once the child has ended. */

#ifndef STORE_INSIDE_H
#define STORE_INSIDE_H

#include "base/bytes.h"
#include "store/keeper.h"
#include "store/sync.h"
#include "store/trouble.h"

#include <sys/types.h>

/* Messages that wait, oldest first. */
struct queue {
    struct publication *first, **end;
};

/* What the sync in flight is for. Only one is in flight at a time, and meanwhile nothing is written
 * to the file. */
enum phase {
    PHASE_IDLE,
    PHASE_SETTLE,      /* a batch */
    PHASE_SYNC_NEW,    /* a compaction's new file, before it takes the name */
    PHASE_SYNC_FOLDER, /* the folder, after it */
};

struct journal {
    struct keeper keeper;
    struct hub *hub;                   /* borrowed */
    char *path, *new_path, *lock_path; /* owned; `path` has no symbolic links in it */
    char *folder_path;                 /* owned */
    int fd, lock, folder;              /* `folder`: to sync the names in it */
    bool sync_always;                  /* --sync always */
    struct sync sync;
    enum phase phase;
    int64_t sync_ms;  /* when the sync in flight began */
    bool has_settled; /* a batch, in this turn */

    struct queue gathering, settling; /* not written yet; written, but not safe yet */
    struct buffer batch;              /* the records that are being written */
    uint64_t size, n;                 /* the file is good up to here, where record n ends */
    uint64_t tail;    /* bytes after `size` that the next batch replaces; 0 but after a start */
    bool state_due;   /* the state could not be written at startup: it precedes the next batch */
    uint64_t batch_n; /* the number of the last record in `batch` */
    uint64_t forgot_rooms, forgot; /* rooms that the batch forgets, and their messages */

    enum trouble trouble;
    char sentence[512]; /* why it is in trouble, for struct keeper's `trouble` */
    char warning[512];  /* why it cannot be compacted; empty if it can */
    int64_t mono_ms;    /* the time of the last `tick` */
    int64_t retry_ms;   /* when to try again after a failed write */
    int64_t watch_ms;   /* when to look at the file's name next */

    uint64_t compacted; /* the file's size after the last compaction; 0 before the first */
    uint64_t space;  /* bytes that are free on the disk: at the last look, less what was appended */
    bool damaged;    /* the file had damage, or records were missing: it is due for a rewrite */
    bool keep_old;   /* the file has what the rings do not: keep it beside the new one */
    pid_t child;     /* writes the new file; 0 if there is none */
    int child_ended; /* the read end of a pipe, which reports the end of the child */
    bool written;    /* the children are done */
    bool from_rings; /* the first child was started because the file is not to be trusted */
    int new_fd;      /* the new file, locked; -1 if there is none */
    uint64_t new_size;
    uint64_t copied;    /* the new file has everything up to here once the child is done */
    int64_t compact_ms; /* when a compaction may start; a failed one postpones it */
};

#endif
