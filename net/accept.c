/* accept.c - accepts clients, and stops accepting when there is no descriptor left.
 *
 * A process out of descriptors gets EMFILE from accept(2), and the connection stays in the backlog.
 * Level-triggered epoll then reports the listener in every turn, and the loop spins at full speed:
 * a classic fault of event servers. So:
 *
 *      EMFILE or another shortage, and a connection is pending
 *         ├─ a kept connection is idle ──► close the one that is idle longest, accept again
 *         └─ none is ──► take the listeners out of epoll: a pause
 *                           └─ a client closes or becomes idle, or a second has passed ──► go on
 *
 * Clients in the backlog wait meanwhile, and are served when a descriptor comes free; the kernel
 * takes no more than the backlog holds. Some servers keep a spare descriptor to accept such clients
 * and to close them at once: that frees the backlog, but makes them all try again. */

#include "net/accept.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/limits.h"
#include "net/listen.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_TURN = 64, /* of each listener; more of them wait for the next turn */
    ACCEPTS_LAST = 4096,   /* before the listeners close: a whole backlog, see listen.c */
    AGAIN_MS = 1000,       /* between two tries in a pause in which nothing comes free */
    LOG_PAUSE_MS = 60000,  /* between two lines about pauses */
};

/* A listener and what its clients are served with. epoll's data points to one of these. */
struct service {
    struct listener listener;
    const struct handlers *handlers;
};

static const struct net_settings *settings;
static int epoll;
static struct service services[ACCEPT_LISTENERS_MAX];
static size_t service_count;
static bool paused;
static unsigned released; /* the value of client_released at the last try */
static int64_t again_ms;  /* the shortage may be the machine's, and end without a close of ours */

void accept_start(const struct net_settings *given, int epoll_fd)
{
    settings = given;
    epoll = epoll_fd;
}

void accept_open(const char *address, const struct handlers *handlers)
{
    must(service_count < ACCEPT_LISTENERS_MAX);
    services[service_count++] = (struct service) { listen_on(address), handlers };
}

/* Adds all listeners to epoll, or removes them. Returns false if one cannot be added, for lack of
 * memory; it does no harm to add one that is there. */
static bool watch(int operation)
{
    bool all = true;
    for (size_t i = 0; i < service_count; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &services[i] };
        all &= epoll_ctl(epoll, operation, services[i].listener.fd, &event) == 0 || errno == EEXIST;
    }
    return all;
}

/* The announcements come last: a script that waits for the line can connect at once. */
bool accept_begin(void)
{
    bool watched = watch(EPOLL_CTL_ADD);
    for (size_t i = 0; i < service_count && watched; i++)
        listen_announce(&services[i].listener);
    return watched;
}

/* All listeners pause together, because they share the descriptors. The log line is written once a
 * minute at most: under load a pause may begin many times a second. */
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

/* Makes room for one more connection; returns false if there is none pending, or if accepting had
 * to pause. The poll(2) is needed, because Linux takes a descriptor's number before it looks at the
 * backlog: accept4 fails with EMFILE also when nothing is pending, and an idle client would be
 * closed for nothing. */
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

/* Finds the address that a connection counts against: *peer. It is NULL for a trusted proxy
 * (*proxied), which names the client in each request, and for a unix socket, which has no address.
 * Returns false if the connection must be refused: its address holds too many, or there is no
 * memory for it. */
static bool identify(const struct sockaddr *socket, struct peer **peer, bool *proxied)
{
    struct address address;
    *peer = NULL;
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

/* A refused connection is closed without an answer: an EventSource takes that for a lost connection
 * and retries; an HTTP error would end it for good. */
static void start_client(int fd, const struct sockaddr *address, const struct handlers *handlers)
{
    struct peer *peer;
    bool proxied;
    if (identify(address, &peer, &proxied))
        client_new(fd, peer, proxied, handlers);
    else
        close(fd);
}

/* Accepts until the backlog is empty, at most `most` times, so that a flood of connections does not
 * keep the clients that are in waiting. accept4 makes the socket non-blocking in the same call; all
 * other options it inherits from the listener (listen.c). */
static void accept_clients(const struct service *service, int most)
{
    const int flags = SOCK_NONBLOCK | SOCK_CLOEXEC;
    while (most-- > 0) {
        struct sockaddr_storage address;
        socklen_t len = sizeof address;
        int fd = accept4(service->listener.fd, (struct sockaddr *)&address, &len, flags);
        if (fd >= 0)
            start_client(fd, (struct sockaddr *)&address, service->handlers);
        else if (errno == EAGAIN)
            return;
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            if (!free_descriptor(&service->listener))
                return;
        /* Any other error is this client's (ECONNABORTED: it gave up); the next may be well. */
    }
}

/* Recognized by its address, because epoll reports clients and other things with the same kind of
 * pointer. After accept_end a late event of the same turn finds no services. */
bool accept_ready(void *data)
{
    const struct service *service = data;
    if (service < services || service >= services + ACCEPT_LISTENERS_MAX)
        return false;
    if (service_count > 0)
        accept_clients(service, ACCEPTS_PER_TURN);
    return true;
}

/* Tries again when client_released has moved, which also counts clients that became idle: they can
 * be closed for a new one. If a listener cannot be added the pause goes on. */
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

/* The kernel resets the connections in the backlog of a closed listener, although for the clients
 * they are established. So they are accepted first, and get their answer like the others. */
void accept_end(void)
{
    for (size_t i = 0; i < service_count; i++) {
        accept_clients(&services[i], ACCEPTS_LAST);
        listen_close(&services[i].listener);
    }
    service_count = 0;
    paused = false;
}
