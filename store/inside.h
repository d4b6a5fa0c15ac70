/* inside.h - inside store/: the state of a journal, which journal.c appends to, replay.c reads and
 * compact.c replaces. */

#ifndef STORE_INSIDE_H
#define STORE_INSIDE_H

#include "base/bytes.h"
#include "store/keeper.h"
#include "store/trouble.h"

#include <sys/types.h>

struct journal {
    struct keeper keeper;
    struct hub *hub;
    char *path, *new_path, *lock_path;
    int fd, lock, folder;
    bool sync;
    enum trouble trouble;
    uint64_t size;      /* up to here the file is good */
    uint64_t compacted; /* what it had after the last compaction */
    bool damaged;       /* there is a bad stretch in it: to be written again */
    pid_t child;        /* writes the new file; 0: none */
    int child_ended;    /* the end of a pipe that tells when the child has ended */
    uint64_t copied;    /* up to here the journal is in the new file, when the child is done */
    int64_t mono_ms;
    int64_t retry_ms;   /* when to try a disk that was full again */
    int64_t compact_ms; /* when to try a compaction that failed again */
    struct buffer batch;
};

#endif
