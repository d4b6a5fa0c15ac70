/* child.c - the processes of child.h.
 *
 * The orphans must be reaped without taking the exit status of the own child, for which child_end
 * waits. waitid(2) can look at a child that has ended and leave it a zombie (WNOWAIT), but shows
 * the same one again as long as it is there. So if the own child has ended, the others wait until
 * child_end has reaped it. */

#include "base/child.h"

#include "base/scan.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436 /* the same on every architecture; for headers before Linux 5.9 */
#endif

enum { CLOSES_MAX = 1 << 20 }; /* about a tenth of a second; the kernel's default limit */

static pid_t own; /* 0: none */

pid_t child_fork(void)
{
    pid_t child = fork();
    if (child > 0)
        own = child;
    return child;
}

int child_end(void)
{
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(own, &status, 0)) < 0 && errno == EINTR)
        continue;
    own = 0;
    child_reap();
    return ended > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void child_reap(void)
{
    for (;;) {
        siginfo_t ended = { .si_pid = 0 };
        if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) < 0 || ended.si_pid == 0 ||
            ended.si_pid == own)
            return;
        waitpid(ended.si_pid, NULL, WNOHANG);
    }
}

/* ==== Closing ================================================================================ */

/* Reads which descriptors are open. Closing one does not disturb the reading: the kernel continues
 * after the number that it listed last. Returns false if /proc cannot be read. */
static bool close_listed(int first)
{
    DIR *folder = opendir("/proc/self/fd");
    const struct dirent *entry;
    unsigned long long fd;
    if (folder == NULL)
        return false;
    for (errno = 0; (entry = readdir(folder)) != NULL; errno = 0)
        if (span_number(span_of(entry->d_name), INT_MAX, &fd) && (int)fd >= first &&
            (int)fd != dirfd(folder))
            close((int)fd);
    bool all = errno == 0;
    closedir(folder);
    return all;
}

/* close_range(2) needs Linux 5.9, and a container can forbid it; without /proc too, every number is
 * tried if that takes no more than a moment. */
int child_close_from(int first)
{
    struct rlimit limit;
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0U) == 0 || close_listed(first))
        return 0;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > CLOSES_MAX)
        return EMFILE;
    for (int fd = first; fd < (int)limit.rlim_cur; fd++)
        close(fd);
    return 0;
}
