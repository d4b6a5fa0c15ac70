/* sse.c - the program: start, signals, the loop, and the end.
 *
 * Here a reader sees the whole server on one page. One thread waits on one epoll instance, and each
 * turn of the loop does the same things in the same order:
 *
 *      wait       for sockets, or until the next deadline; not at all while streams are due
 *
 *      read       what clients have sent: requests are parsed and answered, messages go into this
 *                 turn's batch
 *
 *      keep       the keeper takes the batch, numbers it and makes it safe; its messages enter the
 *                 rings, its POSTs are answered, its rooms' streams become due
 *
 *      tick       periodic work of the hub and the keeper: presence, compaction
 *
 *      flush      serves a bounded number of due streams, the rest in the next turns
 *
 *      expire     parses requests that wait in buffers; deadlines, heartbeats, ends of tokens
 *
 *      reap       frees the clients that were closed in this turn
 *
 * Everything that arrives in one turn leaves in one send to each stream, so the cost of a message
 * falls as the load rises.
 *
 * Left out: threads (the kernel's send dominates a message's cost, and one core sends to tens of
 * thousands of streams), a daemon mode and a pid file (the service manager's task). */

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

/* How many events one epoll_wait returns. More would make a turn longer, fewer would make batches
 * smaller; sockets beyond them are reported in the next turn. */
enum { EVENTS_PER_TURN = 256 };

/* How many streams are served between two looks at the sockets. It decides how long a POST waits
 * while a message goes to ten thousand streams. Measured (`load probe`), median and 99th
 * percentile: 0.17 and 0.4 ms with 32 of them, 0.36 and 0.8 with 64, 0.5 and 1.4 with 128, 1.0
 * and 2.5 with 256, 1.8 and over 5 with 512. A look at the sockets costs about a tenth of a send:
 * 0.2 % of the sends between two looks with 64, and more of every delivery with fewer. */
enum { FLUSHES_PER_TURN = 64 };

/* All that the program itself owns. What the layers below need of it is handed to them at the
 * start; none of them knows this struct. */
struct server {
    struct options options;
    struct hub *hub;
    struct keeper *keeper; /* Memory or journal; see store/keeper.h. */
    int epoll, signals;    /* Descriptors; `signals` is a signalfd. */
    bool draining;
    int64_t drain_until_ms; /* Monotonic milliseconds. */
};

/* ==== The end ================================================================================ */

/* SIGTERM or SIGINT: a graceful shutdown. New connections are refused, requests in hand are
 * answered, each stream is told when to come back. A second signal ends the wait. */
static void start_drain(struct server *s)
{
    if (s->draining) { /* The second signal. */
        s->drain_until_ms = clock_mono_ms();
        return;
    }
    log_line(LOG_INFO, "drain streams=%u clients=%u", limits_streams(), limits_connections());
    s->draining = true;
    s->drain_until_ms = clock_mono_ms() + (int64_t)s->options.drain_ms;
    accept_end();
    client_drain_all();
}

/* A signal arrives as bytes of a descriptor (signalfd(2)), like everything else: no handler
 * interrupts the program between two instructions. */
static void read_signals(struct server *s)
{
    struct signalfd_siginfo info;
    while (read(s->signals, &info, sizeof info) == (ssize_t)sizeof info)
        start_drain(s);
}

/* ==== The loop =============================================================================== */

/* epoll hands back the pointer that was registered: the address tells the signals, the keeper, a
 * listener, or else a client. */
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

/* How long epoll may wait: until the earliest deadline of any part, 0 if one has passed. This is
 * the only timer of the program; each part keeps its deadlines sorted, so the look is cheap. An
 * hour at most, because epoll_wait takes an int. */
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

/* The clocks are read once a turn: all that happens in one turn happens at the same time, and a
 * message does not cost a system call for it. */
static void read_clocks(struct server *s)
{
    clock_read();
    hub_set_clock(s->hub, clock_mono_ms(), clock_unix_ms());
}

/* Hands this turn's messages to the keeper. The memory keeper makes them safe before it returns,
 * the journal after one write and one fdatasync for all of them. */
static void keep(struct server *s)
{
    s->keeper->keep(s->keeper, hub_take_batch(s->hub));
}

/* The drain ends when the last client has gone, or when --drain has passed. */
static bool is_over(const struct server *s)
{
    return s->draining && (limits_connections() == 0 || clock_mono_ms() >= s->drain_until_ms);
}

/* The loop of the opening comment. The order of the steps matters: messages are kept after all
 * sockets of the turn were read, so that they share one sync; streams are flushed after that, so
 * that they get them all in one send; closed clients are freed last, because an event later in the
 * array may still point to one. */
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

/* The start may fail, with one sentence and a status; from then on, a shortage costs one client. */
__attribute__((noreturn)) static void fail(const char *what)
{
    log_exit(EXIT_SYSTEM, "%s: %s", what, strerror(errno));
}

/* Raises the soft limit of descriptors to the hard one, and returns it. Each stream takes one; the
 * usual soft limit of 1,024 exists for programs that use select(2). */
static unsigned raise_limit(void)
{
    struct rlimit limit;
    if (prlimit(0, RLIMIT_NOFILE, NULL, &limit) < 0)
        fail("the descriptor limit");
    limit.rlim_cur = limit.rlim_max;
    prlimit(0, RLIMIT_NOFILE, &limit, NULL);
    prlimit(0, RLIMIT_NOFILE, NULL, &limit); /* What was granted. */
    return limit.rlim_cur < 1u << 30 ? (unsigned)limit.rlim_cur : 1u << 30;
}

/* Level-triggered: what is not read is reported again in the next turn. */
static void watch(const struct server *s, int fd, void *data)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = data };
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll");
}

/* Makes the epoll instance, and the descriptor through which signals arrive. */
static void open_loop(struct server *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGCHLD, SIG_DFL); /* If inherited as ignored, it would hide a child's exit status. */
    signal(SIGPIPE, SIG_IGN); /* A closed connection is an error of send(2), */
    signal(SIGXFSZ, SIG_IGN); /* and a file that may not grow is one of write(2). */
    s->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->signals < 0 || s->epoll < 0)
        fail("epoll");
    watch(s, s->signals, &s->signals);
}

/* Before anything is opened, so that --check finds a wrong address too. */
static void check_listeners(const struct spans *addresses)
{
    if (addresses->count > ACCEPT_LISTENERS_MAX)
        log_exit(EXIT_USAGE, "--listen: at most %d addresses", ACCEPT_LISTENERS_MAX);
    for (size_t i = 0; i < addresses->count; i++)
        listen_check(addresses->items[i].at);
}

/* The keeper may load a journal here: rooms have their history before the first client connects. */
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

/* Last of all, because from here on clients may connect. The limits are known before the first one
 * is accepted. */
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

/* Everything that can be wrong with the options is found before a port or the journal is opened;
 * that part is also what --check runs. The end undoes the start in reverse order. */
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
    keep(&server); /* The messages of the last turn. */
    client_close_all();
    client_reap();
    server.keeper->close(server.keeper);
    hub_free(server.hub);
    peers_free();
    return 0;
}
