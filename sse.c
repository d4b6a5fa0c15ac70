/* sse.c - the program: startup, signals, the loop, and the shutdown.
 *
 * This file shows the whole server on one page. One thread waits on one epoll instance, and each
 * turn of the loop does the same steps in the same order:
 *
 *      wait       for sockets, or until the next deadline; not at all while streams are due
 *
 *      read       what clients have sent, and parse it
 *
 *      handle     complete requests, by address in rotation, for at most 2 ms: they are answered,
 *                 or their messages join this turn's batch; the next turns handle the rest
 *
 *      keep       the keeper takes the batch and makes it safe, perhaps in a later turn; then its
 *                 messages enter the rings, its POSTs are answered, its streams become due
 *
 *      tick       periodic work of the hub and the keeper: presence, compaction
 *
 *      flush      serves due streams, 64 at most, for at most 2 ms; the next turns serve the rest
 *
 *      expire     deadlines, heartbeats, expired tokens
 *
 *      reap       frees the clients that were closed in this turn
 *
 * Whatever arrives in one turn reaches each stream in a single send, so messages get cheaper as the
 * load rises.
 *
 * Left out: threads (the kernel's send dominates the cost of a message, and one core sends to tens
 * of thousands of streams), a daemon mode and a pid file (the service manager's task). */

#include "api/metrics.h"
#include "api/page.h"
#include "api/routes.h"
#include "auth/access.h"
#include "base/clock.h"
#include "base/log.h"
#include "host/budget.h"
#include "host/commands.h"
#include "host/descriptors.h"
#include "host/report.h"
#include "host/signals.h"
#include "host/systemd.h"
#include "host/version.h"
#include "net/accept.h"
#include "net/limits.h"
#include "net/request_log.h"
#include "store/journal.h"
#include "store/memory.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

/* The most events that one epoll_wait returns. More would make a turn longer, and fewer would make
 * batches smaller. The next turn reports the remaining sockets. */
enum { EVENTS_PER_TURN = 256 };

/* How many streams are served between two checks of the sockets. The number decides how long a POST
 * waits while a message is sent to ten thousand streams. `load probe` measured these waits, median
 * and 99th percentile: 0.17 and 0.4 ms for 32 streams, 0.36 and 0.8 for 64, 0.5 and 1.4 for 128,
 * 1.0 and 2.5 for 256, 1.8 and over 5 for 512. A check costs about a tenth of a send. For 64
 * streams that is 0.2 % of the sends between two checks; for fewer, the share is larger. */
enum { FLUSHES_PER_TURN = 64 };

/* Sends that take long, of large messages or long backlogs, end the turn earlier. The time is
 * checked after FLUSHES_AT_ONCE streams: more often would cost 16 instructions a send. */
enum { FLUSHES_AT_ONCE = 16, FLUSH_US = 2000 };

/* Everything that the program itself owns. The layers below get what they need from it at startup;
 * none of them knows this struct. */
struct server {
    struct options options;
    struct hub *hub;
    struct keeper *keeper; /* Memory or journal; see store/keeper.h. */
    int epoll, signals;    /* Descriptors; `signals` is a signalfd. */
    int64_t started_ms;    /* Monotonic milliseconds. */
    bool draining;
    int64_t drain_until_ms;
    struct histogram turns; /* How long turns have taken, without their waits. */
};

/* ==== The end ================================================================================ */

/* Starts a graceful shutdown: refuses new connections, answers pending requests, and tells each
 * stream when to reconnect. A second request for it ends the wait. */
static void start_drain(struct server *s)
{
    if (s->draining) {
        s->drain_until_ms = clock_mono_ms();
        return;
    }
    log_line(LOG_INFO, "drain streams=%u clients=%u", limits_streams(), limits_connections());
    s->draining = true;
    s->drain_until_ms = clock_mono_ms() + (int64_t)s->options.drain_ms;
    systemd_stopping();
    accept_end();
    client_drain_all();
}

/* Logs a signal that does nothing yet. */
static void ignore(const char *name)
{
    log_line(
        LOG_WARN, "signal name=%s ignored=1 reason=\"options are read only at the start\"", name);
}

/* Does what a signal asks for. When a terminal closes, SIGHUP can come twice. */
static void obey(struct server *s, enum signals_order order)
{
    switch (order) {
    case SIGNALS_NONE:
        return;
    case SIGNALS_HANGUP:
        if (!s->draining)
            start_drain(s);
        return;
    case SIGNALS_DRAIN:
        start_drain(s);
        return;
    case SIGNALS_RELOAD:
        ignore("SIGHUP");
        systemd_reloaded();
        return;
    case SIGNALS_UPGRADE:
        ignore("SIGUSR2");
        return;
    case SIGNALS_REPORT:
        report_log(s->hub, s->keeper, s->started_ms);
        return;
    }
}

static void read_signals(struct server *s)
{
    for (enum signals_order order; (order = signals_next(s->signals)) != SIGNALS_NONE;)
        obey(s, order);
}

/* Returns whether the drain has ended: no client is left, or the time of --drain has passed. */
static bool is_over(const struct server *s)
{
    return s->draining && (limits_connections() == 0 || clock_mono_ms() >= s->drain_until_ms);
}

/* ==== The loop =============================================================================== */

/* Passes an event to its owner. epoll returns the pointer that was registered, which identifies the
 * signals, the keeper, a listener, or otherwise a client. */
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

/* Returns how long epoll may wait: until the earliest deadline of any part, or 0 if a deadline has
 * passed. This is the program's only timer; each part keeps its deadlines sorted, so this is cheap.
 * The wait is at most an hour, because epoll_wait takes an int. */
static int wait_ms(const struct server *s)
{
    const int64_t longest = 3600000;
    int64_t next = earlier(client_next_ms(), hub_next_ms(s->hub));
    next = earlier(next, s->keeper->next_ms(s->keeper));
    next = earlier(next, earlier(accept_next_ms(), log_next_ms()));
    next = earlier(next, systemd_next_ms());
    if (s->draining)
        next = earlier(next, s->drain_until_ms);
    int64_t wait = next - clock_mono_ms();
    return (int)(wait < 0 ? 0 : earlier(wait, longest));
}

/* Reads the clocks once per turn, so everything in a turn has the same time, and no message needs a
 * system call to get it. */
static void read_clocks(struct server *s)
{
    clock_read();
    hub_set_clock(s->hub, clock_mono_ms(), clock_unix_ms());
}

/* Hands this turn's messages to the keeper, which settles them now or in a later turn. */
static void keep(struct server *s)
{
    s->keeper->keep(s->keeper, hub_take_batch(s->hub));
}

/* Serves due streams. */
static void flush(struct server *s)
{
    int64_t until_us = clock_now_us(CLOCK_MONOTONIC) + FLUSH_US;
    int left = FLUSHES_PER_TURN;
    while (turn_run(s->hub, FLUSHES_AT_ONCE) && (left -= FLUSHES_AT_ONCE) > 0 &&
           clock_now_us(CLOCK_MONOTONIC) < until_us)
        ;
}

/* Runs the loop that the opening comment describes. The order of the steps matters: messages are
 * kept after all sockets of the turn have been read, so that they share one sync; streams are
 * flushed next, so that each gets all messages in one send; closed clients are freed last, because
 * a later event in the array can still point to one. */
static void run(struct server *s)
{
    struct epoll_event events[EVENTS_PER_TURN];
    while (!is_over(s)) {
        int count = epoll_wait(s->epoll, events, EVENTS_PER_TURN, wait_ms(s));
        read_clocks(s);
        for (int i = 0; i < count; i++)
            dispatch(s, &events[i]);
        client_handle();
        keep(s);
        hub_tick(s->hub);
        s->keeper->tick(s->keeper, clock_mono_ms());
        flush(s);
        client_expire();
        accept_tick();
        log_tick();
        systemd_tick();
        client_reap();
        histogram_add(&s->turns, clock_now_us(CLOCK_MONOTONIC) - clock_mono_us());
    }
}

/* ==== The start ============================================================================== */

/* Aborts the startup with a one-sentence message. Later, a shortage costs only one client. */
__attribute__((noreturn)) static void fail(const char *what)
{
    log_exit(EXIT_SYSTEM, "%s: %s", what, strerror(errno));
}

/* Adds a descriptor to the loop. It is level-triggered: the next turn reports unread data again. */
static void watch(const struct server *s, int fd, void *data)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = data };
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll");
}

/* Makes the epoll instance, and the descriptor through which signals arrive. */
static void open_loop(struct server *s)
{
    s->signals = signals_open();
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->signals < 0 || s->epoll < 0)
        fail("epoll");
    watch(s, s->signals, &s->signals);
}

/* Adds the sockets that the service manager has opened. Returns whether one of them is for clients
 * of the chat. */
static bool adopt_listeners(void)
{
    size_t count;
    bool serves = false;
    const struct systemd_socket *sockets = systemd_sockets(&count);
    for (size_t i = 0; i < count; i++) {
        accept_adopt(sockets[i].fd, sockets[i].label,
            sockets[i].is_metrics ? &metrics_handlers : &routes_handlers);
        serves = serves || !sockets[i].is_metrics;
    }
    return serves;
}

/* Checks the addresses before anything is opened, so that --check finds a wrong one. There is a
 * default only if nothing else is given. */
static void check_listeners(const struct options *o)
{
    if (!adopt_listeners() && o->listen.count == 0)
        accept_add("--listen", "127.0.0.1:8080", &routes_handlers);
    for (size_t i = 0; i < o->listen.count; i++)
        accept_add("--listen", o->listen.items[i].at, &routes_handlers);
    if (o->metrics != NULL)
        accept_add("--metrics", o->metrics, &metrics_handlers);
    accept_check();
}

/* Makes the hub and its keeper. A journal is loaded here, before the first client connects. */
static void open_hub(struct server *s)
{
    const struct options *o = &s->options;
    clock_read();
    s->started_ms = clock_mono_ms();
    s->hub = hub_new(&o->hub, &client_stream_owner, clock_mono_ms(), clock_unix_ms());
    if (s->hub == NULL)
        fail("memory");
    systemd_start(s->hub);
    s->keeper = o->journal.path != NULL ? journal_open(&o->journal, s->hub) : memory_open(s->hub);
    if (s->keeper == NULL)
        fail("memory");
    if (s->keeper->watch >= 0)
        watch(s, s->keeper->watch, s->keeper);
}

/* Opens the listeners last, because from here on clients can connect. The limits are set before the
 * first client is accepted. */
static void open_listeners(struct server *s, unsigned descriptors)
{
    const struct options *o = &s->options;
    peers_start();
    if (o->net.access_log)
        request_log_start();
    client_start(&o->net, s->hub, s->epoll);
    accept_start(&o->net, s->epoll);
    routes_start(&o->net, s->hub, s->keeper);
    metrics_start(s->hub, s->keeper, &s->turns, SSECHAT_VERSION);
    accept_open();
    budget_log(o, descriptors);
    limits_start(&o->net, descriptors);
    if (!accept_begin())
        fail("epoll");
    systemd_ready();
}

/* Checks all options before it opens a port or the journal; --check runs only that part. The
 * shutdown undoes the startup in reverse order. */
int main(int argc, char **argv)
{
    static struct server server;
    const struct options *o = &server.options;
    int status;
    descriptors_fill();
    if (commands_run(argc, argv, &status))
        return status;
    systemd_take_sockets();
    options_read(&server.options, argc, argv);
    unsigned descriptors = descriptors_raise();
    server.options.net.memory = budget_memory();
    log_start(o->log_level);
    page_start(o->www);
    access_start(&o->access);
    check_listeners(o);
    if (o->check) {
        journal_check(&o->journal);
        budget_log(o, descriptors);
        return 0;
    }
    open_loop(&server);
    open_hub(&server);
    open_listeners(&server, descriptors);
    run(&server);
    keep(&server); /* The messages of the last turn. */
    client_close_all();
    client_reap();
    server.keeper->close(server.keeper);
    hub_free(server.hub);
    peers_free();
    log_end();
    return 0;
}
