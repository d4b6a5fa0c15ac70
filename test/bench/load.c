/* load.c - puts a server under load and measures its cost. Each call does one kind of work:
 *
 *     load WORK --port N [--pid PID] [options]
 *
 *     open      opens --streams streams, with at most --at-once of them pending
 *     deliver   the same, then sends --messages messages to all streams, with --window messages in
 *               flight: when all streams have one of them, the next one is posted. Every stream
 *               must get every message once. Measuring begins when each stream has been read --warm
 *               times on average
 *     probe     the same with one message every --every milliseconds; meanwhile it posts to a room
 *               without streams (--quiet), --rate times per second even if no answers come, and
 *               measures the time to each answer from when its POST was due
 *     idle      opens the streams, and measures --for milliseconds without work
 *     post      posts for --for milliseconds from --connections connections, each of which posts
 *               again as soon as it has its answer
 *     get       the same with GET requests of --path
 *     start     starts `-- PROGRAM ARGUMENTS` --times times, and measures the time until it has
 *               answered a GET of --path
 *
 * load prints one line of results, as NAME=VALUE. If --batches is given, `deliver`, `post` and
 * `get` repeat their work for each line of standard input, and print a line each time. So two
 * servers can be measured in turns of less than a second, which is fair even on a busy machine.
 *
 * load measures two different things. The cost is the server's CPU time in nanoseconds, as the
 * kernel counts it, and its memory that no other process shares (RssAnon), in bytes. --pid may be
 * repeated for a server of several processes. The latency is measured by load itself, and means
 * something only while load is faster than the server. So requests are formatted once, streams are
 * searched instead of parsed, and answers are read before streams. `probe` posts by the clock and
 * does not wait for the last answer, because a load that waits for a slow server sends nothing
 * during its pauses, and so hardly measures them (coordinated omission).
 *
 * A message contains a '~' and its number in eight hex digits, so that a reader can count messages
 * without parsing, in whatever format a server sends them. */

#include "../tools/tool.h"

#include <getopt.h>
#include <sys/epoll.h>
#include <sys/resource.h>

enum {
    PIDS_MAX = 4,
    MESSAGES_MAX = 1 << 20,
    POSTERS_MAX = 256,
    EVENTS_PER_TURN = 32, /* few, so that an answer does not wait long for its timestamp */
    READ_BYTES = 1 << 18,
    ANSWER_BYTES = 1 << 17,
    NUMBER_DIGITS = 8,
    STALL_SECONDS = 30, /* without any event, before the run fails */
};

/* ==== Options ================================================================================ */

/* The defaults. The names of the options are in main, their meanings above. */

static struct {
    const char *subscribe, *publish, *quiet, *path, *ready;
    unsigned long port, streams, at_once, messages, window, every_ms, rate, connections, ms, times,
        batches, warm;
    pid_t pids[PIDS_MAX];
    int pid_count;
} o = {
    .subscribe = "/events?room=bench",
    .publish = "/messages",
    .quiet = "/messages",
    .path = "/",
    .ready = "event: ready",
    .streams = 1000,
    .at_once = 64,
    .messages = 100,
    .window = 1,
    .warm = 1,
    .every_ms = 100,
    .rate = 200,
    .connections = 16,
    .ms = 3000,
    .times = 20,
};

/* ==== What a server costs ==================================================================== */

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Returns the CPU time of all --pid processes so far, including all their threads. */
static int64_t cpu_ns(void)
{
    int64_t sum = 0;
    for (int i = 0; i < o.pid_count; i++) {
        clockid_t clock;
        struct timespec time;
        if (clock_getcpuclockid(o.pids[i], &clock) != 0 || clock_gettime(clock, &time) < 0)
            fail("the CPU time of process %d cannot be read", (int)o.pids[i]);
        sum += (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
    }
    return sum;
}

/* Returns the current anonymous memory of all --pid processes. The kernel counts it in pages. */
static int64_t memory_bytes(void)
{
    int64_t sum = 0;
    for (int i = 0; i < o.pid_count; i++) {
        char path[64], line[256];
        snprintf(path, sizeof path, "/proc/%d/status", (int)o.pids[i]);
        FILE *file = fopen(path, "re");
        long long kilobytes;
        if (file == NULL)
            fail("%s: %s", path, strerror(errno));
        while (fgets(line, sizeof line, file) != NULL)
            if (sscanf(line, "RssAnon: %lld kB", &kilobytes) == 1)
                sum += kilobytes * 1024;
        fclose(file);
    }
    return sum;
}

/* ==== Samples of time ======================================================================== */

/* A histogram whose steps are 1/32 of the value: 3 % is precise enough for a percentile. */
enum { STEP_BITS = 5, STEPS = 1 << STEP_BITS, SAMPLE_BUCKETS = 64 * STEPS };

struct samples {
    uint64_t count, buckets[SAMPLE_BUCKETS];
    int64_t most;
};

static struct samples deliveries, answers;

/* Counts a value in its step, which is its power of two and the next five bits. */
static void add_sample(struct samples *s, int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    int shift = 63 - __builtin_clzll(value | STEPS) - STEP_BITS;
    s->buckets[(uint64_t)shift * STEPS + (value >> shift)]++;
    s->count++;
    if (ns > s->most)
        s->most = ns;
}

/* Returns a percentile in microseconds: the upper end of its step, so at most 3 % too high. */
static double percentile(const struct samples *s, double percent)
{
    uint64_t rank = (uint64_t)((double)s->count * percent / 100), seen = 0;
    for (unsigned i = 0; i < SAMPLE_BUCKETS; i++) {
        seen += s->buckets[i];
        if (s->buckets[i] > 0 && seen > rank) {
            unsigned shift = i < STEPS ? 0 : i / STEPS - 1;
            return (double)((uint64_t)(i - shift * STEPS + 1) << shift) / 1000;
        }
    }
    return (double)s->most / 1000;
}

static void print_samples(const char *name, const struct samples *s)
{
    if (s->count > 0)
        printf(" %s_p50_us=%.0f %s_p99_us=%.0f %s_max_us=%.0f", name, percentile(s, 50), name,
            percentile(s, 99), name, (double)s->most / 1000);
}

/* ==== Connections ============================================================================ */

enum state { CONNECTING, OPENING, OPEN };

/* Kept small, because there may be tens of thousands, and the load's own memory traffic adds to the
 * cost of reading them. */
struct stream {
    int fd;
    uint32_t count;  /* messages received */
    uint32_t number; /* the number of the message that is being read */
    uint8_t digits;  /* digits of `number` still to read */
    uint8_t state;
    uint8_t matched; /* bytes of --ready that have matched so far */
};

/* A connection for requests, one at a time. */
struct poster {
    int fd;
    bool busy;      /* it waits for its answer */
    int64_t due_ns; /* when its request was sent, or should have been */
    size_t len, need;
    char answer[ANSWER_BYTES];
};

static struct stream *streams;
static struct poster posters[POSTERS_MAX];
static const struct poster *unmeasured; /* its answers are not timed */
static unsigned open_count, started_count;
static uint64_t *posted_ns; /* when each message was posted, by its number */
static uint32_t *seen_by;   /* how many streams have each message, by its number */
static uint32_t posted_count, done_count;
static uint64_t answer_count, delivered_count, answer_bytes, stream_bytes, stream_reads;
static int64_t progress_ns; /* the time of the last event */
static int epoll, poster_epoll;
static char *bytes;

/* Opens a connection to the server. Unless `wait` is set, it may still be pending. */
static int connect_now(bool wait)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)o.port) };
    struct linger reset = { .l_onoff = 1 }; /* no TIME_WAIT: the next run needs the ports */
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    return fd;
}

static void watch(int in, int operation, int fd, uint32_t events, void *who)
{
    struct epoll_event event = { .events = events, .data.ptr = who };
    if (epoll_ctl(in, operation, fd, &event) < 0)
        fail("epoll: %s", strerror(errno));
}

/* Sends a request, which is short enough for any socket that is not stalled. */
static void send_now(int fd, const char *text, size_t len)
{
    if (send(fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
        fail("a request was not sent completely: %s", strerror(errno));
}

/* ==== Streams ================================================================================ */

/* Opens streams while fewer than --at-once are pending. */
static void start_streams(void)
{
    while (started_count < o.streams && started_count - open_count < o.at_once) {
        struct stream *s = &streams[started_count++];
        *s = (struct stream) { .fd = connect_now(false), .state = CONNECTING };
        watch(epoll, EPOLL_CTL_ADD, s->fd, EPOLLOUT, s);
    }
}

static void ask_for_events(struct stream *s)
{
    char request[1024];
    int len = snprintf(request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%lu\r\nAccept: text/event-stream\r\n"
        "Cache-Control: no-cache\r\nUser-Agent: load\r\n\r\n",
        o.subscribe, o.port);
    send_now(s->fd, request, (size_t)len);
    s->state = OPENING;
    watch(epoll, EPOLL_CTL_MOD, s->fd, EPOLLIN, s);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Counts a message that a stream has received. `now` is the time of the epoll_wait before the read:
 * one clock reading for all streams of a turn. */
static void deliver(struct stream *s, int64_t now)
{
    if (s->number >= posted_count)
        fail("a stream got a message that was not posted");
    s->count++;
    delivered_count++;
    add_sample(&deliveries, now - (int64_t)posted_ns[s->number]);
    if (++seen_by[s->number] == o.streams)
        done_count++;
}

/* Counts the messages in the bytes that were read. A message may be cut between two reads. */
static void count_messages(struct stream *s, const char *at, const char *end, int64_t now)
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
        for (; s->digits > 0 && at < end; s->digits--, at++) {
            int value = hex_value(*at);
            if (value < 0)
                fail("a stream got a message with a damaged number");
            s->number = s->number << 4 | (uint32_t)value;
        }
        if (s->digits > 0)
            return;
        deliver(s, now);
    }
}

/* Marks a stream as open when it has received the server's first event (--ready). */
static void await_ready(struct stream *s, const char *at, const char *end)
{
    size_t len = strlen(o.ready);
    for (; at < end && s->matched < len; at++)
        s->matched = *at == o.ready[s->matched] ? (uint8_t)(s->matched + 1) : *at == o.ready[0];
    if (s->matched < len)
        return;
    s->state = OPEN;
    open_count++;
}

static void read_stream(struct stream *s, int64_t now)
{
    ssize_t n = recv(s->fd, bytes, READ_BYTES, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        fail("a stream was closed when %u of %lu were open; it had %u messages", open_count,
            o.streams, s->count);
    stream_bytes += (uint64_t)n;
    stream_reads++;
    if (s->state == OPENING)
        await_ready(s, bytes, bytes + n);
    count_messages(s, bytes, bytes + n, now);
}

/* ==== Requests =============================================================================== */

static char filler[31]; /* makes a message 40 characters long, like a line of a chat */

/* Sends a request. Its time counts from `due_ns`, which may be earlier than now. */
static void ask(struct poster *p, const char *request, int len, int64_t due_ns)
{
    p->busy = true;
    p->due_ns = due_ns;
    p->len = p->need = 0;
    send_now(p->fd, request, (size_t)len);
}

static const char post_form[] = /* path, port, length, body */
    "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%lu\r\nUser-Agent: load\r\nAccept: */*\r\n"
    "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s";

/* Posts the next message to all streams. */
static void post_next(struct poster *p, int64_t due_ns)
{
    char body[256], request[1024];
    int len = snprintf(
        body, sizeof body, "{\"room\":\"bench\",\"message\":\"~%08x %s\"}", posted_count, filler);
    posted_ns[posted_count++] = (uint64_t)due_ns;
    done_count += o.streams == 0;
    len = snprintf(request, sizeof request, post_form, o.publish, o.port, len, body);
    ask(p, request, len, due_ns);
}

/* Formatted only once, because the load must not be slower than the server. */
static char quiet_post[1024], page_get[1024];
static int quiet_len, page_len;

static void write_requests(void)
{
    char body[256];
    int len =
        snprintf(body, sizeof body, "{\"room\":\"quiet\",\"message\":\"-00000000 %s\"}", filler);
    quiet_len = snprintf(quiet_post, sizeof quiet_post, post_form, o.quiet, o.port, len, body);
    page_len = snprintf(page_get, sizeof page_get,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%lu\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n", o.path,
        o.port);
}

/* Posts a message of the same size to a room without streams. */
static void post_quietly(struct poster *p, int64_t due_ns)
{
    ask(p, quiet_post, quiet_len, due_ns);
}

static void get_page(struct poster *p)
{
    ask(p, page_get, page_len, now_ns());
}

/* Returns the length of an answer, or 0 if its head has not arrived yet. Any answer but a 2xx ends
 * the run, because a server that refuses requests does less work. */
static size_t answer_length(const struct poster *p)
{
    const char *end = memmem(p->answer, p->len, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    if (strncmp(p->answer, "HTTP/1.1 2", 10) != 0)
        fail("expected a 2xx, got: %.*s", (int)p->len, p->answer);
    size_t head = (size_t)(end + 4 - p->answer);
    const char *length = memmem(p->answer, head, "\r\nContent-Length:", 17);
    if (length == NULL) /* written in another case, which is slower to find */
        length = strcasestr(p->answer, "\r\nContent-Length:");
    if (length == NULL || length > end)
        fail("expected an answer with Content-Length, got: %.*s", (int)head, p->answer);
    return head + strtoul(length + 17, NULL, 10);
}

/* Reads an answer. Returns true when it is complete, and adds its time to the samples. */
static bool read_answer(struct poster *p)
{
    ssize_t n = recv(p->fd, p->answer + p->len, sizeof p->answer - 1 - p->len, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0)
        fail("the server closed a connection before its answer");
    p->len += (size_t)n;
    p->answer[p->len] = '\0';
    if (p->need == 0)
        p->need = answer_length(p);
    if (p->need == 0 || p->len < p->need)
        return false;
    if (p->len > p->need)
        fail("an answer is longer than its Content-Length");
    if (p != unmeasured)
        add_sample(&answers, now_ns() - p->due_ns);
    p->busy = false;
    answer_count++;
    answer_bytes = p->need;
    return true;
}

static void open_posters(unsigned long count)
{
    if (count > POSTERS_MAX)
        fail("--connections and --window may be at most %d", POSTERS_MAX);
    for (unsigned long i = 0; i < count; i++) {
        posters[i].fd = connect_now(true);
        watch(poster_epoll, EPOLL_CTL_ADD, posters[i].fd, EPOLLIN, &posters[i]);
    }
}

static struct poster *find_idle_poster(unsigned long first, unsigned long count)
{
    for (unsigned long i = first; i < first + count; i++)
        if (!posters[i].busy)
            return &posters[i];
    return NULL;
}

static unsigned count_busy_posters(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < POSTERS_MAX; i++)
        count += posters[i].busy;
    return count;
}

/* ==== The loop =============================================================================== */

/* Called when a connection has its answer; may be NULL. */
static void (*answered)(struct poster *p);

/* Waits at most `wait_ms` for events of a queue. Returns how many there are. */
static int wait_for(int queue, struct epoll_event *events, int wait_ms)
{
    int count = epoll_wait(queue, events, EVENTS_PER_TURN, wait_ms);
    if (count > 0)
        progress_ns = now_ns();
    return count;
}

/* Reads answers. Returns whether there were any events. */
static bool read_answers(int wait_ms)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int count = wait_for(poster_epoll, events, wait_ms);
    for (int i = 0; i < count; i++)
        if (read_answer(events[i].data.ptr) && answered != NULL)
            answered(events[i].data.ptr);
    return count > 0;
}

static void read_streams(int wait_ms)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int count = wait_for(epoll, events, wait_ms);
    for (int i = 0; i < count; i++) {
        struct stream *s = events[i].data.ptr;
        if (s == NULL)
            continue; /* the queue of answers, which the next turn reads */
        if (s->state == CONNECTING)
            ask_for_events(s);
        else
            read_stream(s, progress_ns);
    }
}

/* Runs one turn of the loop. Answers have their own queue, which is read first: after ten thousand
 * readable streams an answer would seem late only because the load is late. */
static void turn(int wait_ms)
{
    bool any = read_answers(started_count > 0 ? 0 : wait_ms);
    if (started_count > 0)
        read_streams(any ? 0 : wait_ms); /* an answer may be enough for the caller */
    if (now_ns() - progress_ns > STALL_SECONDS * (int64_t)1000000000)
        fail("nothing has happened for %d seconds: %u of %lu streams open, %u messages posted, %u "
             "of them delivered to all streams",
            STALL_SECONDS, open_count, o.streams, posted_count, done_count);
}

/* ==== Kinds of work ========================================================================== */

/* Runs `open`: measures the rate, CPU time and memory per stream, and the bytes of a head. */
static void open_streams(void)
{
    int64_t memory = memory_bytes(), cpu = cpu_ns(), begin = now_ns();
    streams = calloc(o.streams + 1, sizeof *streams);
    if (streams == NULL)
        fail("out of memory");
    if (o.streams == 0)
        return;
    while (open_count < o.streams) {
        start_streams();
        turn(1000);
    }
    int64_t taken = now_ns() - begin;
    printf("opened_per_s=%.0f open_cpu_us=%.3f", (double)o.streams * 1e9 / (double)taken,
        (double)(cpu_ns() - cpu) / 1000 / (double)o.streams);
    for (int64_t end = now_ns() + 1200000000; now_ns() < end;) /* for presence events */
        turn(100);
    printf(" memory_per_stream=%.0f memory=%lld head_bytes=%.0f",
        (double)(memory_bytes() - memory) / (double)o.streams, (long long)memory_bytes(),
        (double)stream_bytes / (double)o.streams);
}

static void prepare_messages(size_t most)
{
    if (most > MESSAGES_MAX)
        fail("at most %d messages can be counted", MESSAGES_MAX);
    posted_ns = calloc(most, sizeof *posted_ns);
    seen_by = calloc(most, sizeof *seen_by);
    if (posted_ns == NULL || seen_by == NULL)
        fail("out of memory");
}

/* Posts messages while fewer than --window are in flight. */
static void fill_window(uint32_t until)
{
    struct poster *p;
    while (posted_count < until && posted_count - done_count < o.window &&
           (p = find_idle_poster(0, o.window)) != NULL)
        post_next(p, now_ns());
}

/* Sends messages until all streams have all of them and all POSTs are answered. */
static void send_messages(uint32_t count)
{
    uint32_t until = posted_count + count;
    while (done_count < until || count_busy_posters() > 0) {
        fill_window(until);
        turn(1000);
    }
}

/* Checks that every stream got every message: otherwise no figure counts. */
static void check_streams(void)
{
    for (unsigned i = 0; i < o.streams; i++)
        if (streams[i].count != posted_count)
            fail("stream %u has %u of %u messages", i, streams[i].count, posted_count);
}

/* Drops all samples, because measuring begins here. */
static void forget_samples(void)
{
    memset(&deliveries, 0, sizeof deliveries);
    memset(&answers, 0, sizeof answers);
    delivered_count = stream_bytes = answer_count = 0;
}

/* Waits for a line of standard input if --batches is given. Returns false after the last batch. */
static bool next_batch(unsigned long done)
{
    char line[16];
    if (o.batches == 0)
        return done == 0;
    if (done > 0 || open_count > 0)
        putchar('\n');
    fflush(stdout);
    bool more = done < o.batches && fgets(line, sizeof line, stdin) != NULL;
    progress_ns = now_ns();
    return more;
}

/* Sends messages before measuring. After a pause a Linux receiver acknowledges each of the first
 * sixteen segments at once, which costs the sender more. --warm 17 avoids this. */
static void warm(void)
{
    stream_reads = 0;
    while (stream_reads < o.warm * o.streams)
        send_messages((uint32_t)o.window);
}

/* Makes one measurement of `deliver`. */
static void deliver_batch(void)
{
    warm();
    forget_samples();
    int64_t cpu = cpu_ns(), begin = now_ns();
    send_messages((uint32_t)o.messages);
    int64_t taken = now_ns() - begin;
    cpu = cpu_ns() - cpu;
    check_streams();
    printf(" deliveries=%llu deliveries_per_s=%.0f cpu_us=%.4f busy=%.3f message_bytes=%.1f "
           "answer_bytes=%llu",
        (unsigned long long)delivered_count, (double)delivered_count * 1e9 / (double)taken,
        (double)cpu / 1000 / (double)delivered_count, (double)cpu / (double)taken,
        (double)stream_bytes / (double)delivered_count, (unsigned long long)answer_bytes);
    print_samples("delivery", &deliveries);
    print_samples("answer", &answers);
}

static void work_deliver(void)
{
    open_streams();
    prepare_messages((o.messages + o.warm * o.window) * (o.batches > 0 ? o.batches : 1));
    for (unsigned long done = 0; next_batch(done); done++) {
        if (done == 0) /* not before, because servers do not wait long for a first request */
            open_posters(o.window);
        deliver_batch();
    }
}

/* Runs `probe`. Probes come at random moments, so that they do not keep step with the messages. If
 * no connection is free, a probe counts with the run's time so far, so that a stall shows. */
static void work_probe(void)
{
    uint64_t chance = 1;
    unmeasured = &posters[0]; /* it sends the messages */
    open_streams();
    open_posters(POSTERS_MAX);
    prepare_messages(o.messages);
    forget_samples();
    /* When the next message and the next probe are due, by the clock. */
    int64_t begin = now_ns(), message_ns = begin, probe_ns = begin;
    while (posted_count < o.messages || done_count < o.messages) {
        int64_t now = now_ns();
        struct poster *p;
        if (now >= message_ns && posted_count < o.messages && !posters[0].busy) {
            post_next(&posters[0], message_ns);
            message_ns += (int64_t)o.every_ms * 1000000;
        }
        for (; now >= probe_ns; probe_ns += 1000000000 / (int64_t)o.rate / 2 +
                                            below(&chance, 1000000000 / (unsigned)o.rate))
            if ((p = find_idle_poster(1, POSTERS_MAX - 1)) != NULL)
                post_quietly(p, probe_ns);
            else
                add_sample(&answers, now - begin); /* no connection is free */
        turn(0);
    }
    while (count_busy_posters() > 0)
        turn(0);
    check_streams();
    printf(" probes=%llu", (unsigned long long)answers.count);
    print_samples("delivery", &deliveries);
    print_samples("answer", &answers);
}

static void work_idle(void)
{
    open_streams();
    for (int64_t end = now_ns() + (int64_t)(o.streams + 1000) * 1000000; now_ns() < end;)
        turn(100); /* ssechat sends presence every N milliseconds in a room with N streams */
    int64_t cpu = cpu_ns(), begin = now_ns(), end = begin + (int64_t)o.ms * 1000000;
    while (now_ns() < end) {
        progress_ns = now_ns(); /* here silence is not a failure */
        turn(100);
    }
    printf(" idle_cpu_percent=%.4f", (double)(cpu_ns() - cpu) * 100 / (double)(now_ns() - begin));
}

static void post_again(struct poster *p)
{
    post_quietly(p, now_ns());
}

/* Keeps one request in flight on each connection for `ms`, then waits for the last answers. */
static void ask_for_ms(void (*again)(struct poster *), unsigned long ms)
{
    answered = again;
    for (unsigned long i = 0; i < o.connections; i++)
        again(&posters[i]);
    for (int64_t end = now_ns() + (int64_t)ms * 1000000; now_ns() < end;)
        turn(1000);
    answered = NULL;
    while (count_busy_posters() > 0)
        turn(1000);
}

/* Runs `post` and `get`. Before each measurement it warms up for a tenth of the time. */
static void work_requests(void (*again)(struct poster *))
{
    for (unsigned long done = 0; next_batch(done); done++) {
        if (done == 0)
            open_posters(o.connections);
        ask_for_ms(again, o.ms / 10); /* warm */
        forget_samples();
        int64_t cpu = cpu_ns(), begin = now_ns();
        ask_for_ms(again, o.ms);
        double taken = (double)(now_ns() - begin);
        cpu = cpu_ns() - cpu;
        printf("requests_per_s=%.0f cpu_us=%.4f busy=%.3f answer_bytes=%llu",
            (double)answer_count * 1e9 / taken, (double)cpu / 1000 / (double)answer_count,
            (double)cpu / taken, (unsigned long long)answer_bytes);
        print_samples("answer", &answers); /* the latency when all connections are busy */
    }
}

/* Runs `start`: measures from before the fork to a complete answer. The program prints its port. */
static void work_start(const char *const *argv)
{
    static char text[65536];
    struct reply reply = { 0 };
    for (unsigned long i = 0; i < o.times; i++) {
        int log[2];
        if (pipe2(log, O_CLOEXEC) < 0)
            fail("pipe: %s", strerror(errno));
        int64_t begin = now_ns();
        pid_t pid = spawn(argv, log[1]);
        close(log[1]);
        o.port = (unsigned long)await_listening(log[0], text, sizeof text);
        if (get((int)o.port, o.path, &reply) != 200)
            fail("expected a 200 after the start; the program printed: %s", text);
        add_sample(&answers, now_ns() - begin);
        o.pids[0] = pid;
        o.pid_count = 1;
        if (i + 1 == o.times)
            printf("memory=%lld", (long long)memory_bytes());
        end_child(pid, SIGTERM);
        close(log[0]);
    }
    print_samples("start", &answers);
}

int main(int argc, char **argv)
{
    static const struct option names[] = { { "port", 1, NULL, 'p' }, { "pid", 1, NULL, 'P' },
        { "streams", 1, NULL, 's' }, { "at-once", 1, NULL, 'a' }, { "messages", 1, NULL, 'm' },
        { "window", 1, NULL, 'w' }, { "every", 1, NULL, 'e' }, { "rate", 1, NULL, 'r' },
        { "connections", 1, NULL, 'c' }, { "for", 1, NULL, 't' }, { "times", 1, NULL, 'n' },
        { "batches", 1, NULL, 'b' }, { "warm", 1, NULL, 'W' }, { "subscribe", 1, NULL, 'S' },
        { "publish", 1, NULL, 'B' }, { "quiet", 1, NULL, 'Q' }, { "path", 1, NULL, 'G' },
        { "ready", 1, NULL, 'R' }, { 0 } };
    /* Indexed by the letter of an option in `names`. */
    unsigned long *numbers[128] = { ['p'] = &o.port,
        ['s'] = &o.streams,
        ['a'] = &o.at_once,
        ['m'] = &o.messages,
        ['w'] = &o.window,
        ['e'] = &o.every_ms,
        ['r'] = &o.rate,
        ['c'] = &o.connections,
        ['t'] = &o.ms,
        ['b'] = &o.batches,
        ['W'] = &o.warm,
        ['n'] = &o.times };
    const char **texts[128] = { ['S'] = &o.subscribe,
        ['B'] = &o.publish,
        ['Q'] = &o.quiet,
        ['G'] = &o.path,
        ['R'] = &o.ready };
    const char *work = argc > 1 ? argv[1] : "";
    int c;
    optind = 2;
    while ((c = getopt_long(argc, argv, "+", names, NULL)) != -1) {
        if (c == 'P' && o.pid_count < PIDS_MAX)
            o.pids[o.pid_count++] = (pid_t)atoi(optarg);
        else if (c < 128 && numbers[c] != NULL)
            *numbers[c] = strtoul(optarg, NULL, 10);
        else if (c < 128 && texts[c] != NULL)
            *texts[c] = optarg;
        else
            fail("usage: load WORK --port N [options]");
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    memset(filler, '.', sizeof filler - 1);
    write_requests();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    poster_epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, EPOLL_CTL_ADD, poster_epoll, EPOLLIN, NULL); /* an answer also ends the wait */
    bytes = malloc(READ_BYTES);
    progress_ns = now_ns();
    if (bytes == NULL || o.window == 0 || o.window >= POSTERS_MAX || o.rate == 0)
        fail("--window must be from 1 to %d, and --rate at least 1", POSTERS_MAX - 1);
    if (strcmp(work, "open") == 0)
        open_streams();
    else if (strcmp(work, "deliver") == 0)
        work_deliver();
    else if (strcmp(work, "probe") == 0)
        work_probe();
    else if (strcmp(work, "idle") == 0)
        work_idle();
    else if (strcmp(work, "post") == 0)
        work_requests(post_again);
    else if (strcmp(work, "get") == 0)
        work_requests(get_page);
    else if (strcmp(work, "start") == 0)
        work_start((const char *const *)(uintptr_t)(argv + optind));
    else
        fail("expected WORK to be one of seven, got: %s", work);
    putchar('\n');
    return fflush(stdout) == 0 ? 0 : 1;
}
