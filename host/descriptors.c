/* descriptors.c - checks the descriptors before anything else is opened: see descriptors.h. */

#include "host/descriptors.h"

#include "base/log.h"
#include "net/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/* A number that was closed stays as good as closed: with O_PATH, reading and writing fail (EBADF)
 * instead of seeming to succeed, as they would with /dev/null. The root always exists, and needs no
 * permission. open(2) takes the lowest free number, so the numbers are filled in order. */
void descriptors_fill(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/", O_PATH) != fd)
            log_exit(EXIT_SYSTEM, "descriptor %d is closed: %s", fd, strerror(errno));
}

/* Each stream uses one descriptor; the usual soft limit of 1,024 exists for programs that use
 * select(2). */
unsigned descriptors_raise(void)
{
    struct rlimit limit;
    if (prlimit(0, RLIMIT_NOFILE, NULL, &limit) < 0)
        log_exit(EXIT_SYSTEM, "the descriptor limit: %s", strerror(errno));
    limit.rlim_cur = limit.rlim_max;
    prlimit(0, RLIMIT_NOFILE, &limit, NULL);
    prlimit(0, RLIMIT_NOFILE, NULL, &limit); /* The granted limit. */
    if (limit.rlim_cur < LIMITS_DESCRIPTORS_MIN)
        log_exit(EXIT_SYSTEM,
            "the limit of open files is %u, but at least %u are needed: raise it with "
            "\"ulimit -n 4096\", or with LimitNOFILE=4096 in the systemd unit",
            (unsigned)limit.rlim_cur, (unsigned)LIMITS_DESCRIPTORS_MIN);
    return limit.rlim_cur < 1u << 30 ? (unsigned)limit.rlim_cur : 1u << 30;
}
