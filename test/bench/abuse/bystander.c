/* bystander.c - a bystander: one process, which measures what the server does for others.
 *
 * Its requests come by the clock, at random moments, and do not wait for the answers before them: a
 * client that waits for a slow server hardly measures its pauses (coordinated omission). A request
 * that finds no connection free counts with the time that the oldest has waited so far. Answers are
 * read before streams.
 *
 * Each line has an address of its own, so that each client asks for one thing at a time, some 25
 * times a second, and posts at most five times: a server that takes turns between addresses would
 * rightly let a greedier one wait. */

#include "test/bench/abuse/abuse.h"

enum {
    STREAMS_MAX = 64,
    OWN_ROOMS = 10, /* half of the streams are in the lobby, the others in these */
    KEPT_LINES = 16,
    NEW_LINES = 24,
    POSTERS = 10,
    OPENERS = 8,
    LINES = KEPT_LINES + NEW_LINES + POSTERS + OPENERS,
    FIRST_HOST = 10, /* the last byte of the lines' addresses; that of the streams is 1 */
    MESSAGES_MAX = 1 << 16,
    NUMBER_DIGITS = 8,
    READ_BYTES = 1 << 16,
    FINISH_US = 10000000, /* the longest wait for what was begun */
};

/* A stream that stays open. A message contains a '~' and its number in eight hex digits, so that
 * messages are counted without parsing. */
struct stream {
    int fd;        /* -1: closed */
    unsigned room; /* OWN_ROOMS: the lobby */
    bool ready;
    uint8_t digits; /* of `number` still to read */
    uint32_t number;
};

/* The connections of a kind of request. */
struct group {
    struct line *lines;
    unsigned count, next; /* the lines take turns */
    int64_t mean_us, due_us;
};

static struct bystander *self;
static struct stream streams[STREAMS_MAX];
static struct line lines[LINES];
static struct group groups[SIGHTS];
static struct samples samples[SIGHTS];
static struct { /* by its number */
    int64_t begin_us;
    unsigned room;
} messages[MESSAGES_MAX];
static uint32_t message_count;
static uint64_t expected_count, delivered_count, chance = 1;

/* ==== Streams ================================================================================ */

/* Opens the streams. */
static void open_streams(void)
{
    for (unsigned i = 0; i < self->streams; i++) {
        struct stream *s = &streams[i];
        char request[128];
        s->room = i % 2 == 0 ? OWN_ROOMS : i / 2 % OWN_ROOMS;
        int len = snprintf(request, sizeof request,
            s->room == OWN_ROOMS ? "GET /events HTTP/1.1\r\nHost: a\r\n\r\n"
                                 : "GET /events?room=own%u HTTP/1.1\r\nHost: a\r\n\r\n",
            s->room);
        s->fd = machine_connect(machine_address(self->net, 1), self->port);
        struct pollfd connected = { .fd = s->fd, .events = POLLOUT };
        poll(&connected, 1, 1000 * TOOL_ANSWER_SECONDS);
        if (!send_all(s->fd, request, (size_t)len))
            fail("the server closed a bystander's stream before its request");
    }
}

/* Returns the value of a hex digit. */
static uint32_t hex_value(char c)
{
    return (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* Counts a message that a stream has got. */
static void deliver(const struct stream *s, int64_t now)
{
    if (s->number >= message_count)
        return; /* not one of ours */
    delivered_count++;
    if (self->measure)
        add_sample(&samples[DELIVERY], now - messages[s->number].begin_us);
}

/* Takes the messages in these bytes. A message may be cut between two reads. */
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
            s->number = s->number << 4 | hex_value(*at);
        if (s->digits > 0)
            return;
        deliver(s, now);
    }
}

/* Reads once from a stream. */
static void read_stream(struct stream *s)
{
    static char bytes[READ_BYTES];
    ssize_t n = recv(s->fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        close(s->fd);
        s->fd = -1;
        self->closed++;
        return;
    }
    s->ready |= memmem(bytes, (size_t)n, "event: ready", 12) != NULL;
    take_messages(s, bytes, bytes + n, now_us());
}

/* ==== Requests =============================================================================== */

/* Returns the next message's request, in its line's own memory. */
static const struct text *write_post(unsigned line)
{
    static struct text texts[POSTERS];
    char body[128];
    struct request form = { .target = "POST /messages", .body = body };
    if (message_count == MESSAGES_MAX)
        fail("too many messages");
    unsigned room = message_count / 2 % OWN_ROOMS;
    if (message_count % 2 == 0)
        room = OWN_ROOMS;
    snprintf(body, sizeof body,
        room == OWN_ROOMS ? "{\"message\":\"~%08x\"}"
                          : "{\"message\":\"~%08x\",\"room\":\"own%u\"}",
        message_count, room);
    messages[message_count].room = room;
    messages[message_count++].begin_us = now_us();
    texts[line].len = 0;
    text_request(&texts[line], &form, 0);
    return &texts[line];
}

/* Returns what an opener asks for: a page, a stream with history, a stream in a room of its own. */
static const struct text *write_opening(unsigned line)
{
    static struct text texts[OPENERS];
    static const struct request forms[] = { { .target = "GET /messages?room=c1&limit=500" },
        { .target = "GET /events?room=chat&history=50" },
        { .target = "GET /events?room=bystander#" } };
    static unsigned number;
    texts[line].len = 0;
    text_request(&texts[line], &forms[number % 3], number % 10000);
    number++;
    return &texts[line];
}

/* Returns the next request of a kind. */
static const struct text *write_request(enum sight kind, unsigned line)
{
    static struct text kept, new;
    static const struct request health = { .target = "GET /healthz" };
    static const struct request once = { .target = "GET /healthz",
        .fields = "Connection: close\r\n" };
    if (kept.len == 0) {
        text_request(&kept, &health, 0);
        text_request(&new, &once, 0);
    }
    if (kind == DELIVERY)
        return write_post(line);
    if (kind == OPENING)
        return write_opening(line);
    return kind == KEPT ? &kept : &new;
}

/* Counts an answer. */
static void take_answer(struct line *l, enum sight kind)
{
    if (l->status != (kind == DELIVERY ? 201 : 200)) {
        if (self->refused++ == 0)
            fprintf(stderr, "%.60s... got status %d: %.400s\n", l->request->at, l->status,
                l->answer.at);
    } else if (kind == DELIVERY) {
        unsigned number = (unsigned)strtoul(strchr(l->request->at, '~') + 1, NULL, 16);
        for (unsigned i = 0; i < self->streams; i++)
            expected_count += streams[i].fd >= 0 && streams[i].room == messages[number].room;
    } else if (self->measure) {
        add_sample(&samples[kind], now_us() - l->begin_us);
    }
}

/* Begins the requests of a kind that are due. Returns when the next is. */
static int64_t begin_due(enum sight kind, int64_t now)
{
    struct group *g = &groups[kind];
    while (g->mean_us > 0 && g->due_us <= now) {
        struct line *idle = NULL, *oldest = g->lines;
        for (unsigned i = 0; i < g->count && idle == NULL; i++) {
            struct line *l = &g->lines[(g->next + i) % g->count];
            if (!l->busy)
                idle = l;
            else if (l->begin_us < oldest->begin_us)
                oldest = l;
        }
        if (idle != NULL) {
            unsigned number = (unsigned)(idle - g->lines);
            line_begin(idle, self->port, write_request(kind, number));
            idle->begin_us = g->due_us;
            g->next = number + 1;
        } else if (self->measure && kind != DELIVERY) {
            add_sample(&samples[kind], now - oldest->begin_us);
        }
        g->due_us += below(&chance, (unsigned)(2 * g->mean_us));
    }
    return g->mean_us > 0 ? g->due_us : INT64_MAX;
}

/* ==== The loop =============================================================================== */

/* Waits until this time at most, and handles what has come: first answers, then streams. */
static void serve(int64_t until_us)
{
    static struct pollfd ready[LINES + STREAMS_MAX];
    int64_t wait = until_us - now_us();
    struct timespec time = { .tv_sec = 0, .tv_nsec = wait > 0 ? (long)wait * 1000 : 0 };
    for (unsigned i = 0; i < LINES; i++) {
        ready[i] = (struct pollfd) { .fd = -1 };
        if (lines[i].busy)
            ready[i] = (struct pollfd) { .fd = lines[i].fd, .events = line_events(&lines[i]) };
    }
    for (unsigned i = 0; i < self->streams; i++)
        ready[LINES + i] = (struct pollfd) { .fd = streams[i].fd, .events = POLLIN };
    if (ppoll(ready, LINES + self->streams, &time, NULL) <= 0)
        return;
    for (enum sight kind = 0; kind < SIGHTS; kind++)
        for (unsigned i = 0; i < groups[kind].count; i++) {
            struct line *l = &groups[kind].lines[i];
            if (ready[l - lines].revents != 0 && line_move(l, ready[l - lines].revents))
                take_answer(l, kind);
        }
    for (unsigned i = 0; i < self->streams; i++)
        if (ready[LINES + i].revents != 0)
            read_stream(&streams[i]);
}

/* Prepares the connections of a kind. */
static struct line *prepare(enum sight kind, struct line *at, unsigned count, int64_t mean_us)
{
    groups[kind] = (struct group) { at, count, 0, mean_us, now_us() };
    for (unsigned i = 0; i < count; i++) {
        unsigned host = FIRST_HOST + (unsigned)(&at[i] - lines);
        at[i] = (struct line) { .fd = -1, .address = machine_address(self->net, host) };
    }
    make_samples(&samples[kind]);
    return at + count;
}

static void prepare_all(void)
{
    struct line *at = prepare(KEPT, lines, KEPT_LINES, self->kept_us);
    at = prepare(NEW, at, NEW_LINES, self->new_us);
    at = prepare(DELIVERY, at, POSTERS, self->post_us);
    prepare(OPENING, at, OPENERS, self->opening_us);
}

/* Returns how many streams are ready, or were closed before. */
static unsigned count_ready(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < self->streams; i++)
        count += streams[i].ready || streams[i].fd < 0;
    return count;
}

static unsigned count_busy(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < LINES; i++)
        count += lines[i].busy;
    return count;
}

/* Reports what was seen. */
static void report(void)
{
    for (enum sight kind = 0; kind < SIGHTS; kind++) {
        struct samples *s = &samples[kind];
        self->sights[kind].count = s->count;
        if (s->count == 0)
            continue;
        self->sights[kind].median = sample_ms(s, 0.5);
        self->sights[kind].p99 = sample_ms(s, 0.99);
        self->sights[kind].most = sample_ms(s, 1);
    }
    if (count_busy() > 0)
        fprintf(stderr, "%u requests have no answer\n", count_busy());
    self->refused += count_busy();
    self->lost =
        (unsigned)(delivered_count < expected_count ? expected_count - delivered_count : 0);
    self->done = true;
}

void bystander_work(void *with)
{
    self = with;
    open_streams();
    for (int64_t end_us = now_us() + FINISH_US; count_ready() < self->streams;
         serve(now_us() + 1000))
        if (now_us() > end_us)
            fail("only %u streams of the bystander are ready", count_ready());
    self->ready = true;
    prepare_all();
    while (!self->stop) {
        int64_t now = now_us(), next = now + 10000;
        for (enum sight kind = 0; kind < SIGHTS; kind++) {
            int64_t due = begin_due(kind, now);
            next = due < next ? due : next;
        }
        serve(next);
    }
    for (int64_t end_us = now_us() + FINISH_US;
         now_us() < end_us && (count_busy() > 0 || delivered_count < expected_count);)
        serve(now_us() + 1000);
    report();
}
