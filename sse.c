/* sse.c - the program: options, listeners, signals, and the loop.
 *
 * One thread, one epoll, and every turn of the loop does the same things in the same order:
 *
 *      wait       for sockets, or until the next deadline; not at all while streams are due
 *      read       whoever has sent something: requests are parsed and answered, messages go
 *                 into this turn's batch
 *      settle     the batch goes to the disk (--journal) and into the rings; its POSTs are
 *                 answered, its rooms' streams are due
 *      tick       what the hub and the journal do now and then: presence, compaction
 *      flush      a bounded number of due streams; the rest after the next look at the sockets
 *      expire     deadlines, heartbeats
 *      reap       the clients that were closed in this turn
 *
 * Everything that arrives in one turn leaves in one send to each stream: the busier it gets, the
 * less a message costs. */

#include "auth/access.h"
#include "auth/token.h"
#include "base/log.h"
#include "base/print.h"
#include "host/options.h"
#include "net/client.h"
#include "net/lease.h"
#include "net/listen.h"
#include "net/server.h"
#include "store/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_PER_TURN = 256,
    ACCEPTS_PER_TURN = 64,
    ACCEPTS_LAST = 4096,   /* before the listeners close */
    FLUSHES_PER_TURN = 64, /* between two looks at the sockets */
    LISTENERS_MAX = 16,
    SCRATCH_KEPT_BYTES = 65536,
    ACCEPT_AGAIN_MS = 1000,
    LOG_PAUSE_MS = 60000,
    RESERVED_DESCRIPTORS = 32, /* for requests and `busy` answers, at least */
};

/* FLUSHES_PER_TURN is how long a POST waits while a message goes to ten thousand streams. Measured
 * (`load probe`), as median and 99 %: with 32 of them 0.17 and 0.4 ms, 64 0.36 and 0.8, 128 0.5 and
 * 1.4, 256 1.0 and 2.5, 512 1.8 and more than 5. A look at the sockets costs about a tenth of a
 * send: with 64 that is 0.2 % of the sends between, and less would be paid for with every delivery.
 */

struct server server = { .www = -1 };

static struct listener listeners[LISTENERS_MAX];
static size_t listener_count;
static int signals;
static int64_t drain_until_ms;

/* ==== Time =================================================================================== */

static int64_t clock_ms(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads the clocks, once for a whole turn. */
static void read_clocks(void)
{
    static int64_t date_second = -1;
    server.mono_ms = clock_ms(CLOCK_MONOTONIC);
    int64_t unix_ms = clock_ms(CLOCK_REALTIME);
    server.unix_ms = unix_ms > 0 ? (uint64_t)unix_ms : 0;
    if (unix_ms / 1000 != date_second) {
        date_second = unix_ms / 1000;
        http_date(date_second, server.date);
    }
    if (server.hub != NULL)
        hub_set_clock(server.hub, server.mono_ms, server.unix_ms);
}

/* ==== Arrivals =============================================================================== */

/* False when one of them cannot be watched, for lack of memory; those that are already watched do
 * not mind. */
static bool watch_listeners(int operation)
{
    bool all = true;
    for (size_t i = 0; i < listener_count; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &listeners[i] };
        all &= epoll_ctl(server.epoll, operation, listeners[i].fd, &event) == 0 || errno == EEXIST;
    }
    return all;
}

/* No descriptor is left, and somebody knocks. A kept connection that is idle can go; without one,
 * he has to wait in the kernel: were the listeners still watched, the loop would spin. The shortage
 * may be the machine's and not ours, so after a while it is tried again in any case. */
static bool make_room(const struct listener *listener)
{
    static int64_t logged_ms = INT64_MIN / 2;
    struct pollfd knock = { .fd = listener->fd, .events = POLLIN };
    if (poll(&knock, 1, 0) <= 0)
        return false;
    if (client_close_idle())
        return true;
    if (server.mono_ms - logged_ms > LOG_PAUSE_MS) {
        logged_ms = server.mono_ms;
        log_line(LOG_WARN, "accept paused=1 clients=%u reason=\"no descriptor is left\"",
            server.clients);
    }
    watch_listeners(EPOLL_CTL_DEL);
    server.accept_paused = true;
    server.accept_again_ms = server.mono_ms + ACCEPT_AGAIN_MS;
    return false;
}

void server_resume_accepting(void)
{
    if (!server.accept_paused || server.draining)
        return;
    server.accept_paused = !watch_listeners(EPOLL_CTL_ADD);
    server.accept_again_ms = server.mono_ms + ACCEPT_AGAIN_MS;
}

/* Who may not come is closed without a word: an EventSource takes that for a lost connection, and
 * comes back, while any error would end it for good. */
static void welcome(int fd, const struct sockaddr *address)
{
    struct peer *peer;
    bool proxied;
    if (access_connect(address, &peer, &proxied))
        client_new(fd, peer, proxied);
    else
        close(fd);
}

static void accept_clients(const struct listener *listener, int most)
{
    while (most-- > 0) {
        struct sockaddr_storage address;
        socklen_t len = sizeof address;
        int fd =
            accept4(listener->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            welcome(fd, (struct sockaddr *)&address);
        else if (errno == EAGAIN)
            return;
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            if (!make_room(listener))
                return;
        /* any other error: that one gave up before we came; the next one may not have */
    }
}

/* ==== The end ================================================================================ */

static void start_drain(void)
{
    if (server.draining) { /* asked again: at once, then */
        drain_until_ms = server.mono_ms;
        return;
    }
    log_line(LOG_INFO, "drain streams=%u clients=%u", server.streams, server.clients);
    drain_until_ms = server.mono_ms + (int64_t)server.options.drain_ms;
    for (size_t i = 0; i < listener_count; i++) { /* who has knocked is let in */
        accept_clients(&listeners[i], ACCEPTS_LAST);
        listen_close(&listeners[i]);
    }
    server.draining = true;
    server.accept_paused = false;
    client_drain_all();
}

static void read_signals(void)
{
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo != SIGCHLD)
            start_drain();
        else if (server.journal != NULL)
            journal_reap(server.journal);
    }
}

/* ==== The loop =============================================================================== */

static void dispatch(const struct epoll_event *event)
{
    struct listener *listener = event->data.ptr;
    if (event->data.ptr == &signals)
        read_signals();
    else if (listener >= listeners && listener < listeners + LISTENERS_MAX) {
        if (!server.draining)
            accept_clients(listener, ACCEPTS_PER_TURN);
    } else
        client_ready(event->data.ptr, event->events);
}

/* How long to wait for sockets: until the next deadline, or not at all. */
static int wait_ms(void)
{
    const int64_t longest = 3600000;
    int64_t next = client_next_ms(), hub_next = hub_next_ms(server.hub);
    if (hub_next < next)
        next = hub_next;
    if (server.journal != NULL && journal_next_ms(server.journal) < next)
        next = journal_next_ms(server.journal);
    if (lease_next_ms() < next)
        next = lease_next_ms();
    if (server.draining && drain_until_ms < next)
        next = drain_until_ms;
    if (server.accept_paused && server.accept_again_ms < next)
        next = server.accept_again_ms;
    int64_t wait = next - server.mono_ms;
    return (int)(wait < 0 ? 0 : wait < longest ? wait : longest);
}

static void run(void)
{
    struct epoll_event events[EVENTS_PER_TURN];
    while (!server.draining || (server.clients > 0 && server.mono_ms < drain_until_ms)) {
        int count = epoll_wait(server.epoll, events, EVENTS_PER_TURN, wait_ms());
        read_clocks();
        for (int i = 0; i < count; i++)
            dispatch(&events[i]);
        hub_settle(server.hub);
        hub_tick(server.hub);
        if (server.journal != NULL)
            journal_tick(server.journal, server.mono_ms);
        hub_run(server.hub, FLUSHES_PER_TURN);
        client_expire();
        lease_tick();
        if (server.accept_paused && server.accept_again_ms <= server.mono_ms)
            server_resume_accepting();
        client_reap();
        if (server.scratch.capacity > SCRATCH_KEPT_BYTES)
            buffer_free(&server.scratch);
    }
}

/* ==== The start ============================================================================== */

__attribute__((noreturn)) static void fail(const char *what)
{
    print_line(STDERR_FILENO, "ssechat: %s: %s\n", what, strerror(errno));
    exit(EXIT_SYSTEM);
}

/* Raises the descriptor limit as far as it goes, and keeps a part of it from the streams. */
static void set_limits(void)
{
    struct rlimit limit;
    if (prlimit(0, RLIMIT_NOFILE, NULL, &limit) < 0)
        fail("the descriptor limit");
    limit.rlim_cur = limit.rlim_max;
    prlimit(0, RLIMIT_NOFILE, &limit, NULL);
    prlimit(0, RLIMIT_NOFILE, NULL, &limit);
    unsigned descriptors = limit.rlim_cur < 1u << 30 ? (unsigned)limit.rlim_cur : 1u << 30;
    unsigned reserve = descriptors / 32;
    if (reserve < RESERVED_DESCRIPTORS)
        reserve = RESERVED_DESCRIPTORS;
    server.max_streams = descriptors > 2 * reserve ? descriptors - reserve : descriptors / 2;
    if (server.options.max_streams > 0 && server.options.max_streams < server.max_streams)
        server.max_streams = (unsigned)server.options.max_streams;
    log_line(LOG_INFO, "limits descriptors=%u streams=%u", descriptors, server.max_streams);
}

/* Signals come through the loop like everything else. */
static void open_loop(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGCHLD, SIG_DFL); /* ignored by who started us, it would never come */
    signal(SIGPIPE, SIG_IGN); /* a client that is gone, and */
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow, are errors like any other */
    signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    server.epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = &signals };
    if (signals < 0 || server.epoll < 0 ||
        epoll_ctl(server.epoll, EPOLL_CTL_ADD, signals, &event) < 0)
        fail("epoll");
}

static void open_www(void)
{
    const char *folder = server.options.www;
    if (folder == NULL)
        return;
    server.www = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (server.www < 0) {
        print_line(STDERR_FILENO, "ssechat: --www %s: %s\n", folder, strerror(errno));
        exit(EXIT_SYSTEM);
    }
}

static void open_listeners(bool dry)
{
    const struct values *addresses = &server.options.listen;
    if (addresses->count > LISTENERS_MAX) {
        print_line(STDERR_FILENO, "ssechat: --listen: at most %d addresses\n", LISTENERS_MAX);
        exit(EXIT_USAGE);
    }
    for (size_t i = 0; i < addresses->count; i++)
        listeners[i] = listen_on(addresses->items[i].at, dry);
    listener_count = dry ? 0 : addresses->count;
}

/* From here on clients may come. */
static void announce_listeners(void)
{
    if (!watch_listeners(EPOLL_CTL_ADD))
        fail("epoll");
    for (size_t i = 0; i < listener_count; i++)
        listen_announce(&listeners[i]);
}

/* `ssechat token`: prints a token. */
static int print_token(int argc, char **argv)
{
    static struct token token; /* what a server makes of it */
    struct token_options o;
    struct token_key key;
    struct buffer out = { 0 };
    options_read_token(&o, argc, argv);
    const char *why = token_read_key(o.key, &key);
    if (why != NULL) {
        print_line(STDERR_FILENO, "ssechat: --key %s: %s\n", o.key, why);
        free(o.rooms.items);
        return EXIT_SYSTEM;
    }
    int64_t now = clock_ms(CLOCK_REALTIME) / 1000;
    token_make(&out, &key, span_of(o.sub != NULL ? o.sub : ""), o.rooms.items, o.rooms.count,
        o.publish, now, now + (int64_t)(o.ttl_ms / 1000));
    if (!out.failed && token_check(buffer_span(&out), &key, 1, now, &token) != TOKEN_GOOD)
        options_fail("--rooms", "a token has at most 64 rooms and 8192 bytes; '*' is all rooms");
    buffer_add(&out, SPAN("\n"));
    if (out.failed)
        fail("memory");
    if (write(STDOUT_FILENO, out.at, out.len) != (ssize_t)out.len)
        fail("standard output");
    buffer_free(&out);
    free(o.rooms.items);
    free(key.bytes);
    return 0;
}

int main(int argc, char **argv)
{
    static struct hub_settings settings;
    if (argc > 1 && strcmp(argv[1], "token") == 0)
        return print_token(argc - 1, argv + 1);
    struct options *o = &server.options;
    options_read(o, argc, argv);
    log_start(o->log_level);
    open_www();
    access_read_keys();
    if (o->check) {
        open_listeners(true);
        return 0;
    }
    for (int i = 0; i < DEADLINE_COUNT; i++)
        list_init(&server.deadlines[i]);
    list_init(&server.dead);
    peers_start();
    settings = (struct hub_settings) {
        .history = o->history,
        .max_rooms = (unsigned)o->max_rooms,
        .room_ttl_ms = (int64_t)o->room_ttl_ms,
        .allowed = o->rooms.items,
        .allowed_count = o->rooms.count,
        .store = journal_store,
        .serve = client_serve,
        .overrun = client_overrun,
    };
    open_loop();
    read_clocks();
    lease_start();
    server.hub = hub_new(&settings, server.mono_ms, server.unix_ms);
    if (server.hub == NULL)
        fail("memory");
    if (o->journal != NULL) {
        server.journal = journal_open(o->journal, o->sync, server.hub);
        hub_keep_in(server.hub, server.journal);
    }
    open_listeners(false);
    set_limits();
    announce_listeners();
    run();
    hub_settle(server.hub); /* what the last turn has taken in */
    client_close_all("drain");
    client_reap();
    if (server.journal != NULL)
        journal_close(server.journal);
    hub_free(server.hub);
    peers_free();
    buffer_free(&server.scratch);
    return 0;
}
