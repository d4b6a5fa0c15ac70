/* trouble.c - a failing journal as a state, a log line, and a sentence for /healthz.
 *
 * A failing disk must not end the server: streams and reading continue, POSTs are refused, and the
 * journal recovers by itself. Only a change of state is logged, because a full disk would otherwise
 * cause a log line for every POST, often on the same disk. */

#include "store/trouble.h"

#include "base/log.h"
#include "base/print.h"
#include "hub/room.h"
#include "store/claim.h"
#include "store/inside.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* For each state, its name in the log, and its sentence before and after the reason. */
static const struct {
    const char *name, *before, *after;
} states[] = {
    [TROUBLE_FULL] = { "full", "The journal's disk is full",
        "Messages are refused until there is space." },
    [TROUBLE_WRITE] = { "write failed", "The journal cannot be written",
        "Messages are refused until it can." },
    [TROUBLE_STUCK] = { "sync stuck", "The journal's disk does not finish a sync",
        "Messages are refused until it does." },
    [TROUBLE_BROKEN] = { "sync failed", "The journal failed and is being rewritten",
        "Messages are refused until that is done." },
    [TROUBLE_GONE] = { "file changed", "The journal's file was changed and is being rewritten",
        "Messages are refused until that is done." },
};

/* Delays the next attempt by TROUBLE_RETRY_MS after each failure, so a dead disk costs one attempt
 * per second, besides the attempts for the POSTs that arrive. A rewrite that is needed for a new
 * reason begins at once. */
void trouble_set(struct journal *j, enum trouble trouble, const char *why)
{
    if (trouble != j->trouble)
        log_line(LOG_ERROR, "journal trouble=\"%s\" reason=\"%s\" messages=%llu bytes=%llu",
            states[trouble].name, why, (unsigned long long)j->hub->messages,
            (unsigned long long)j->size);
    print_into(j->sentence, sizeof j->sentence, "%s (%s). %s", states[trouble].before, why,
        states[trouble].after);
    j->retry_ms = j->mono_ms + TROUBLE_RETRY_MS;
    if (trouble_needs_rewrite(trouble)) /* after a failed compaction it can be a minute away */
        j->compact_ms = j->mono_ms + (trouble == TROUBLE_GONE ? 0 : TROUBLE_RETRY_MS);
    j->trouble = trouble;
}

/* Returns NULL if the file is as this process left it, or what another program has done to it. */
static const char *what_happened(const struct journal *j, uint64_t size)
{
    struct stat ours, named;
    if (fstat(j->fd, &ours) < 0)
        return strerror(errno);
    if (lstat(j->path, &named) < 0)
        return errno == ENOENT ? "it was removed or moved away" : strerror(errno);
    if (!claim_is_same(&ours, &named))
        return "another file has taken its name";
    if ((uint64_t)ours.st_size != size)
        return (uint64_t)ours.st_size < size ? "it was cut off" : "something was appended to it";
    return NULL;
}

bool trouble_look(struct journal *j, uint64_t size)
{
    const char *what = what_happened(j, size);
    if (what != NULL)
        trouble_set(j, TROUBLE_GONE, what);
    return what == NULL;
}

void trouble_end(struct journal *j)
{
    if (j->trouble != TROUBLE_NONE)
        log_line(LOG_INFO, "journal recovered=1 messages=%llu bytes=%llu",
            (unsigned long long)j->hub->messages, (unsigned long long)j->size);
    j->trouble = TROUBLE_NONE;
}

/* Adds the cure for the most likely cause: a container that mounts only the file, which then cannot
 * be replaced. Logs the warning only if it is new, because a file that must be rewritten is tried
 * again every second. */
void trouble_warn(struct journal *j, const char *step, int error)
{
    char before[sizeof j->warning];
    memcpy(before, j->warning, sizeof before);
    print_into(j->warning, sizeof j->warning,
        "The journal cannot be rewritten (%s: %s), so its file grows%s.", step, strerror(error),
        error == EBUSY ? "; mount the journal's folder, not the file itself" : "");
    if (strcmp(before, j->warning) != 0)
        log_line(LOG_WARN, "journal compacted=0 reason=\"%s\" bytes=%llu", j->warning,
            (unsigned long long)j->size);
}

void trouble_end_warning(struct journal *j)
{
    j->warning[0] = '\0';
}

bool trouble_is_full(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}
