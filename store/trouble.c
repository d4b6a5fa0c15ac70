/* trouble.c - troubles as a state, a log line and a sentence. */

#include "store/trouble.h"

#include "base/log.h"
#include "store/inside.h"

#include <string.h>

static const char *name_of(enum trouble trouble)
{
    return trouble == TROUBLE_FULL     ? "full"
           : trouble == TROUBLE_BROKEN ? "sync failed"
                                       : "write failed";
}

void trouble_set(struct journal *j, enum trouble trouble, int error)
{
    if (trouble != j->trouble && trouble != TROUBLE_NONE)
        log_line(
            LOG_ERROR, "journal trouble=\"%s\" reason=\"%s\"", name_of(trouble), strerror(error));
    if (trouble == TROUBLE_NONE && j->trouble != TROUBLE_NONE)
        log_line(LOG_INFO, "journal recovered=1");
    if (trouble != TROUBLE_NONE)
        j->retry_ms = j->mono_ms + TROUBLE_RETRY_MS;
    if (trouble == TROUBLE_BROKEN) /* a compaction that failed may have set it later */
        j->compact_ms = j->mono_ms + TROUBLE_RETRY_MS;
    j->trouble = trouble;
}

const char *trouble_sentence(enum trouble trouble)
{
    switch (trouble) {
    case TROUBLE_FULL:
        return "the journal's disk is full";
    case TROUBLE_WRITE:
        return "the journal cannot be written";
    case TROUBLE_BROKEN:
        return "the journal failed and is being written anew";
    case TROUBLE_NONE:
        break;
    }
    return NULL;
}
