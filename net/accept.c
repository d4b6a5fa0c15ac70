/* accept.c - accepts clients, and stops accepting when no descriptor is left.
 *
 * When a process is out of descriptors, accept(2) fails with EMFILE and the connection stays in the
 * backlog. Level-triggered epoll then reports the listener in every turn, and the loop spins at
 * full speed: a classic bug in event-driven servers. So:
 *
 *      EMFILE or another shortage, and a connection is pending
 *         ├─ a keep-alive connection is idle ──► close the longest idle one, accept again
 *         └─ none is idle ──► pause: take the listeners out of epoll
 *                           └─ a client closes or becomes idle, or a second has passed ──► resume
 *
 * Meanwhile clients wait in the backlog, which bounds their number, and are served once a
 * descriptor is freed. Some servers keep a spare descriptor to accept such clients and close them
 * at once: that empties the backlog, but makes them all try again. */

#include "net/accept.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/limits.h"
#include "net/listen.h"
#include "net/request_log.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_TURN = 64, /* per listener; the rest wait for the next turn */
    ACCEPTS_LAST = 4096,   /* per listener before it closes: a full backlog, see listen.c */
    AGAIN_MS = 1000,       /* between two tries in a pause, unless a descriptor is freed */
    LOG_PAUSE_MS = 60000,  /* between two log lines about pauses */
};

static const struct net_settings *settings;
static int epoll;
static struct listener listeners[ACCEPT_LISTENERS_MAX]; /* epoll's data points to one of them */
static const struct handlers *handlers[ACCEPT_LISTENERS_MAX]; /* of the clients of each */
static size_t listener_count;
static bool paused;
static unsigned released; /* the value of client_released at the last try */
static int64_t again_ms;  /* when to try anyway: another process may have ended the shortage */

void accept_start(const struct net_settings *given, int epoll_fd)
{
    settings = given;
    epoll = epoll_fd;
}

static struct listener *add(
    const char *option, const char *address, int fd, const struct handlers *given)
{
    if (listener_count == ACCEPT_LISTENERS_MAX)
        log_exit(EXIT_USAGE, "%s %s: at most %d addresses", option, address, ACCEPT_LISTENERS_MAX);
    struct listener *listener = &listeners[listener_count];
    *listener = (struct listener) { .option = option, .address = address, .fd = fd };
    handlers[listener_count++] = given;
    return listener;
}

void accept_add(const char *option, const char *address, const struct handlers *given)
{
    add(option, address, -1, given);
}

void accept_adopt(int fd, const char *name, const struct handlers *given)
{
    listen_adopt(add("LISTEN_FDS", name, fd, given));
}

void accept_check(void)
{
    listen_check(listeners, listener_count);
}

void accept_open(void)
{
    for (size_t i = 0; i < listener_count; i++)
        listen_open(&listeners[i], listeners, listener_count);
}

/* Adds all listeners to epoll, or removes them. Returns false if there is no memory to add a
 * listener; adding a listener twice does no harm. */
static bool watch(int operation)
{
    bool all = true;
    for (size_t i = 0; i < listener_count; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &listeners[i] };
        all &= epoll_ctl(epoll, operation, listeners[i].fd, &event) == 0 || errno == EEXIST;
    }
    return all;
}

/* Announces the listeners last, so that a script that waits for the line can connect at once. */
bool accept_begin(void)
{
    bool watched = watch(EPOLL_CTL_ADD);
    for (size_t i = 0; i < listener_count && watched; i++)
        listen_announce(&listeners[i], handlers[i]->does);
    return watched;
}

/* Pauses all listeners together, because they share the descriptors. Logs this at most once a
 * minute: under load a pause can begin many times per second. */
static void pause_accepting(void)
{
    static int64_t logged_ms = INT64_MIN / 2;
    if (clock_mono_ms() - logged_ms > LOG_PAUSE_MS) {
        logged_ms = clock_mono_ms();
        log_line(LOG_WARN, "accept paused=1 clients=%u reason=\"out of descriptors or memory\"",
            limits_connections());
    }
    watch(EPOLL_CTL_DEL);
    paused = true;
    released = client_released();
    again_ms = clock_mono_ms() + AGAIN_MS;
}

/* Frees a descriptor for the next connection. Returns false if no connection is pending, or if
 * accepting had to pause. poll(2) is needed because Linux allocates a descriptor before it looks at
 * the backlog: accept4 fails with EMFILE even when nothing is pending, and an idle client would
 * then be closed for nothing. */
static bool free_descriptor(const struct listener *listener)
{
    struct pollfd pending = { .fd = listener->fd, .events = POLLIN };
    if (poll(&pending, 1, 0) <= 0)
        return false;
    if (client_close_idle())
        return true;
    pause_accepting();
    return false;
}

/* Sets *peer to the record of the address that a connection counts against, unless it is from a
 * trusted proxy (*proxied), which names the client in each request, or to a unix socket, which has
 * no address. Returns false if the connection must be refused, because its address has too many
 * connections or there is no memory for the record. */
static bool identify(const struct sockaddr *socket, struct peer **peer, bool *proxied)
{
    struct address address;
    if (!address_of(socket, &address)) {
        *proxied = settings->trust_unix;
        return true;
    }
    *proxied = network_any_has(settings->trusted, settings->trusted_count, &address);
    if (*proxied)
        return true;
    *peer = peers_enter(&address, clock_mono_us());
    if (*peer == NULL)
        return false;
    if (!limits_is_crowded(*peer))
        return true;
    peers_leave(*peer, clock_mono_us());
    return false;
}

/* Makes the connection a client, or refuses it by closing it without an answer: an EventSource
 * takes that for a lost connection and retries; an HTTP error would stop it for good. */
static void start_client(int fd, const struct sockaddr *address, const struct listener *listener)
{
    const struct handlers *own = handlers[listener - listeners];
    struct peer *peer = NULL;
    bool proxied = false;
    request_log_connect(fd, address);
    if (own->exempt || identify(address, &peer, &proxied))
        client_new(fd, peer, proxied, own);
    else
        close(fd);
}

/* Accepts until the backlog is empty, but at most `most` times, so that a flood of connections does
 * not keep existing clients waiting. accept4 makes the socket non-blocking in the same call; the
 * socket inherits all other options from the listener (listen.c). Connections that are older than
 * these options come first, until the backlog of an inherited socket is empty. */
static void accept_clients(struct listener *listener, int most)
{
    const int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    while (most-- > 0) {
        struct sockaddr_storage address;
        socklen_t len = sizeof address;
        int fd = accept4(listener->fd, (struct sockaddr *)&address, &len, flags);
        if (fd >= 0) {
            if (listener->queued)
                listen_prepare(fd);
            start_client(fd, (struct sockaddr *)&address, listener);
        } else if (errno == EAGAIN) {
            listener->queued = false;
            return;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            if (!free_descriptor(listener))
                return;
        }
        /* Any other error concerns this client only (ECONNABORTED: it gave up): try the next. */
    }
}

/* Recognizes a listener by its address, because epoll reports clients and other objects by the same
 * kind of pointer. After accept_end, a late event of the same turn finds no listeners. */
bool accept_ready(void *data)
{
    struct listener *listener = data;
    if (listener < listeners || listener >= listeners + ACCEPT_LISTENERS_MAX)
        return false;
    if (listener_count > 0)
        accept_clients(listener, ACCEPTS_PER_TURN);
    return true;
}

/* Tries again when client_released has changed. The count includes clients that became idle, which
 * can be closed for a new client. If a listener cannot be added, the pause continues. */
void accept_tick(void)
{
    if (!paused || (released == client_released() && again_ms > clock_mono_ms()))
        return;
    paused = !watch(EPOLL_CTL_ADD);
    released = client_released();
    again_ms = clock_mono_ms() + AGAIN_MS;
}

int64_t accept_next_ms(void)
{
    return paused ? again_ms : INT64_MAX;
}

/* Accepts pending connections first, because the kernel resets the connections in a closed
 * listener's backlog, although their clients see them as established. The service manager keeps an
 * inherited socket open, with its backlog; close(2) would then not remove the socket from epoll,
 * which would report the backlog in every turn of the drain. */
void accept_end(void)
{
    watch(EPOLL_CTL_DEL);
    for (size_t i = 0; i < listener_count; i++) {
        if (!listeners[i].inherited)
            accept_clients(&listeners[i], ACCEPTS_LAST);
        listen_close(&listeners[i]);
    }
    listener_count = 0;
    paused = false;
}
