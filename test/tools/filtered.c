/* filtered.c - runs a program under a system call filter: filtered FILTER PROGRAM [ARGUMENT...].
 *
 * The file FILTER contains a BPF program as seccomp(2) takes it; test/lib/units.py makes one from a
 * unit file. The program replaces this one, so it keeps the process id that a test signals. */

#include "tool.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

enum { INSTRUCTIONS_MAX = 4096 };

int main(int argc, char **argv)
{
    static struct sock_filter code[INSTRUCTIONS_MAX];
    if (argc < 3)
        fail("usage: filtered FILTER PROGRAM [ARGUMENT...]");
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    ssize_t len = read(fd, code, sizeof code);
    if (len <= 0 || len % (ssize_t)sizeof code[0] != 0 || len == (ssize_t)sizeof code)
        fail("%s is no filter", argv[1]);
    struct sock_fprog filter = { (unsigned short)((size_t)len / sizeof code[0]), code };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0 ||
        prctl(PR_SET_SECCOMP, (long)SECCOMP_MODE_FILTER, &filter) < 0)
        fail("cannot set the filter: %s", strerror(errno));
    execv(argv[2], argv + 2);
    fail("%s: %s", argv[2], strerror(errno));
}
