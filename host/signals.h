/* signals.h - what the signals of this process ask for.
 *
 *      SIGTERM, SIGINT, SIGQUIT   drain; a second one ends the wait
 *      SIGHUP                     with a controlling terminal at the start: drain, because the
 *                                 terminal was closed; ignored at the start (nohup(1)): ignored;
 *                                 otherwise a reload (Type=notify-reload in systemd.service(5))
 *      SIGUSR1                    a report in the log
 *      SIGUSR2                    an upgrade
 *      SIGCHLD                    a child has ended, and is reaped here
 *      SIGPIPE, SIGXFSZ           ignored: the call that causes one fails with EPIPE or EFBIG */

#ifndef SIGNALS_H
#define SIGNALS_H

enum signals_order {
    SIGNALS_NONE,
    SIGNALS_DRAIN,
    SIGNALS_HANGUP, /* drain; but a second one does not end the wait */
    SIGNALS_RELOAD,
    SIGNALS_UPGRADE,
    SIGNALS_REPORT,
};

/* Blocks the signals above, and returns a signalfd(2) that is readable when one arrives; -1 with
 * errno set on failure. Reaps the children that have ended before. Call this once. */
int signals_open(void);

/* Reads the next signal from that descriptor. Returns what it asks for, or SIGNALS_NONE if no
 * signal is left. */
enum signals_order signals_next(int fd);

#endif
