/* trouble.c - a failing journal as a state, a log line, and a sentence for /healthz.
 *
 * A failing disk must not end the server: streams and reading continue, POSTs are refused, and the
 * journal recovers by itself. Only a change of state is logged, because a full disk would otherwise
 * cause a log line for every POST, often on the same disk. */

#include "store/trouble.h"

#include "base/log.h"
#include "store/inside.h"

#include <string.h>

/* Returns a state's name for the log. */
static const char *name_of(enum trouble trouble)
{
    return trouble == TROUBLE_FULL     ? "full"
           : trouble == TROUBLE_BROKEN ? "sync failed"
                                       : "write failed";
}

/* Delays the next attempt by TROUBLE_RETRY_MS after each failure, so a dead disk costs one attempt
 * per second, besides the attempts for the POSTs that arrive. */
void trouble_set(struct journal *j, enum trouble trouble, int error)
{
    if (trouble != j->trouble && trouble != TROUBLE_NONE)
        log_line(
            LOG_ERROR, "journal trouble=\"%s\" reason=\"%s\"", name_of(trouble), strerror(error));
    if (trouble == TROUBLE_NONE && j->trouble != TROUBLE_NONE)
        log_line(LOG_INFO, "journal recovered=1");
    if (trouble != TROUBLE_NONE)
        j->retry_ms = j->mono_ms + TROUBLE_RETRY_MS;
    if (trouble == TROUBLE_BROKEN) /* after a failed compaction it can be a minute away */
        j->compact_ms = j->mono_ms + TROUBLE_RETRY_MS;
    j->trouble = trouble;
}

const char *trouble_sentence(enum trouble trouble)
{
    switch (trouble) {
    case TROUBLE_FULL:
        return "The journal's disk is full. Messages are refused until there is space.";
    case TROUBLE_WRITE:
        return "The journal cannot be written. Messages are refused until it can.";
    case TROUBLE_BROKEN:
        return "The journal failed and is being rewritten. Messages are refused until that is "
               "done.";
    case TROUBLE_NONE:
        break;
    }
    return NULL;
}
