/* systemd.h - the service manager: what it is told, and the sockets that it has opened.
 *
 * The server tells the manager when it is ready, what it is doing, and that its loop still turns
 * (sd_notify(3), sd_watchdog_enabled(3)). The manager is the program that has set NOTIFY_SOCKET;
 * without that variable nothing is sent. No message makes the loop wait: what the socket does not
 * take now is sent later.
 *
 *      start ──► READY=1 ──► STATUS=, WATCHDOG=1, ... ──► STOPPING=1 ──► exit
 *                               │           ▲
 *                  a reload ──► RELOADING=1, READY=1 */

#ifndef SYSTEMD_H
#define SYSTEMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hub;

/* ==== Sockets ================================================================================ */

/* A listening socket that the manager has opened (sd_listen_fds(3)). */
struct systemd_socket {
    int fd;
    char label[64];  /* for messages: the number and, from LISTEN_FDNAMES, the name */
    bool is_metrics; /* by its name: it is for metrics, not for clients of the chat */
};

/* Takes over these sockets, and removes LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES from the
 * environment, also if they are for another process. Exits with EXIT_USAGE if they are wrong. Call
 * this before anything is opened: a file could get the number of a socket that is missing. */
void systemd_take_sockets(void);

/* Returns the sockets that were taken, and their number. They have the close-on-exec flag. */
const struct systemd_socket *systemd_sockets(size_t *count);

/* ==== Messages =============================================================================== */

/* Reads NOTIFY_SOCKET and WATCHDOG_USEC, which stay in the environment. Warns about a socket of
 * another family, and exits with EXIT_USAGE if the watchdog's time is wrong. The hub, which is
 * borrowed, is for the status. Call this once, before the other functions below. */
void systemd_start(const struct hub *hub);

/* The server accepts clients; it has done what a reload does; it drains. Each of these is sent by
 * the next call of systemd_tick. */
void systemd_ready(void);
void systemd_reloaded(void);
void systemd_stopping(void);

/* Sends what is owed: a message from above, the watchdog's at half of its time, a new status at
 * most once in STATUS_MS (systemd.c). Call this once per turn. */
void systemd_tick(void);

/* Returns when systemd_tick must be called next, in monotonic milliseconds; INT64_MAX for never: an
 * idle server without a watchdog has nothing to tell. */
int64_t systemd_next_ms(void);

#endif
