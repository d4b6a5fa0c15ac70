/* listen.c - makes listening sockets.
 *
 * The options that every connection needs are set once, on the listener: on Linux accepted sockets
 * inherit them, so that a new client costs no setsockopt(2). A wrong address is reported at
 * startup, with a message that tells the operator what to change. Host names are not looked up,
 * because a listener's address must not mean something else tomorrow. */

#include "net/listen.h"

#include "base/log.h"
#include "base/print.h"
#include "net/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libgen.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    BACKLOG = 4096, /* for clients that reconnect together; the kernel limits it to somaxconn */

    /* For set_inherited. */
    NOTSENT_BYTES = 16384,
    USER_TIMEOUT_MS = 60000, /* as long as a stream may stall: DEADLINE_STALLED */
    KEEPALIVE_SECONDS = 60,

    UNIX_PATH_BYTES = sizeof(((struct sockaddr_un *)NULL)->sun_path),
};

/* A socket address of any family; the union avoids casts between pointers. */
union endpoint {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
    struct sockaddr_storage largest;
};

/* Ends the program with an error message that names the option and the address. */
__attribute__((noreturn)) static void refuse(
    const struct listener *listener, int code, const char *why)
{
    log_exit(code, "%s %s: %s", listener->option, listener->address, why);
}

/* Parses the path of a unix socket; the kernel's limit for a path includes the final NUL. */
static socklen_t parse_unix(
    const struct listener *listener, const char *path, union endpoint *address)
{
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof address->local.sun_path)
        refuse(listener, EXIT_USAGE, "the path of a unix socket must have 1 to 107 bytes");
    address->local.sun_family = AF_UNIX;
    memcpy(address->local.sun_path, path, len + 1);
    return (socklen_t)sizeof address->local;
}

/* Reads "unix:/path", or "host:port" where the host is an IP address or "localhost". Returns the
 * length of the socket address. The last colon precedes the port; an IPv6 address must be in
 * brackets because it contains colons. */
static socklen_t parse(const struct listener *listener, union endpoint *address)
{
    const char *text = listener->address;
    char host[64] = "127.0.0.1";
    unsigned long long port;
    memset(address, 0, sizeof *address);
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(listener, text + 5, address);
    const char *colon = strrchr(text, ':');
    if (colon == NULL || !span_number(span_of(colon + 1), 65535, &port))
        refuse(
            listener, EXIT_USAGE, "an address looks like 127.0.0.1:8080, [::1]:8080 or unix:/path");
    bool v6 = text[0] == '[' && colon > text + 1 && colon[-1] == ']';
    size_t len = (size_t)(colon - text) - (v6 ? 2 : 0);
    if (len >= sizeof host)
        len = 0; /* no address is that long: an empty host is refused below */
    if (strncmp(text, "localhost:", 10) != 0)
        print_into(host, sizeof host, "%.*s", (int)len, text + (v6 ? 1 : 0));
    if (v6 && inet_pton(AF_INET6, host, &address->v6.sin6_addr) == 1) {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons((uint16_t)port);
        return sizeof address->v6;
    }
    if (v6 || inet_pton(AF_INET, host, &address->v4.sin_addr) != 1)
        refuse(listener, EXIT_USAGE,
            "the host must be an IP address: 0.0.0.0:8080 or [::]:8080 for all "
            "addresses of this machine, 127.0.0.1:8080 for clients on this machine only");
    address->v4.sin_family = AF_INET;
    address->v4.sin_port = htons((uint16_t)port);
    return sizeof address->v4;
}

/* ==== Several addresses ====================================================================== */

static bool is_same_address(const struct address *a, const struct address *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static uint16_t port_of(const union endpoint *e)
{
    return ntohs(e->any.sa_family == AF_INET6 ? e->v6.sin6_port : e->v4.sin_port);
}

/* Returns whether a new [::] socket takes IPv4 clients too, as it does unless the machine's
 * administrator has changed that (net.ipv6.bindv6only, see ipv6(7)). */
static bool is_dual_stack(void)
{
    int only = 1, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof only;
    if (fd < 0)
        return false;
    getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len);
    close(fd);
    return only == 0;
}

/* Returns whether a socket on `a` takes the clients of `b`, with the same port. [::] leaves them to
 * 0.0.0.0: see wants_v6_only. */
static bool includes(const struct address *a, const struct address *b)
{
    if (is_same_address(a, b))
        return true;
    if (!address_is_any(a))
        return false;
    if (address_is_v4(a) || !address_is_v4(b))
        return address_is_v4(a) == address_is_v4(b);
    return !address_is_any(b) && is_dual_stack();
}

/* Copies a path and returns its folder or its last part; both functions change their argument. */
static const char *part_of(const char *path, char *(*part)(char *), char copy[UNIX_PATH_BYTES])
{
    print_into(copy, UNIX_PATH_BYTES, "%s", path);
    return part(copy);
}

/* Returns whether two paths are of the same file, which need not exist: "socket" and "./socket". */
static bool is_same_path(const char *a, const char *b)
{
    char first[UNIX_PATH_BYTES], second[UNIX_PATH_BYTES];
    struct stat one, other;
    if (strcmp(part_of(a, basename, first), part_of(b, basename, second)) != 0)
        return false;
    return stat(part_of(a, dirname, first), &one) == 0 &&
           stat(part_of(b, dirname, second), &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

/* Returns whether bind(2) would fail for one of two addresses because of the other. Port 0 is
 * another port for each listener. */
static bool overlap(const union endpoint *a, const union endpoint *b)
{
    struct address first, second;
    bool local = !address_of(&a->any, &first), other_local = !address_of(&b->any, &second);
    if (local || other_local)
        return local && other_local && is_same_path(a->local.sun_path, b->local.sun_path);
    return port_of(a) == port_of(b) && port_of(a) != 0 &&
           (includes(&first, &second) || includes(&second, &first));
}

/* Refuses a unix socket that bind(2) could not create: its folder is missing or belongs to another
 * user, or another file has the name. */
static void check_path(const struct listener *listener, const union endpoint *address)
{
    char copy[UNIX_PATH_BYTES];
    struct stat st;
    if (address->any.sa_family != AF_UNIX)
        return;
    if (access(part_of(address->local.sun_path, dirname, copy), W_OK) < 0)
        refuse(listener, EXIT_SYSTEM, strerror(errno));
    if (lstat(address->local.sun_path, &st) == 0 && !S_ISSOCK(st.st_mode))
        refuse(listener, EXIT_SYSTEM, "a file with that name is in the way; move it away");
}

/* Reports a wrong address before anything is opened; listen_open parses the address again. An
 * overlap is reported here, because bind(2) only says that the address is in use, not that the
 * server itself uses it. */
void listen_check(const struct listener *all, size_t count)
{
    union endpoint address, earlier;
    for (size_t i = 0; i < count; i++) {
        parse(&all[i], &address);
        check_path(&all[i], &address);
        for (size_t j = 0; j < i; j++) {
            parse(&all[j], &earlier);
            if (overlap(&earlier, &address))
                log_exit(EXIT_USAGE,
                    "%s %s: ssechat itself listens there already, because of %s %s; leave one of "
                    "the two out",
                    all[i].option, all[i].address, all[j].option, all[j].address);
        }
    }
}

/* Returns whether a socket must leave the machine's IPv4 clients to another one: [::]:8080 does so
 * if 0.0.0.0:8080 is also an address of the server. On its own, [::] takes both. */
static bool wants_v6_only(const union endpoint *e, const struct listener *all, size_t count)
{
    struct address address;
    union endpoint other;
    if (e->any.sa_family != AF_INET6 || !address_of(&e->any, &address) ||
        !address_is_any(&address) || address_is_v4(&address) || port_of(e) == 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        parse(&all[i], &other);
        if (address_of(&other.any, &address) && address_is_any(&address) &&
            address_is_v4(&address) && port_of(&other) == port_of(e))
            return true;
    }
    return false;
}

/* ==== Opening and closing ==================================================================== */

/* Removes the socket file that a crashed server has left, because bind(2) would fail forever. A
 * file is removed only if it is a socket and connect(2) is refused, which means that nothing
 * listens on it. The price: two servers that start at the same instant can disturb each other, and
 * if another server's backlog is full, connect(2) waits. */
static void remove_stale(const union endpoint *address, socklen_t len)
{
    struct stat st;
    if (address->any.sa_family != AF_UNIX || lstat(address->local.sun_path, &st) < 0 ||
        !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, &address->any, len) < 0 && errno == ECONNREFUSED)
        unlink(address->local.sun_path);
    if (fd >= 0)
        close(fd);
}

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
static void set_inherited(int fd)
{
    int one = 1, notsent = NOTSENT_BYTES, timeout = USER_TIMEOUT_MS, idle = KEEPALIVE_SECONDS;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &notsent, sizeof notsent);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
}

/* Returns what the operator can do about an error, or else the system's own message. */
static const char *advice(int family, int error)
{
    if (error == EADDRINUSE)
        return family == AF_UNIX
                   ? "another program listens there, or a file with that name is in the way"
                   : "another program listens there; stop it, or choose another port";
    if (error == EACCES && family != AF_UNIX)
        return "not permitted; a port below 1024 needs root or the capability "
               "CAP_NET_BIND_SERVICE";
    if (error == EADDRNOTAVAIL)
        return "this machine does not have that address";
    return strerror(error);
}

/* Remembers the file of a unix socket by device and inode, because its path may name another file
 * by the time of listen_close. */
void listen_open(struct listener *listener, const struct listener *all, size_t count)
{
    union endpoint address;
    struct stat st;
    socklen_t len = parse(listener, &address);
    int family = address.any.sa_family;
    remove_stale(&address, len);
    listener->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->fd >= 0 && family != AF_UNIX)
        set_inherited(listener->fd);
    if (listener->fd >= 0 && wants_v6_only(&address, all, count))
        setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int) { 1 }, sizeof(int));
    if (listener->fd < 0 || bind(listener->fd, &address.any, len) < 0 ||
        listen(listener->fd, BACKLOG) < 0)
        refuse(listener, EXIT_SYSTEM, advice(family, errno));
    if (family == AF_UNIX && lstat(address.local.sun_path, &st) == 0) {
        listener->device = st.st_dev;
        listener->inode = st.st_ino;
    }
}

/* Gets the address from the kernel, which chooses the port if it is 0. */
void listen_announce(const struct listener *listener, const char *does)
{
    union endpoint socket;
    struct address address;
    socklen_t len = sizeof socket;
    char host[ADDRESS_TEXT_BYTES];
    memset(&socket, 0, sizeof socket);
    if (getsockname(listener->fd, &socket.any, &len) < 0)
        return;
    if (!address_of(&socket.any, &address)) {
        log_plain(LOG_INFO, "%s on unix:%s\n", does, socket.local.sun_path);
        return;
    }
    address_print(&address, host);
    bool colons = strchr(host, ':') != NULL;
    log_plain(LOG_INFO, "%s on http://%s%s%s:%u\n", does, colons ? "[" : "", host,
        colons ? "]" : "", port_of(&socket));
}

/* Closes the listener, but keeps its file if a new server has replaced it during the drain. */
void listen_close(const struct listener *listener)
{
    union endpoint address;
    struct stat st;
    socklen_t len = sizeof address;
    memset(&address, 0, sizeof address);
    if (getsockname(listener->fd, &address.any, &len) == 0 && address.any.sa_family == AF_UNIX &&
        lstat(address.local.sun_path, &st) == 0 && st.st_dev == listener->device &&
        st.st_ino == listener->inode)
        unlink(address.local.sun_path);
    close(listener->fd);
}
