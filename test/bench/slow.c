/* slow.c - a benchmark of the server with a slow disk: what waits for the disk, and what does not.
 *
 *     slow-bench --folder DIR [--server build/disk/ssechat] [--runs 3] [--seconds 6]
 *
 * The server is a build with disk.c, whose syncs are reported late on demand: by 0, 20 and 100 ms.
 * Its journal is in the folder. A room has 1,000 streams; first one publisher, then 16 post to it.
 * A publisher has one POST in flight; after its 201 it pauses for a random time, so that POSTs come
 * at any moment of a sync. The pauses are so long that the server has about as much to do with each
 * delay, and little enough that it is not the processor that the others wait for. Meanwhile this
 * program measures
 *
 *     GET /messages?limit=1, from the request to the answer
 *     the opening of a stream in another room, from the connect to `ready`
 *     a POST, from the request to the 201
 *     a delivery, from the request of a POST to the message in a stream
 *     the longest time between two heartbeats in any of 50 streams of a quiet room
 *
 * The requests come by the clock, at random moments, and do not wait for the answers before them: a
 * load that waits for a slow server hardly measures its pauses (coordinated omission). Answers are
 * read before the 1,000 streams, because an answer would otherwise seem late only because this
 * program is.
 *
 * It prints, for each figure, the median of the runs, the least and the greatest, and whether it
 * meets its goal (at_goal). A goal counts in syncs: disk.c measures how long they take without
 * their delays, while the rest is measured. */

#include "figures.h"

#include "../tools/disk.h"

#include <getopt.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/resource.h>

enum {
    CROWD = 1000, /* the streams that get the messages */
    QUIET = 50,   /* the streams that get heartbeats */
    GETS = 64,    /* connections; a GET is left out if the next connection waits for an answer */
    OPENINGS = 64,
    GET_US = 10000, /* the mean time between two GETs */
    OPENING_US = 20000,
    HEARTBEAT_US = 1000000,
    SETTLE_US = 1500000, /* for presence events, after the streams have been opened */
    WARM_US = 500000,
    EVENTS_PER_TURN = 32, /* few, so that an answer does not wait long for its timestamp */
    READ_BYTES = 1 << 16,
    MESSAGES_MAX = 1 << 16,
    NUMBER_DIGITS = 8,
    RUNS_MAX = 20,
};

/* The delays, and the share of --seconds that each is measured: with a long one there are few
 * POSTs. */
static const struct {
    int64_t us;
    double share;
} delays[] = { { 0, 0.5 }, { 20000, 1 }, { 100000, 1.75 } };
/* How many publishers, and the mean of their pauses: about 50 to 80 POSTs per second. */
static const struct {
    unsigned count;
    int64_t pause_us;
} loads[] = { { 1, 20000 }, { 16, 200000 } };
enum { DELAYS = 3, LOADS = 2, PUBLISHERS_MAX = 16 };

/* The figures, in the order of the table: percentiles, a maximum and a mean. */
enum figure { GET, OPENING, POST, POST_P99, DELIVERY, HEARTBEAT, SYNC, FIGURES };

static const char *const figure_names[] = { "GET /messages?limit=1", "opening a stream",
    "POST to 201", "the same, p99", "POST to delivery", "longest heartbeat gap",
    "mean sync less delay" };

/* ==== Samples ================================================================================ */

static struct samples samples[FIGURES]; /* from POST_P99 on, only DELIVERY has its own */
static int64_t heartbeat_gap_us;        /* the longest so far */

/* Returns a percentile of a figure's samples. */
static double percentile(enum figure figure, double part)
{
    if (samples[figure].count == 0)
        fail("%s was not measured", figure_names[figure]);
    return sample_ms(&samples[figure], part);
}

/* ==== Connections ============================================================================ */

/* A stream that stays open. A message contains a '~' and its number in eight hex digits, so that
 * messages are counted without parsing. */
struct stream {
    int fd;
    bool is_ready;
    uint8_t matched;      /* bytes of the awaited text that have matched so far */
    uint8_t digits;       /* digits of `number` still to read */
    uint32_t number;      /* of the message that is being read */
    int64_t heartbeat_us; /* the last heartbeat, or the beginning of the measurement */
};

/* A connection whose answers are timed. */
struct client {
    int fd; /* an opening has one only while it is busy */
    enum { PUBLISHER, GETTER, OPENER } kind;
    bool busy, connected;
    uint8_t matched;
    int64_t begin_us, due_us; /* when its request was sent; when a publisher posts again */
    size_t have;
    char answer[4096];
};

static struct stream streams[CROWD + QUIET];
static struct client publishers[PUBLISHERS_MAX], getters[GETS], openers[OPENINGS];
static unsigned publisher_count, ready_count, busy_count, next_getter;
static int64_t posted_us[MESSAGES_MAX], get_due_us, opening_due_us, pause_us;
static uint32_t posted_count;
static uint64_t delivered_count, chance = 1;
static int port, urgent, epoll; /* `urgent` is the queue of the clients, `epoll` that of all */
static bool is_ending;          /* nothing new is begun */

/* Adds a descriptor to a queue, or changes its events. */
static void watch(int queue, int operation, int fd, uint32_t events, void *data)
{
    struct epoll_event event = { .events = events, .data.ptr = data };
    if (epoll_ctl(queue, operation, fd, &event) < 0)
        fail("epoll: %s", strerror(errno));
}

/* Returns a random time from 0 to twice the mean. */
static int64_t random_us(int64_t mean_us)
{
    return below(&chance, (unsigned)(2 * mean_us));
}

/* Returns whether the text has come to its end in these bytes. It may begin in earlier ones. */
static bool match(uint8_t *matched, const char *text, const char *at, const char *end)
{
    for (; at < end; at++) {
        *matched = *at == text[*matched] ? (uint8_t)(*matched + 1) : *at == text[0];
        if (text[*matched] == '\0') {
            *matched = 0;
            return true;
        }
    }
    return false;
}

/* ==== Streams ================================================================================ */

/* Returns the value of a hex digit, or -1. */
static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Times the messages in these bytes. A message may be cut between two reads. */
static void take_messages(struct stream *s, const char *at, const char *end, int64_t now)
{
    for (;;) {
        if (s->digits == 0) {
            at = memchr(at, '~', (size_t)(end - at));
            if (at == NULL)
                return;
            at++;
            s->digits = NUMBER_DIGITS;
            s->number = 0;
        }
        for (; s->digits > 0 && at < end; s->digits--, at++)
            s->number = s->number << 4 | (uint32_t)hex_value(*at);
        if (s->digits > 0)
            return;
        if (s->number >= posted_count)
            fail("a stream got a message that was not posted");
        add_sample(&samples[DELIVERY], now - posted_us[s->number]);
        delivered_count++;
    }
}

/* Measures the time since the last heartbeat, or since the measurement began. */
static void end_gap(struct stream *s, int64_t now)
{
    if (now - s->heartbeat_us > heartbeat_gap_us)
        heartbeat_gap_us = now - s->heartbeat_us;
    s->heartbeat_us = now;
}

/* Reads once from a stream. */
static void read_stream(struct stream *s)
{
    static char bytes[READ_BYTES];
    ssize_t n = recv(s->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    int64_t now = now_us();
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        fail("the server closed a stream");
    if (!s->is_ready) {
        s->is_ready = match(&s->matched, "event: ready", bytes, bytes + n);
        ready_count += s->is_ready;
    } else if (s < streams + CROWD) {
        take_messages(s, bytes, bytes + n, now);
    } else if (match(&s->matched, "event: heartbeat", bytes, bytes + n)) {
        end_gap(s, now);
    }
}

/* ==== Clients ================================================================================ */

/* Sends a request, whose answer is awaited. */
static void ask(struct client *c, const char *request)
{
    c->begin_us = now_us();
    c->have = 0;
    c->busy = true;
    busy_count++;
    if (!send_all(c->fd, request, strlen(request)))
        fail("the server closed a connection before its request");
}

/* Posts the next message. */
static void post(struct client *c)
{
    char body[256], request[1024];
    if (posted_count == MESSAGES_MAX)
        fail("too many messages");
    int len = snprintf(body, sizeof body,
        "{\"room\":\"crowd\",\"name\":\"bench\",\"message\":\"~%08x "
        "...............................\"}",
        posted_count);
    snprintf(request, sizeof request,
        "POST /messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        "Content-Length: %d\r\n\r\n%s",
        len, body);
    posted_us[posted_count++] = now_us();
    ask(c, request);
}

/* Begins to open a stream. The request is sent when the socket is writable. */
static void begin_opening(struct client *c)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    struct linger reset = { .l_onoff = 1 }; /* no TIME_WAIT */
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->begin_us = now_us();
    c->busy = true;
    c->connected = false;
    c->matched = 0;
    busy_count++;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    watch(urgent, EPOLL_CTL_ADD, c->fd, EPOLLOUT, c);
}

/* Takes what an opening stream has received: bytes up to `ready`. */
static void continue_opening(struct client *c)
{
    static const char request[] = "GET /events?room=door HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    if (!c->connected) {
        c->connected = true;
        if (!send_all(c->fd, request, sizeof request - 1))
            fail("the server closed a connection before its request");
        watch(urgent, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
        return;
    }
    ssize_t n = recv(c->fd, c->answer, sizeof c->answer, 0);
    if (n <= 0)
        fail("the server closed a stream before it was ready");
    if (!match(&c->matched, "event: ready", c->answer, c->answer + n))
        return;
    add_sample(&samples[OPENING], now_us() - c->begin_us);
    close(c->fd);
    c->busy = false;
    busy_count--;
}

/* Reads an answer. Any status but 200 and 201 ends the benchmark. */
static void read_answer(struct client *c)
{
    ssize_t n = recv(c->fd, c->answer + c->have, sizeof c->answer - 1 - c->have, 0);
    if (n <= 0)
        fail("the server closed a connection before its answer");
    c->have += (size_t)n;
    c->answer[c->have] = '\0';
    const char *end = strstr(c->answer, "\r\n\r\n");
    const char *length = strstr(c->answer, "\r\nContent-Length: ");
    if (end == NULL || length == NULL)
        return;
    if (strncmp(c->answer, "HTTP/1.1 20", 11) != 0)
        fail("expected a 200 or a 201, got: %s", c->answer);
    if (c->have < (size_t)(end + 4 - c->answer) + strtoul(length + 18, NULL, 10))
        return;
    int64_t now = now_us();
    add_sample(&samples[c->kind == PUBLISHER ? POST : GET], now - c->begin_us);
    c->due_us = now + random_us(pause_us);
    c->busy = false;
    busy_count--;
}

/* ==== The loop =============================================================================== */

/* Waits for events of a queue. Returns how many there were. */
static int serve(int queue, int wait_ms)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int count = epoll_wait(queue, events, EVENTS_PER_TURN, wait_ms);
    for (int i = 0; i < count; i++) {
        struct client *c = events[i].data.ptr;
        if (c == NULL)
            continue; /* the queue of clients, which the next turn reads */
        if (queue == epoll)
            read_stream(events[i].data.ptr);
        else if (c->kind == OPENER)
            continue_opening(c);
        else
            read_answer(c);
    }
    return count;
}

/* Begins what is due. Returns when the next is. */
static int64_t begin_due(int64_t now)
{
    static const char get[] =
        "GET /messages?room=crowd&limit=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    int64_t next = INT64_MAX;
    for (; get_due_us <= now; get_due_us += random_us(GET_US), next_getter++)
        if (!getters[next_getter % GETS].busy)
            ask(&getters[next_getter % GETS], get);
    for (; opening_due_us <= now; opening_due_us += random_us(OPENING_US)) {
        struct client *c = openers;
        while (c < openers + OPENINGS && c->busy)
            c++;
        if (c < openers + OPENINGS)
            begin_opening(c);
    }
    next = get_due_us < opening_due_us ? get_due_us : opening_due_us;
    for (unsigned i = 0; i < publisher_count; i++) {
        struct client *c = &publishers[i];
        if (!c->busy && c->due_us <= now)
            post(c);
        if (!c->busy && c->due_us < next)
            next = c->due_us;
    }
    return next;
}

/* Runs the load for this long. */
static void drive(int64_t us)
{
    int64_t now = now_us(), end_us = now + us;
    for (; now < end_us; now = now_us()) {
        int64_t next = is_ending ? end_us : begin_due(now);
        int64_t wait_us = (next < end_us ? next : end_us) - now;
        if (serve(urgent, 0) == 0)
            serve(epoll, wait_us > 0 ? (int)((wait_us + 999) / 1000) : 0);
    }
}

/* Waits until all requests are answered and all messages are delivered. */
static void finish(void)
{
    int64_t end_us = now_us() + 1000000 * (int64_t)TOOL_ANSWER_SECONDS;
    is_ending = true;
    while (busy_count > 0 || delivered_count < (uint64_t)posted_count * CROWD) {
        if (now_us() > end_us)
            fail("%u requests have no answer; %llu of %llu messages were delivered", busy_count,
                (unsigned long long)delivered_count, (unsigned long long)posted_count * CROWD);
        drive(1000);
    }
    is_ending = false;
}

/* ==== A run ================================================================================== */

static char folder[4000];
static struct disk *disk;
static double figures[LOADS][DELAYS][FIGURES][RUNS_MAX];

/* Starts the server with its control file, which the environment names. */
static pid_t start(const char *server)
{
    char journal[4096];
    snprintf(journal, sizeof journal, "%s/journal", folder);
    const char *const arguments[] = { server, "--max-streams-per-ip", "0", "--post-rate", "0",
        "--heartbeat", "1s", "--listen", "127.0.0.1:0", "--journal", journal, NULL };
    return start_server(arguments, &port);
}

/* Opens a connection, and watches it. */
static int connect_now(int queue, void *data)
{
    int fd = connect_to(port);
    if (fd < 0)
        fail("connect: %s", strerror(errno));
    watch(queue, EPOLL_CTL_ADD, fd, EPOLLIN, data);
    return fd;
}

/* Opens all connections that stay, but not the publishers', because the server closes a connection
 * without a request. Waits until the streams have had their presence events. */
static void connect_all(void)
{
    urgent = epoll_create1(EPOLL_CLOEXEC);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, EPOLL_CTL_ADD, urgent, EPOLLIN, NULL); /* an answer also ends the wait */
    memset(streams, 0, sizeof streams);
    ready_count = publisher_count = 0;
    is_ending = true;
    for (int i = 0; i < CROWD + QUIET; i++) {
        char request[256];
        streams[i].fd = connect_now(epoll, &streams[i]);
        snprintf(request, sizeof request, "GET /events?room=%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            i < CROWD ? "crowd" : "quiet");
        send_all(streams[i].fd, request, strlen(request));
        drive(100);
    }
    for (int64_t end_us = now_us() + 1000000 * (int64_t)TOOL_ANSWER_SECONDS;
         ready_count < CROWD + QUIET; drive(1000))
        if (now_us() > end_us)
            fail("only %u streams are ready", ready_count);
    drive(SETTLE_US);
    for (int i = 0; i < GETS; i++)
        getters[i] = (struct client) { .fd = connect_now(urgent, &getters[i]), .kind = GETTER };
    for (int i = 0; i < OPENINGS; i++)
        openers[i] = (struct client) { .fd = -1, .kind = OPENER };
    for (int i = 0; i < PUBLISHERS_MAX; i++)
        publishers[i] = (struct client) { .fd = -1, .kind = PUBLISHER };
}

/* Closes all connections of a run. */
static void close_all(void)
{
    for (int i = 0; i < CROWD + QUIET; i++)
        close(streams[i].fd);
    for (int i = 0; i < GETS; i++)
        close(getters[i].fd);
    for (int i = 0; i < PUBLISHERS_MAX; i++)
        close(publishers[i].fd);
    close(urgent);
    close(epoll);
}

/* Forgets what was measured so far. */
static void forget(void)
{
    for (int i = 0; i < FIGURES; i++)
        samples[i].count = 0;
    for (int i = CROWD; i < CROWD + QUIET; i++)
        streams[i].heartbeat_us = now_us();
    heartbeat_gap_us = 0;
    disk->sync_us = disk->sync.calls = 0;
}

/* Measures all figures with one delay and one number of publishers. */
static void measure(int load, int delay, int run, double seconds)
{
    double(*f)[RUNS_MAX] = figures[load][delay];
    int64_t now = now_us();
    disk->sync_delay_us = delays[delay].us;
    publisher_count = loads[load].count;
    pause_us = loads[load].pause_us;
    get_due_us = opening_due_us = now;
    for (unsigned i = 0; i < publisher_count; i++) {
        struct client *c = &publishers[i];
        if (c->fd < 0)
            c->fd = connect_now(urgent, c);
        c->due_us = now + random_us(pause_us);
    }
    drive(WARM_US);
    forget();
    drive((int64_t)(seconds * delays[delay].share * 1e6));
    for (int i = CROWD; i < CROWD + QUIET; i++)
        end_gap(&streams[i], now_us());
    f[HEARTBEAT][run] = (double)heartbeat_gap_us / 1000;
    finish();
    f[GET][run] = percentile(GET, 0.5);
    f[OPENING][run] = percentile(OPENING, 0.5);
    f[POST][run] = percentile(POST, 0.5);
    f[POST_P99][run] = percentile(POST, 0.99);
    f[DELIVERY][run] = percentile(DELIVERY, 0.5);
    if (disk->sync.calls == 0)
        fail("the server does not use the control file; it must be a build with disk.c");
    f[SYNC][run] = (double)disk->sync_us / 1000 / (double)disk->sync.calls;
    fprintf(stderr, "run %d, %2u publishers, %3lld ms: %zu POSTs, %zu GETs, %zu streams opened\n",
        run + 1, publisher_count, (long long)delays[delay].us / 1000, samples[POST].count,
        samples[GET].count, samples[OPENING].count);
}

/* Runs one server through all delays and numbers of publishers. */
static void run_once(const char *server, int run, double seconds)
{
    posted_count = 0;
    delivered_count = 0;
    disk->sync_delay_us = 0;
    pid_t pid = start(server);
    connect_all();
    is_ending = false;
    for (int load = 0; load < LOADS; load++)
        for (int delay = 0; delay < DELAYS; delay++)
            measure(load, delay, run, seconds);
    disk->sync_delay_us = 0;
    close_all();
    end_server(pid);
}

/* ==== The table ============================================================================== */

static int runs = 3;

/* Returns whether a figure meets its goal at a delay: "yes" or "no", or "" if it has none. `base`
 * is the same figure without a delay, and `sync` what a delayed sync takes. */
static const char *at_goal(enum figure figure, double value, double base, double sync)
{
    bool good = true;
    switch (figure) {
    case GET:
    case OPENING:
        good = value <= 1.2 * base || value <= base + 1;
        break;
    case POST:
        good = value <= 2 * sync;
        break;
    case DELIVERY:
        good = value <= base + 1.6 * sync;
        break;
    case HEARTBEAT:
        good = value <= 1.1 * HEARTBEAT_US / 1000;
        break;
    default:
        return "";
    }
    return good ? "yes" : "no";
}

/* Prints a figure at all delays. */
static void print_row(int load, enum figure figure)
{
    double base = median(figures[load][0][figure], runs);
    printf("%-22s %10u", figure_names[figure], loads[load].count);
    for (int delay = 0; delay < DELAYS; delay++) {
        double *values = figures[load][delay][figure], middle = median(values, runs);
        double sync = (double)delays[delay].us / 1000 + median(figures[load][delay][SYNC], runs);
        char spread[64];
        snprintf(spread, sizeof spread, "(%.2f..%.2f)", values[0], values[runs - 1]);
        printf(" %9.2f %-18s %-3s", middle, spread,
            delay > 0 ? at_goal(figure, middle, base, sync) : "");
    }
    putchar('\n');
}

/* Prints all figures and their goals. */
static void print_table(void)
{
    printf(
        "milliseconds: the median of %d runs (min..max), and whether the goal is met\n\n%-22s %10s",
        runs, "", "publishers");
    for (int delay = 0; delay < DELAYS; delay++)
        printf(" %6lld ms %22s", (long long)delays[delay].us / 1000, "");
    putchar('\n');
    for (int load = 0; load < LOADS; load++)
        for (enum figure figure = 0; figure < FIGURES; figure++)
            print_row(load, figure);
    puts(
        "\nGoals: GET and opening cost at most 1.2 times, or 1 ms more than, what they cost "
        "without a\n"
        "delay; a POST takes at most 2 syncs with their delays; a delivery takes at most 1.6 such\n"
        "syncs longer than without a delay; heartbeats come every second, at most 1.1 s apart.");
}

/* ==== Main =================================================================================== */

/* Makes what all runs need: memory, descriptors, the folder and the control file. */
static void prepare(const char *parent)
{
    char control[4096];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < FIGURES; i++)
        make_samples(&samples[i]);
    make_folder(parent, "slow-bench", folder, sizeof folder);
    snprintf(control, sizeof control, "%s/control", folder);
    disk = disk_map(control, true);
    if (disk == NULL || setenv("DISK", control, 1) < 0)
        fail("%s: %s", control, strerror(errno));
}

/* Reads the options, and runs the benchmark. */
int main(int argc, char **argv)
{
    static const struct option options[] = { { "server", 1, NULL, 's' }, { "folder", 1, NULL, 'f' },
        { "runs", 1, NULL, 'r' }, { "seconds", 1, NULL, 't' }, { 0 } };
    const char *server = "build/disk/ssechat", *parent = NULL;
    double seconds = 6;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 's')
            server = optarg;
        else if (c == 'f')
            parent = optarg;
        else if (c == 'r')
            runs = atoi(optarg);
        else if (c == 't')
            seconds = atof(optarg);
        else
            runs = 0; /* a mistake */
    }
    if (parent == NULL || seconds <= 0 || runs < 1 || runs > RUNS_MAX) {
        fputs("usage: slow-bench --folder DIR [--server PATH] [--runs N] [--seconds S]\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    prepare(parent);
    for (int run = 0; run < runs; run++)
        run_once(server, run, seconds);
    print_table();
    remove_folder(folder);
    return 0;
}
