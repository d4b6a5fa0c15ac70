/* trouble.h - inside store/: why a journal cannot keep a message now. */

#ifndef TROUBLE_H
#define TROUBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct journal;

enum trouble {
    TROUBLE_NONE,
    TROUBLE_FULL,  /* the disk or the quota is full; the file is intact up to `size` */
    TROUBLE_WRITE, /* a write failed for another reason; the file is intact up to `size` */
    TROUBLE_STUCK, /* a sync has been in flight for over TROUBLE_STUCK_MS */

    /* A sync failed, or the file could not be truncated: what is on the disk is unknown until the
     * file is rewritten from the rings. */
    TROUBLE_BROKEN,

    /* Another program has removed, replaced or changed the file: a start would not find what was
     * acknowledged, until the file is rewritten from the rings. */
    TROUBLE_GONE,
};

enum {
    TROUBLE_RETRY_MS = 1000, /* between two attempts to recover */
    TROUBLE_STUCK_MS = 5000,
};

/* Returns whether only a rewrite from the rings ends this trouble. */
static inline bool trouble_needs_rewrite(enum trouble trouble)
{
    return trouble == TROUBLE_BROKEN || trouble == TROUBLE_GONE;
}

/* Enters a state, logs the change if there is one, and sets the time of the next attempt. `why`
 * says what happened: strerror(3), or words of our own. */
void trouble_set(struct journal *j, enum trouble trouble, const char *why);

/* Looks at the file, which must be `size` bytes long and have the journal's name. If another
 * program has changed that, the journal is in trouble, and false is returned. Two system calls. */
bool trouble_look(struct journal *j, uint64_t size);

/* Ends the trouble, if there is any. */
void trouble_end(struct journal *j);

/* Notes why the journal cannot be compacted: `step` failed with `error`. Messages are still kept.
 * trouble_end_warning ends that. */
void trouble_warn(struct journal *j, const char *step, int error);
void trouble_end_warning(struct journal *j);

/* Returns whether the operator can end an error by making space: the disk is full, the quota is
 * used up, or the file is as large as it may be (RLIMIT_FSIZE). */
bool trouble_is_full(int error);

#endif
