/* readers.c - part 3: twenty large messages at once, for thousands of readers of one room.
 *
 * A rested address may send that many requests. The readers are addresses with 60 streams each, in
 * one process that reads as fast as it can, without copying; a stream that the server closes would
 * have been cut for nothing. Meanwhile a bystander asks for /healthz every millisecond: a GET that
 * arrives while the server is in a turn waits for the rest of it, so that the longest answer is an
 * upper bound for the longest turn. */

#include "test/bench/abuse/abuse.h"

#include <sys/epoll.h>

enum {
    READERS_MAX = 16000,
    READERS_OF_ADDRESS = 60,
    LARGE_POSTS = 20,
    TURN_MS = 20, /* the goal */
    PROBE_US = 1000,
    EVENTS_PER_TURN = 64,
    READ_BYTES = 4096,
    QUIET_US = 500000,     /* without a byte, until all is delivered */
    LONGEST_US = 30000000, /* the longest wait for that */
    SETTLE_MS = 1500,      /* for presence, and 1 ms for each reader */
    READERS_NET = 200,
    PROBER_NET = 210,
    POSTER_NET = 211,
};

/* The readers' process. */
struct crowd {
    unsigned count;
    int port;
    volatile unsigned ready, closed;
    volatile uint64_t bytes;
    volatile bool stop;
};

struct reader {
    int fd;
    bool ready;
};

static struct reader readers[READERS_MAX];

/* ==== The readers ============================================================================ */

/* Opens one stream. */
static void open_reader(struct crowd *crowd, unsigned i, int epoll)
{
    static const char request[] = "GET /events?room=crowd HTTP/1.1\r\nHost: a\r\n\r\n";
    unsigned address = machine_address(READERS_NET, 1 + i / READERS_OF_ADDRESS);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = &readers[i] };
    readers[i].fd = machine_connect(address, crowd->port);
    struct pollfd connected = { .fd = readers[i].fd, .events = POLLOUT };
    poll(&connected, 1, 1000 * TOOL_ANSWER_SECONDS);
    if (!send_all(readers[i].fd, request, sizeof request - 1) ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, readers[i].fd, &event) < 0)
        fail("a reader cannot connect: %s", strerror(errno));
}

/* Reads once: copies only what comes before `ready`. */
static void read_reader(struct crowd *crowd, struct reader *r)
{
    char bytes[READ_BYTES];
    ssize_t n =
        r->ready ? recv(r->fd, NULL, 1 << 20, MSG_TRUNC) : recv(r->fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close(r->fd);
        r->fd = -1;
        crowd->closed++;
        return;
    }
    crowd->bytes += (uint64_t)n;
    if (!r->ready && memmem(bytes, (size_t)n, "event: ready", 12) != NULL) {
        r->ready = true;
        crowd->ready++;
    }
}

static void read_all(void *with)
{
    struct crowd *crowd = with;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned opened = 0; !crowd->stop;) {
        struct epoll_event events[EVENTS_PER_TURN];
        if (opened < crowd->count && opened < crowd->ready + EVENTS_PER_TURN)
            open_reader(crowd, opened++, epoll);
        int count = epoll_wait(epoll, events, EVENTS_PER_TURN, opened < crowd->count ? 0 : 1);
        for (int i = 0; i < count; i++)
            read_reader(crowd, events[i].data.ptr);
    }
    for (unsigned i = 0; i < crowd->count; i++)
        if (readers[i].fd >= 0)
            close(readers[i].fd);
}

/* ==== Measuring ============================================================================== */

struct result {
    double most[RUNS_MAX], p99[RUNS_MAX], before[RUNS_MAX];
    unsigned closed, refused, accepted, put_off; /* of all runs; the last two count POSTs */
    double megabytes;
};

static struct result result;

/* Sends all large messages at once, each over its own connection. Counts the statuses. */
static void post_all(int port)
{
    static const struct request form = { .target = "POST /messages",
        .body = "{\"room\":\"crowd\",\"event\":\"e\",\"data\":\"<64000:z>\"}" };
    struct line lines[LARGE_POSTS];
    struct text request = { 0 };
    unsigned busy = LARGE_POSTS;
    text_request(&request, &form, 0);
    for (int i = 0; i < LARGE_POSTS; i++) {
        lines[i] = (struct line) { .fd = -1, .address = machine_address(POSTER_NET, 1) };
        line_begin(&lines[i], port, &request);
    }
    while (busy > 0) {
        struct pollfd ready[LARGE_POSTS];
        for (int i = 0; i < LARGE_POSTS; i++) {
            ready[i] = (struct pollfd) { .fd = -1 };
            if (lines[i].busy)
                ready[i] = (struct pollfd) { .fd = lines[i].fd, .events = line_events(&lines[i]) };
        }
        if (poll(ready, LARGE_POSTS, 1000 * TOOL_ANSWER_SECONDS) <= 0)
            fail("%u large POSTs have no answer", busy);
        for (int i = 0; i < LARGE_POSTS; i++) {
            if (ready[i].revents == 0 || !line_move(&lines[i], ready[i].revents))
                continue;
            busy--;
            result.accepted += lines[i].status == 201;
            result.put_off += lines[i].status == 429;
            line_close(&lines[i]);
            free(lines[i].answer.at);
        }
    }
    free(request.at);
}

/* Waits until the readers have got nothing more for a while. */
static void await_quiet(const struct crowd *crowd)
{
    uint64_t seen = 0;
    for (int64_t begin = now_us(), quiet = begin; now_us() < begin + LONGEST_US; sleep_us(10000)) {
        if (crowd->bytes != seen)
            quiet = now_us();
        seen = crowd->bytes;
        if (now_us() > quiet + QUIET_US)
            return;
    }
}

/* Starts a bystander that only asks for /healthz. */
static struct bystander *start_prober(int port, pid_t *pid)
{
    struct bystander *b = machine_share(sizeof *b);
    *b = (struct bystander) { .net = PROBER_NET, .kept_us = PROBE_US, .port = port };
    *pid = machine_fork(bystander_work, b, true);
    b->measure = true;
    return b;
}

static void measure(const struct plan *plan, int run)
{
    static const char *const no_options[] = { NULL };
    struct crowd *crowd = machine_share(sizeof *crowd);
    int port;
    pid_t prober, server = machine_start(no_options, &port);
    *crowd = (struct crowd) { .count = plan->readers, .port = port };
    pid_t pid = machine_fork(read_all, crowd, false);
    for (int64_t end_us = now_us() + LONGEST_US; crowd->ready < crowd->count; sleep_us(1000))
        if (now_us() > end_us || crowd->closed > 0)
            fail("only %u of %u readers are ready", crowd->ready, crowd->count);
    sleep_us(1000 * (SETTLE_MS + (int64_t)crowd->count));
    struct bystander *b = start_prober(port, &prober);
    sleep_us(QUIET_US);
    b->stop = true;
    machine_join(prober);
    result.before[run] = b->sights[KEPT].most;
    uint64_t bytes = crowd->bytes;
    b = start_prober(port, &prober);
    post_all(port);
    await_quiet(crowd);
    b->stop = true;
    machine_join(prober);
    result.most[run] = b->sights[KEPT].most;
    result.p99[run] = b->sights[KEPT].p99;
    result.refused += b->refused;
    result.megabytes += (double)(crowd->bytes - bytes) / 1e6;
    result.closed += crowd->closed;
    crowd->stop = true;
    machine_join(pid);
    end_server(server);
    fprintf(stderr, "run %d, %u readers: longest GET %.1f ms (before %.1f), %u closed\n", run + 1,
        crowd->count, b->sights[KEPT].most, result.before[run], result.closed);
}

bool readers_run(const struct plan *plan)
{
    if (plan->readers > READERS_MAX)
        fail("at most %d readers", READERS_MAX);
    for (int run = 0; run < plan->runs; run++)
        measure(plan, run);
    double most = median(result.most, plan->runs);
    printf(
        "\n## %u readers and %d large POSTs at once\n\n"
        "Of %d POSTs of 64,000 bytes, %u were accepted and %u got 429; the readers got %.0f MB.\n\n"
        "- no reader is cut: %u of %u: %s\n"
        "- every GET /healthz is answered: %u were not: %s\n"
        "- the longest turn, at most the longest answer to a GET /healthz every millisecond,\n"
        "  under %d ms: %.1f ms (p99 %.1f ms; %.1f ms before the POSTs): %s\n",
        plan->readers, LARGE_POSTS, LARGE_POSTS * plan->runs, result.accepted, result.put_off,
        result.megabytes, result.closed, plan->readers * (unsigned)plan->runs,
        result.closed == 0 ? "pass" : "**MISS**", result.refused,
        result.refused == 0 ? "pass" : "**MISS**", TURN_MS, most, median(result.p99, plan->runs),
        median(result.before, plan->runs), most < TURN_MS ? "pass" : "**MISS**");
    return result.closed + result.refused == 0;
}
