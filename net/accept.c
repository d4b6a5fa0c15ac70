/* accept.c - accepts, and stops accepting when no descriptor is left.
 *
 * The listeners are level-triggered: were they watched while a connection waits that cannot be
 * accepted, the loop would spin. */

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
    ACCEPTS_PER_TURN = 64,
    ACCEPTS_LAST = 4096, /* before the listeners close */
    AGAIN_MS = 1000,
    LOG_PAUSE_MS = 60000,
};

struct service {
    struct listener listener;
    const struct handlers *handlers;
};

static const struct net_settings *settings;
static int epoll;
static struct service services[ACCEPT_LISTENERS_MAX];
static size_t service_count;
static bool paused;
static unsigned released; /* what client_released said when the pause began */
static int64_t again_ms;  /* the shortage may be the machine's and not ours: then it is tried */

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

/* False when one of them cannot be watched, for lack of memory; those that are watched already do
 * not mind. */
static bool watch(int operation)
{
    bool all = true;
    for (size_t i = 0; i < service_count; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &services[i] };
        all &= epoll_ctl(epoll, operation, services[i].listener.fd, &event) == 0 || errno == EEXIST;
    }
    return all;
}

bool accept_begin(void)
{
    bool watched = watch(EPOLL_CTL_ADD);
    for (size_t i = 0; i < service_count && watched; i++)
        listen_announce(&services[i].listener);
    return watched;
}

static void pause_accepting(void)
{
    static int64_t logged_ms = INT64_MIN / 2;
    if (clock_mono_ms() - logged_ms > LOG_PAUSE_MS) {
        logged_ms = clock_mono_ms();
        log_line(LOG_WARN, "accept paused=1 clients=%u reason=\"no descriptor is left\"",
            limits_connections());
    }
    watch(EPOLL_CTL_DEL);
    paused = true;
    released = client_released();
    again_ms = clock_mono_ms() + AGAIN_MS;
}

/* Out of descriptors. If a connection is pending, closes the one that has been idle longest, and
 * returns true; without one, accepting pauses. */
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

/* The address that a connection counts for, in *peer: NULL for a trusted proxy (*proxied), whose
 * requests say it, and for a unix socket, which has none. False when it must not come in. */
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
        /* any other error: that client gave up; the next one may not have */
    }
}

bool accept_ready(void *data)
{
    const struct service *service = data;
    if (service < services || service >= services + ACCEPT_LISTENERS_MAX)
        return false;
    if (service_count > 0)
        accept_clients(service, ACCEPTS_PER_TURN);
    return true;
}

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

void accept_end(void)
{
    for (size_t i = 0; i < service_count; i++) {
        accept_clients(&services[i], ACCEPTS_LAST);
        listen_close(&services[i].listener);
    }
    service_count = 0;
    paused = false;
}
