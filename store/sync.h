/* sync.h - inside store/: syncs a file without blocking the loop. */

#ifndef SYNC_H
#define SYNC_H

#include "base/histogram.h"

#include <stdbool.h>

struct sync {
    unsigned long context; /* of the kernel's AIO; 0 if there is none */
    bool refused;          /* the kernel has refused it */
    int event;             /* an eventfd, readable when a sync has ended; -1 if there is none */
    bool in_flight;        /* the last sync was not done at once */
    int result;            /* the errno of one that was */
    int64_t began_us;
    struct histogram times; /* from sync_start until sync_result has found the end */
};

/* Prepares for asynchronous syncs. If the kernel refuses them, all syncs block, and one line in the
 * log says so. */
void sync_open(struct sync *s);

/* Waits for a sync in flight. */
void sync_close(struct sync *s);

/* Begins to sync a file: its bytes and its length or, unless `data` is set, all of its metadata
 * too. Returns true if the sync is in flight; `event` is readable when it has ended. Returns false
 * if it has ended already. In both cases sync_result returns how. */
bool sync_start(struct sync *s, int fd, bool data);

/* Returns -1 if the sync is still in flight, or its errno, 0 for success. */
int sync_result(struct sync *s);

#endif
