/* sse.c - the program: options, signals, and the loop.
 *
 * One thread, one epoll, and every turn of the loop does the same things in the same order:
 *
 *      wait       for sockets, or until the next deadline; not at all while streams are due
 *
 *      read       what clients have sent: requests are parsed and answered, messages go into this
 *                 turn's batch
 *
 *      keep       the keeper takes the batch, numbers it and makes it safe; its messages enter the
 *                 rings, its POSTs are answered, its rooms' streams are due
 *
 *      tick       what the hub and the keeper do now and then: presence, compaction
 *
 *      flush      a bounded number of due streams; the rest after the next look at the sockets
 *
 *      expire     deadlines, heartbeats
 *
 *      reap       the clients that were closed in this turn
 *
 * Everything that arrives in one turn leaves in one send to each stream: the busier it gets, the
 * less a message costs. */

#include "api/page.h"
#include "api/routes.h"
#include "auth/access.h"
#include "base/clock.h"
#include "base/log.h"
#include "host/commands.h"
#include "host/options.h"
#include "net/accept.h"
#include "net/limits.h"
#include "net/listen.h"
#include "store/journal.h"
#include "store/memory.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { EVENTS_PER_TURN = 256 };

/* How many streams are served between two looks at the sockets is how long a POST waits while a
 * message goes to ten thousand streams. Measured (`load probe`), as median and 99 %: with 32 of
 * them 0.17 and 0.4 ms, 64 0.36 and 0.8, 128 0.5 and 1.4, 256 1.0 and 2.5, 512 1.8 and more than 5.
 * A look at the sockets costs about a tenth of a send: with 64 that is 0.2 % of the sends between,
 * and less would be paid for with every delivery. */
enum { FLUSHES_PER_TURN = 64 };

struct server {
    struct options options;
    struct hub *hub;
    struct keeper *keeper;
    int epoll, signals;
    bool draining;
    int64_t drain_until_ms;
};

/* ==== The end ================================================================================ */

static void start_drain(struct server *s)
{
    if (s->draining) { /* asked again: at once, then */
        s->drain_until_ms = clock_mono_ms();
        return;
    }
    log_line(LOG_INFO, "drain streams=%u clients=%u", limits_streams(), limits_connections());
    s->draining = true;
    s->drain_until_ms = clock_mono_ms() + (int64_t)s->options.drain_ms;
    accept_end();
    client_drain_all();
}

static void read_signals(struct server *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info)
        start_drain(s);
}

/* ==== The loop =============================================================================== */

/* What epoll reports is known by its address: the keeper, the signals, a listener, or a client. */
static void dispatch(struct server *s, const struct epoll_event *event)
{
    if (event->data.ptr == &s->signals)
        read_signals(s);
    else if (event->data.ptr == s->keeper)
        s->keeper->ready(s->keeper);
    else if (!accept_ready(event->data.ptr))
        client_ready(event->data.ptr, event->events);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* How long to wait for sockets: until the next deadline, or not at all. */
static int wait_ms(const struct server *s)
{
    const int64_t longest = 3600000;
    int64_t next = earlier(client_next_ms(), hub_next_ms(s->hub));
    next = earlier(next, s->keeper->next_ms(s->keeper));
    next = earlier(next, accept_next_ms());
    if (s->draining)
        next = earlier(next, s->drain_until_ms);
    int64_t wait = next - clock_mono_ms();
    return (int)(wait < 0 ? 0 : earlier(wait, longest));
}

static void read_clocks(struct server *s)
{
    clock_read();
    hub_set_clock(s->hub, clock_mono_ms(), clock_unix_ms());
}

static void keep(struct server *s)
{
    s->keeper->keep(s->keeper, hub_take_batch(s->hub));
}

static bool is_over(const struct server *s)
{
    return s->draining && (limits_connections() == 0 || clock_mono_ms() >= s->drain_until_ms);
}

static void run(struct server *s)
{
    struct epoll_event events[EVENTS_PER_TURN];
    while (!is_over(s)) {
        int count = epoll_wait(s->epoll, events, EVENTS_PER_TURN, wait_ms(s));
        read_clocks(s);
        for (int i = 0; i < count; i++)
            dispatch(s, &events[i]);
        keep(s);
        hub_tick(s->hub);
        s->keeper->tick(s->keeper, clock_mono_ms());
        turn_run(s->hub, FLUSHES_PER_TURN);
        client_expire();
        accept_tick();
        client_reap();
    }
}

/* ==== The start ============================================================================== */

__attribute__((noreturn)) static void fail(const char *what)
{
    log_exit(EXIT_SYSTEM, "%s: %s", what, strerror(errno));
}

/* Raises the descriptor limit as far as it goes. Returns it. */
static unsigned raise_limit(void)
{
    struct rlimit limit;
    if (prlimit(0, RLIMIT_NOFILE, NULL, &limit) < 0)
        fail("the descriptor limit");
    limit.rlim_cur = limit.rlim_max;
    prlimit(0, RLIMIT_NOFILE, &limit, NULL);
    prlimit(0, RLIMIT_NOFILE, NULL, &limit);
    return limit.rlim_cur < 1u << 30 ? (unsigned)limit.rlim_cur : 1u << 30;
}

static void watch(const struct server *s, int fd, void *data)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = data };
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll");
}

/* Signals come through the loop like everything else. */
static void open_loop(struct server *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGCHLD, SIG_DFL); /* inherited as ignored, it would hide how a child ended */
    signal(SIGPIPE, SIG_IGN); /* a client that is gone, and */
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow, are errors like any other */
    s->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->signals < 0 || s->epoll < 0)
        fail("epoll");
    watch(s, s->signals, &s->signals);
}

static void check_listeners(const struct spans *addresses)
{
    if (addresses->count > ACCEPT_LISTENERS_MAX)
        log_exit(EXIT_USAGE, "--listen: at most %d addresses", ACCEPT_LISTENERS_MAX);
    for (size_t i = 0; i < addresses->count; i++)
        listen_check(addresses->items[i].at);
}

static void open_hub(struct server *s)
{
    const struct options *o = &s->options;
    clock_read();
    s->hub = hub_new(&o->hub, &client_stream_owner, clock_mono_ms(), clock_unix_ms());
    if (s->hub == NULL)
        fail("memory");
    s->keeper = o->journal.path != NULL ? journal_open(&o->journal, s->hub) : memory_open(s->hub);
    if (s->keeper == NULL)
        fail("memory");
    if (s->keeper->watch >= 0)
        watch(s, s->keeper->watch, s->keeper);
}

/* From here on clients may come. */
static void open_listeners(struct server *s)
{
    const struct options *o = &s->options;
    peers_start();
    client_start(&o->net, s->hub, s->epoll);
    accept_start(&o->net, s->epoll);
    routes_start(&o->net, s->hub, s->keeper);
    for (size_t i = 0; i < o->listen.count; i++)
        accept_open(o->listen.items[i].at, &routes_handlers);
    limits_start(&o->net, raise_limit());
    if (!accept_begin())
        fail("epoll");
}

int main(int argc, char **argv)
{
    static struct server server;
    const struct options *o = &server.options;
    int status;
    if (commands_run(argc, argv, &status))
        return status;
    options_read(&server.options, argc, argv);
    log_start(o->log_level);
    page_start(o->www);
    access_start(&o->access);
    check_listeners(&o->listen);
    if (o->check)
        return 0;
    open_loop(&server);
    open_hub(&server);
    open_listeners(&server);
    run(&server);
    keep(&server); /* what the last turn has taken in */
    client_close_all();
    client_reap();
    server.keeper->close(server.keeper);
    hub_free(server.hub);
    peers_free();
    return 0;
}
