/* inside.h - inside store/: the state of a journal, which journal.c appends to, replay.c reads and
 * compact.c replaces.
 *
 *      PATH                      PATH.new
 *      | ...      |      |       | rings | more |
 *      0     copied   size       '-- a child writes it
 *
 * In PATH everything before `size` is good; messages up to `copied` are in PATH.new once the child
 * has ended. Both move: `size` with each batch, `copied` with each child. */

#ifndef STORE_INSIDE_H
#define STORE_INSIDE_H

#include "base/bytes.h"
#include "store/keeper.h"
#include "store/trouble.h"

#include <sys/types.h>

struct journal {
    struct keeper keeper;
    struct hub *hub;                   /* borrowed */
    char *path, *new_path, *lock_path; /* owned; `path` has no symbolic links in it */
    int fd, lock, folder;              /* `folder`: to sync the names in it */
    bool sync;                         /* --sync always */
    enum trouble trouble;
    uint64_t size;       /* the file is good up to here; the next batch is written here */
    uint64_t compacted;  /* the file's size after the last compaction; 0 before the first */
    bool damaged;        /* replay.c set a bad stretch aside: the file is due for a rewrite */
    pid_t child;         /* writes the new file; 0 if there is none */
    int child_ended;     /* the read end of a pipe, which reports the end of the child */
    uint64_t copied;     /* the new file has everything up to here once the child is done */
    int64_t mono_ms;     /* the time of the last `tick` */
    int64_t retry_ms;    /* when to try again after a failed write */
    int64_t compact_ms;  /* when a compaction may start; a failed one postpones it */
    struct buffer batch; /* the records of a batch; kept, so that its memory is reused */
};

#endif
