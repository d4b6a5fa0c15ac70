/* process.c - memory and descriptors of this process, from /proc (proc(5)).
 *
 * Everything here works without /proc too, as in an empty container: what is not known is 0, and
 * its reader leaves it out. The descriptors are not counted by listing them: since Linux 6.2 the
 * size of the folder /proc/self/fd is their number, and listing ten thousand would take
 * milliseconds. */

#include "base/process.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads /proc/self/statm: the size and the resident part, in pages, and numbers that nothing here
 * needs. */
static void read_memory(struct process *p)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text) : -1;
    if (fd >= 0)
        close(fd);
    struct span rest = { text, n > 0 ? (size_t)n : 0 }, piece;
    unsigned long long pages[2] = { 0, 0 };
    for (int i = 0; i < 2 && span_split(&rest, ' ', &piece); i++)
        if (!span_number(piece, UINT64_MAX, &pages[i]))
            return;
    uint64_t page = (uint64_t)getpagesize();
    p->virtual = pages[0] * page;
    p->resident = pages[1] * page;
}

void process_read(struct process *p)
{
    struct stat fds;
    struct rlimit limit;
    *p = (struct process) { .cpu_us = (uint64_t)clock_now_us(CLOCK_PROCESS_CPUTIME_ID) };
    read_memory(p);
    if (stat("/proc/self/fd", &fds) == 0)
        p->open_fds = (uint64_t)fds.st_size;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        p->max_fds = limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)limit.rlim_cur;
}
