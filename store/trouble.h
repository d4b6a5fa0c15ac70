/* trouble.h - inside store/: why a journal cannot keep a message now. */

#ifndef TROUBLE_H
#define TROUBLE_H

struct journal;

enum trouble {
    TROUBLE_NONE,
    TROUBLE_FULL,  /* the disk or the quota is full; the file is intact up to `size` */
    TROUBLE_WRITE, /* a write failed for another reason; the file is intact up to `size` */

    /* A sync failed, or the file could not be truncated: what is on the disk is unknown until the
     * file is rewritten from the rings. */
    TROUBLE_BROKEN,
};

enum { TROUBLE_RETRY_MS = 1000 }; /* between two attempts to recover */

/* Enters a state, logs the change if there is one, and sets the time of the next attempt. `error`
 * is the errno; it is ignored for TROUBLE_NONE. */
void trouble_set(struct journal *j, enum trouble trouble, int error);

/* Returns the sentence for struct keeper's `trouble`, or NULL for TROUBLE_NONE. */
const char *trouble_sentence(enum trouble trouble);

#endif
