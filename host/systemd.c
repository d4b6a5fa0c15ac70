/* systemd.c - the protocol of systemd.h, without libsystemd.
 *
 * A message is a datagram of NAME=VALUE lines to a unix socket. Whether it is sent is decided by a
 * set of owed messages, not by a queue: a message tells a state, so a repeated one that could not
 * be sent yet is sent once, with the values of then. They leave in the order of `enum notice`,
 * which is the only one that can be needed: RELOADING=1 precedes its READY=1, and nothing follows
 * STOPPING=1 but the status and the watchdog.
 *
 * The watchdog's message is sent by the loop itself, between two turns, so it proves that the loop
 * turns: a thread or a timer signal would go on when the loop hangs.
 *
 * The address is not connected, so a manager that makes its socket again is found again. The
 * environment keeps NOTIFY_SOCKET: a program that this process executes in its own place is the
 * same service.
 *
 * Left out: MAINPID= (the process does not change), FDSTORE=, EXTEND_TIMEOUT_USEC= (a journal is
 * loaded within seconds), and sockets of the family AF_VSOCK, which only virtual machines use. */

#include "host/systemd.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/print.h"
#include "hub/survey.h"
#include "net/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    STATUS_MS = 5000, /* between two messages that contain the status */
    FULL_MS = 100,    /* the next attempt, if the manager has not read its messages */
    GONE_MS = 5000,   /* the next attempt, if there is no manager */
    TEXT_BYTES = 256,
};

enum notice { RELOADING, READY, STOPPING, STATUS, WATCHDOG, MESSAGES };

/* What the status says. */
struct status {
    unsigned streams;
    size_t rooms;
    uint64_t messages;
};

static const struct hub *hub;
static struct sockaddr_un manager;
static socklen_t manager_len;
static int notify_fd = -1; /* -1: there is no manager */

static unsigned owed;    /* a bit for each message */
static int64_t again_ms; /* not before this time, because the last attempt failed */
static bool warned;      /* about failed attempts, since the last message */
static bool stopping;    /* the server drains */
static int64_t feed_ms = INT64_MAX, feed_every_ms; /* the watchdog's next message */
static struct status told;                         /* the last status */
static int64_t status_ms;                          /* when another one may be sent */

/* ==== Sockets ================================================================================ */

enum { FIRST_SOCKET = 3, SOCKETS_MAX = 16 };

static struct systemd_socket sockets[SOCKETS_MAX];
static size_t socket_count;

/* Removes a variable, so that no child takes the sockets for its own, and returns its value, which
 * stays valid: it is in the memory that execve(2) has filled. */
static char *take_variable(const char *name)
{
    char *value = getenv(name);
    unsetenv(name);
    return value;
}

/* Returns the next of the names, which colons separate, and cuts it off in place; NULL if there is
 * none. */
static const char *next_name(char **names)
{
    char *name = *names, *colon = name != NULL ? strchr(name, ':') : NULL;
    if (colon != NULL)
        *colon = '\0';
    *names = colon != NULL ? colon + 1 : NULL;
    return name;
}

static void add_socket(int fd, const char *name)
{
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        log_exit(EXIT_USAGE,
            "LISTEN_FDS: descriptor %d is not open; the service manager sets this variable, so "
            "remove it elsewhere",
            fd);
    struct systemd_socket *added = &sockets[socket_count++];
    added->fd = fd;
    added->is_metrics = strcmp(name, "metrics") == 0;
    print_into(added->label, sizeof added->label, "%d (%s)", fd, name);
}

/* Reads a variable that only a service manager should set. */
static int read_count(const char *name, const char *text)
{
    unsigned long long number;
    if (!span_number(span_of(text), INT32_MAX, &number))
        log_exit(EXIT_USAGE,
            "%s: \"%s\" is not a number; the service manager sets this variable, so remove it "
            "elsewhere",
            name, text);
    return (int)number;
}

/* Ignores sockets for another process, as sd_listen_fds(3) does: a shell that was started by the
 * manager passes the variables on, but keeps the sockets. */
void systemd_take_sockets(void)
{
    const char *pid = take_variable("LISTEN_PID"), *fds = take_variable("LISTEN_FDS");
    char *names = take_variable("LISTEN_FDNAMES");
    bool named = names != NULL;
    unsetenv("LISTEN_PIDFDID");
    if (pid == NULL || fds == NULL)
        return;
    if (read_count("LISTEN_PID", pid) != getpid()) {
        log_line(LOG_WARN,
            "sockets ignored=1 reason=\"LISTEN_PID is another process; in a script, start ssechat "
            "with exec\"");
        return;
    }
    int count = read_count("LISTEN_FDS", fds);
    if (count > SOCKETS_MAX)
        log_exit(EXIT_USAGE,
            "LISTEN_FDS: %d sockets are too many; there can be %d, so leave out some of the "
            "ListenStream= lines",
            count, SOCKETS_MAX);
    for (int fd = FIRST_SOCKET; fd < FIRST_SOCKET + count; fd++) {
        const char *name = named ? next_name(&names) : "unknown";
        if (name == NULL)
            break;
        add_socket(fd, name);
    }
    if (socket_count != (size_t)count || (named && names != NULL && count > 0))
        log_exit(EXIT_USAGE,
            "LISTEN_FDNAMES: %d names, separated by colons, are needed, as in LISTEN_FDS", count);
}

const struct systemd_socket *systemd_sockets(size_t *count)
{
    *count = socket_count;
    return sockets;
}

/* ==== The environment ======================================================================== */

/* Reads the address as sd_notify(3) does: "/path", or "@name" for an abstract socket, whose name
 * begins with a NUL instead and ends where the length says. Returns false if it is neither. */
static bool read_address(const char *text)
{
    size_t len = strlen(text);
    bool is_path = *text == '/';
    if ((!is_path && *text != '@') || len < 2 || len + is_path > sizeof manager.sun_path)
        return false;
    manager.sun_family = AF_UNIX;
    memcpy(manager.sun_path, text, len);
    if (!is_path)
        manager.sun_path[0] = '\0';
    manager_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + is_path);
    return true;
}

/* Sets the time between two messages of the watchdog: half of the time after which the manager
 * kills the server. WATCHDOG_PID names another process if that one has started this one. */
static void read_watchdog(void)
{
    const char *time = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    unsigned long long us, id;
    if (time == NULL)
        return;
    if (!span_number(span_of(time), INT64_MAX, &us) || us == 0)
        log_exit(EXIT_USAGE,
            "WATCHDOG_USEC: \"%s\" is not a number of microseconds; the service manager sets it "
            "(WatchdogSec=), so remove it elsewhere",
            time);
    if (pid != NULL && (!span_number(span_of(pid), INT64_MAX, &id) || id != (unsigned)getpid()))
        return;
    feed_every_ms = us >= 2000 ? (int64_t)(us / 2000) : 1;
    feed_ms = 0;
}

void systemd_start(const struct hub *given)
{
    char quoted[TEXT_BYTES];
    const char *text = getenv("NOTIFY_SOCKET");
    hub = given;
    if (text == NULL || *text == '\0')
        return;
    if (!read_address(text)) {
        log_line(LOG_WARN,
            "notify socket=%s ignored=1 reason=\"only a path of at most 107 bytes, or @name, is "
            "supported\"",
            log_quote(span_of(text), quoted, sizeof quoted));
        return;
    }
    notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (notify_fd < 0)
        log_exit(EXIT_SYSTEM, "NOTIFY_SOCKET: %s", strerror(errno));
    read_watchdog();
}

/* ==== Messages =============================================================================== */

static unsigned bit(enum notice m)
{
    return 1u << m;
}

static struct status look(void)
{
    struct survey s = survey_hub(hub);
    return (struct status) { limits_streams(), s.rooms, s.messages };
}

static bool is_told(void)
{
    struct status s = look();
    return s.streams == told.streams && s.rooms == told.rooms && s.messages == told.messages;
}

/* Writes a message with the values of now. RELOADING=1 needs the time, with which the manager
 * checks that the message is newer than its own request (sd_notify(3)). */
static size_t write_message(char text[TEXT_BYTES], enum notice m, const struct status *s)
{
    const char *first = m == READY ? "READY=1\n" : m == STOPPING ? "STOPPING=1\n" : "";
    if (m == WATCHDOG)
        return print_into(text, TEXT_BYTES, "WATCHDOG=1");
    if (m == RELOADING)
        return print_into(text, TEXT_BYTES, "RELOADING=1\nMONOTONIC_USEC=%lld",
            (long long)clock_now_us(CLOCK_MONOTONIC));
    if (stopping)
        return print_into(
            text, TEXT_BYTES, "%sSTATUS=draining: %u connections", first, limits_connections());
    return print_into(text, TEXT_BYTES, "%sSTATUS=%u streams, %zu rooms, %llu messages", first,
        s->streams, s->rooms, (unsigned long long)s->messages);
}

/* Sends a message if the socket takes it now. Warns once if there is no manager; one that has not
 * read its messages yet is merely busy. */
static bool send_message(enum notice m)
{
    char text[TEXT_BYTES];
    struct status s = look();
    size_t len = write_message(text, m, &s);
    if (sendto(notify_fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&manager,
            manager_len) < 0) {
        bool is_full = errno == EAGAIN || errno == ENOBUFS;
        again_ms = clock_mono_ms() + (is_full ? FULL_MS : GONE_MS);
        if (!is_full && !warned)
            log_line(LOG_WARN, "notify failed=1 reason=\"%s\"", strerror(errno));
        warned = warned || !is_full;
        return false;
    }
    warned = false;
    owed &= ~bit(m);
    if (m == READY || m == STATUS) {
        owed &= ~bit(STATUS);
        told = s;
        status_ms = clock_mono_ms() + STATUS_MS;
    }
    return true;
}

void systemd_ready(void)
{
    owed |= bit(READY);
}

void systemd_reloaded(void)
{
    if (!stopping)
        owed |= bit(RELOADING) | bit(READY);
}

void systemd_stopping(void)
{
    owed = (owed & ~bit(RELOADING)) | bit(STOPPING);
    stopping = true;
}

void systemd_tick(void)
{
    int64_t now = clock_mono_ms();
    if (notify_fd < 0)
        return;
    if (feed_ms <= now) {
        feed_ms = now + feed_every_ms;
        owed |= bit(WATCHDOG);
    }
    if (status_ms <= now && !is_told())
        owed |= bit(STATUS);
    if (again_ms > now)
        return;
    for (enum notice m = 0; m < MESSAGES; m++)
        if ((owed & bit(m)) != 0 && !send_message(m))
            return;
}

int64_t systemd_next_ms(void)
{
    if (notify_fd < 0)
        return INT64_MAX;
    int64_t next = owed != 0 ? again_ms : is_told() ? INT64_MAX : status_ms;
    return next < feed_ms ? next : feed_ms;
}
