/* signals.c - the table of signals.h, as code.
 *
 * Signals arrive as bytes from a descriptor, so no handler interrupts the program between two
 * instructions. A blocked signal that is ignored would arrive nevertheless (signal(7)), so SIGHUP
 * must not be blocked where it has to stay ignored. SIGINT and SIGQUIT are blocked in any case: a
 * shell without job control starts `ssechat &` with both ignored, and kill(1) should still work.
 *
 * Left out: SIGTSTP and SIGCONT, which act as usual; a stopped server continues where it was. */

#include "host/signals.h"

#include "base/child.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const struct {
    int number;
    enum signals_order order;
} orders[] = {
    { SIGTERM, SIGNALS_DRAIN },
    { SIGINT, SIGNALS_DRAIN },
    { SIGQUIT, SIGNALS_DRAIN },
    { SIGHUP, SIGNALS_RELOAD },
    { SIGUSR1, SIGNALS_REPORT },
    { SIGUSR2, SIGNALS_UPGRADE },
    { SIGCHLD, SIGNALS_NONE },
};

enum { ORDERS = sizeof orders / sizeof orders[0] };

static bool has_terminal; /* at the start */

/* Opening /dev/tty succeeds only in a process that has a controlling terminal (tty(4)). */
static bool find_terminal(void)
{
    int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool is_ignored(int number)
{
    struct sigaction action;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ORDERS; i++)
        if (orders[i].number != SIGHUP || !is_ignored(SIGHUP))
            sigaddset(&set, orders[i].number);
    has_terminal = find_terminal();
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGCHLD, SIG_DFL); /* If inherited as ignored, it would hide a child's exit status. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    child_reap();
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static enum signals_order order_of(unsigned number)
{
    size_t i = 0;
    while (i < ORDERS && (unsigned)orders[i].number != number)
        i++;
    if (i == ORDERS)
        return SIGNALS_NONE;
    return number == SIGHUP && has_terminal ? SIGNALS_HANGUP : orders[i].order;
}

enum signals_order signals_next(int fd)
{
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGCHLD)
            child_reap();
        enum signals_order order = order_of(info.ssi_signo);
        if (order != SIGNALS_NONE)
            return order;
    }
    return SIGNALS_NONE;
}
