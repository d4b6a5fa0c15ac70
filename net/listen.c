/* listen.c - makes listening sockets.
 *
 * The options that every connection needs are set once, on the listener: on Linux accepted sockets
 * inherit them, so that a new client costs no setsockopt(2). A wrong address is reported at
 * startup, with a message that tells the operator what to change.
 *
 * The file of a unix socket is made under a temporary name in the same folder, and renamed when it
 * has its permissions and accepts clients:
 *
 *      bind PATH~  ──►  chmod  ──►  listen  ──►  rename PATH~ to PATH
 *
 * So a client of PATH never meets a socket with other permissions, nor a moment without a socket
 * while a new server takes the place of a crashed one. A crash before the rename leaves PATH~,
 * whose name is always the same, and the next start removes it. */

#include "net/listen.h"

#include "base/log.h"
#include "base/print.h"
#include "net/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BACKLOG = 4096, /* for clients that reconnect together; the kernel limits it to somaxconn */

    /* For listen_prepare. */
    NOTSENT_BYTES = 16384,
    USER_TIMEOUT_MS = 60000, /* as long as a stream may stall: DEADLINE_STALLED */
    KEEPALIVE_SECONDS = 60,
};

/* Ends the program with an error message that names the option and the address. */
__attribute__((noreturn)) static void refuse(
    const struct listener *listener, int code, const char *why)
{
    log_exit(code, "%s %s: %s", listener->option, listener->address, why);
}

/* Returns what the operator can do about an error, or else the system's own message. */
static const char *advice(int family, int error)
{
    if (error == EADDRINUSE)
        return family == AF_UNIX ? "another program listens there; stop it, or choose another name"
                                 : "another program listens there; stop it, or choose another port";
    if (error == EACCES && family != AF_UNIX)
        return "not permitted; a port below 1024 needs root or the capability "
               "CAP_NET_BIND_SERVICE";
    if (error == EADDRNOTAVAIL)
        return "this machine does not have that address";
    return strerror(error);
}

/* ==== The file of a unix socket ============================================================== */

/* Returns the address of the temporary file, PATH~. The longest path leaves no room for the NUL,
 * which bind(2) does not need (unix(7)); `path` gets a copy with one. */
static struct endpoint temporary_of(
    const struct endpoint *endpoint, char path[ENDPOINT_PATH_BYTES + 1])
{
    struct endpoint temporary = *endpoint;
    size_t len = print_into(path, ENDPOINT_PATH_BYTES + 1, "%s~", endpoint_path(endpoint));
    memcpy(temporary.socket.local.sun_path, path, len);
    temporary.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return temporary;
}

/* Returns why a path cannot become the socket's, if a file that is no socket has it; else NULL. */
static const char *find_obstacle(const char *path, const char *temporary)
{
    struct stat st;
    if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode))
        return "a file with that name is in the way; move it away";
    if (lstat(temporary, &st) == 0 && !S_ISSOCK(st.st_mode))
        return "a file with that name and a ~ at its end is in the way; move it away";
    return NULL;
}

/* Refuses a unix socket that bind(2) could not create: its folder is missing or belongs to another
 * user, or another file has the name. */
static void check_file(const struct listener *listener, const struct endpoint *endpoint)
{
    char folder[ENDPOINT_PATH_BYTES], path[ENDPOINT_PATH_BYTES + 1];
    print_into(folder, sizeof folder, "%s", endpoint_path(endpoint));
    if (access(dirname(folder), W_OK) < 0)
        refuse(listener, EXIT_SYSTEM, strerror(errno));
    temporary_of(endpoint, path);
    const char *why = find_obstacle(endpoint_path(endpoint), path);
    if (why != NULL)
        refuse(listener, EXIT_SYSTEM, why);
}

/* Returns whether a server may listen on a unix socket. The file that a crashed server has left
 * refuses connect(2), because nothing listens on it. The price: two servers that start at the same
 * instant on the same path can disturb each other. */
static bool is_in_use(const char *path, const struct endpoint *endpoint)
{
    struct stat st;
    if (lstat(path, &st) < 0)
        return false; /* bind(2) says why, if it fails too */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool is_dead =
        fd >= 0 && connect(fd, &endpoint->socket.any, endpoint->len) < 0 && errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return !is_dead;
}

/* Makes the socket's file, as the picture above shows, and remembers it by device and inode,
 * because its path may name another file by the time of listen_close. A client can connect to PATH~
 * only after listen(2), when it has its permissions. Returns NULL, or what went wrong. */
static const char *open_file(struct listener *listener, const struct endpoint *endpoint)
{
    char path[ENDPOINT_PATH_BYTES + 1];
    struct endpoint temporary = temporary_of(endpoint, path);
    struct stat st;
    const char *why = find_obstacle(endpoint_path(endpoint), path);
    if (why != NULL)
        return why;
    if (is_in_use(endpoint_path(endpoint), endpoint) || is_in_use(path, &temporary))
        return advice(AF_UNIX, EADDRINUSE);
    unlink(path);
    if (bind(listener->fd, &temporary.socket.any, temporary.len) < 0)
        return strerror(errno);
    if ((endpoint->mode < 0 || chmod(path, (mode_t)endpoint->mode) == 0) && lstat(path, &st) == 0 &&
        listen(listener->fd, BACKLOG) == 0 && rename(path, endpoint_path(endpoint)) == 0) {
        listener->device = st.st_dev;
        listener->inode = st.st_ino;
        return NULL;
    }
    why = strerror(errno);
    unlink(path);
    return why;
}

/* ==== Several addresses ====================================================================== */

/* Reads a listener's address; that of an inherited socket comes from the kernel. */
static struct endpoint endpoint_for(const struct listener *listener)
{
    struct endpoint endpoint;
    const char *why = NULL;
    if (!listener->inherited)
        why = endpoint_parse(listener->address, &endpoint);
    else if (!endpoint_of(listener->fd, &endpoint))
        why = strerror(errno);
    if (why != NULL)
        refuse(listener, EXIT_USAGE, why);
    return endpoint;
}

/* Reports a wrong address before anything is opened; listen_open parses the address again. An
 * overlap is reported here, because bind(2) only says that the address is in use, not that the
 * server itself uses it. */
void listen_check(const struct listener *all, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct endpoint endpoint = endpoint_for(&all[i]);
        if (endpoint_path(&endpoint) != NULL && !all[i].inherited)
            check_file(&all[i], &endpoint);
        for (size_t j = 0; j < i; j++) {
            struct endpoint earlier = endpoint_for(&all[j]);
            if (endpoint_overlap(&earlier, &endpoint))
                log_exit(EXIT_USAGE,
                    "%s %s: ssechat itself listens there already, because of %s %s; leave one of "
                    "the two out",
                    all[i].option, all[i].address, all[j].option, all[j].address);
        }
    }
}

/* Returns whether a socket must leave the machine's IPv4 clients to another one: [::]:8080 does so
 * if 0.0.0.0:8080 is also an address of the server. On its own, [::] takes both. */
static bool wants_v6_only(const struct endpoint *endpoint, const struct listener *all, size_t count)
{
    if (!endpoint_is_any(endpoint, false) || endpoint_port(endpoint) == 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        struct endpoint other = endpoint_for(&all[i]);
        if (endpoint_is_any(&other, true) && endpoint_port(&other) == endpoint_port(endpoint))
            return true;
    }
    return false;
}

/* ==== Opening and closing ==================================================================== */

/* Sets the options that accepted sockets inherit. A call that fails loses only its own effect.
 *
 *     SO_REUSEADDR       (for the listener) bind(2) succeeds after a restart, although
 *                        connections of the previous server are still in TIME_WAIT
 *     TCP_NODELAY        an event is sent at once, without waiting for the acknowledgement
 *                        of the last one (Nagle's algorithm); MSG_MORE joins what belongs together
 *     TCP_NOTSENT_LOWAT  the kernel accepts no more while 16 KiB are unsent, so the backlog of slow
 *                        readers waits in the ring that they share, not in each socket
 *     TCP_USER_TIMEOUT   the connection fails if the peer acknowledges nothing for a minute: it
 *                        is gone or keeps its window closed; the default is many minutes
 *     SO_KEEPALIVE       finds a vanished peer even when there is nothing to send to it,
 *     TCP_KEEPIDLE       after a minute of silence instead of two hours
 */
void listen_prepare(int fd)
{
    int one = 1, notsent = NOTSENT_BYTES, timeout = USER_TIMEOUT_MS, idle = KEEPALIVE_SECONDS;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &notsent, sizeof notsent);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
}

void listen_open(struct listener *listener, const struct listener *all, size_t count)
{
    struct endpoint endpoint = endpoint_for(listener);
    int family = endpoint.socket.any.sa_family;
    const char *why = NULL;
    if (listener->inherited)
        return;
    listener->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->fd >= 0 && family != AF_UNIX)
        listen_prepare(listener->fd);
    if (listener->fd >= 0 && wants_v6_only(&endpoint, all, count))
        setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int) { 1 }, sizeof(int));
    if (listener->fd >= 0 && endpoint_path(&endpoint) != NULL)
        why = open_file(listener, &endpoint);
    else if (listener->fd < 0 || bind(listener->fd, &endpoint.socket.any, endpoint.len) < 0 ||
             listen(listener->fd, BACKLOG) < 0)
        why = advice(family, errno);
    if (why != NULL)
        refuse(listener, EXIT_SYSTEM, why);
}

static int get_option(int fd, int option)
{
    int value = -1;
    socklen_t len = sizeof value;
    return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value : -1;
}

/* Returns what is wrong with an inherited socket, for the author of its unit; NULL if it is good.
 */
static const char *find_fault(int fd)
{
    int type = get_option(fd, SO_TYPE), family = get_option(fd, SO_DOMAIN);
    if (type < 0)
        return strerror(errno); /* it is not open, or not a socket */
    if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
        return "it is neither an IP socket nor a unix socket; give ListenStream= a port, an IP "
               "address or a path";
    if (type != SOCK_STREAM)
        return "it is not a stream socket; its unit needs ListenStream=";
    if (get_option(fd, SO_ACCEPTCONN) != 1)
        return "it does not listen, it is a connection; its unit needs Accept=no";
    return NULL;
}

/* Other processes can have the socket too: O_NONBLOCK, which belongs to all of them, is what
 * programs that share a listener expect. Connections that are in the backlog already have not
 * inherited the options: see `queued`. */
void listen_adopt(struct listener *listener)
{
    const char *why = find_fault(listener->fd);
    if (why != NULL)
        refuse(listener, EXIT_SYSTEM, why);
    listener->inherited = true;
    fcntl(listener->fd, F_SETFD, FD_CLOEXEC);
    fcntl(listener->fd, F_SETFL, fcntl(listener->fd, F_GETFL) | O_NONBLOCK);
    if (get_option(listener->fd, SO_DOMAIN) == AF_UNIX)
        return;
    listen_prepare(listener->fd);
    listener->queued = true;
}

/* Gets a port from the kernel, which chooses it if it is 0, but not a path: the kernel remembers
 * the temporary one. */
void listen_announce(const struct listener *listener, const char *does)
{
    struct endpoint endpoint = endpoint_for(listener);
    char text[ENDPOINT_TEXT_BYTES];
    if (endpoint.socket.any.sa_family == AF_UNIX || endpoint_of(listener->fd, &endpoint)) {
        endpoint_print(&endpoint, text);
        log_plain(LOG_INFO, "%s on %s\n", does, text);
    }
}

/* Closes the listener, but keeps its file if a new server has replaced it during the drain, or if
 * the service manager made it. */
void listen_close(const struct listener *listener)
{
    struct endpoint endpoint = endpoint_for(listener);
    const char *path = endpoint_path(&endpoint);
    struct stat st;
    if (path != NULL && !listener->inherited && lstat(path, &st) == 0 &&
        st.st_dev == listener->device && st.st_ino == listener->inode)
        unlink(path);
    close(listener->fd);
}
