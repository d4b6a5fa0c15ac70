/* trouble.h - inside store/: why a journal takes no message now. */

#ifndef TROUBLE_H
#define TROUBLE_H

struct journal;

enum trouble {
    TROUBLE_NONE,
    TROUBLE_FULL,
    TROUBLE_WRITE,
    TROUBLE_BROKEN, /* a sync failed: nobody knows what is on the disk until it is written again */
};

enum { TROUBLE_RETRY_MS = 1000 }; /* between two attempts to get out of it */

/* Notes a trouble, or that it is over, and logs it when that is new. `error` is the errno. */
void trouble_set(struct journal *j, enum trouble trouble, int error);

/* The sentence of struct keeper's `trouble`. */
const char *trouble_sentence(enum trouble trouble);

#endif
