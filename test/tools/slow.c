/* slow.c - clients that send or read slowly, and one that times messages meanwhile.
 *
 *     slow PORT dribble COUNT
 *     slow PORT probe
 *     slow PORT sip PATH RATE
 *
 * The first form is a Slowloris attack with COUNT connections. Each even connection sends a head
 * byte by byte; each odd one sends a complete head and then a body byte by byte. Each sends one
 * byte per second, and the sends are spread over the second, so that the load is even. The server
 * must refuse each with 408 and close it. The tool prints the times from connect to close:
 *
 *     heads N from LEAST to MOST ms, bodies N from LEAST to MOST ms
 *
 * The second form measures the effect on other clients. It opens a stream and a publisher in their
 * own room, and publishes a message every 50 ms until standard input ends. It measures the time
 * from each POST to the message's arrival in the stream, and prints in microseconds:
 *
 *     messages N median A p95 B worst C
 *
 * The third form asks for a page again and again on one connection, whose receive buffer is as
 * small as the kernel allows, and reads RATE bytes of the answers per second. It prints whether the
 * server has closed the connection, and after how much:
 *
 *     closed after SECONDS s, BYTES bytes        or "open after ..."
 *
 * It stops after SIP_SECONDS. The other forms run for at most LIMIT_SECONDS. */

#include "tool.h"

#include <sys/epoll.h>

enum {
    COUNT_MAX = 20000,
    EVENTS_PER_TURN = 256,
    LIMIT_SECONDS = 120,
    SIP_SECONDS = 60,
    SIPS_PER_SECOND = 10,
    SIP_REQUESTS = 100,
    SLICES = 50, /* parts of a second; each connection sends in one of them */
    SLICE_US = 1000000 / SLICES,
    PROBE_US = 50000, /* from one message to the next */
    PROBES_MAX = 1000000 / PROBE_US * LIMIT_SECONDS + 1,
};

static int port;

/* ==== One byte per second ==================================================================== */

/* A slow connection and its answer. */
struct writer {
    int fd; /* -1 when closed */
    bool is_body;
    size_t sent, have;
    int64_t begin_us, end_us;
    char answer[1024];
};

static struct writer *writers;
static int count, left;

static const char head_text[] =
    "GET /messages?room=lobby&limit=100 HTTP/1.1\r\nHost: 127.0.0.1\r\n";
static const char post_text[] = "POST /messages HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n";
static const char body_text[] = "{\"message\":\"this takes its time, and there is more to come";

static void open_writer(struct writer *w, bool is_body, int epoll)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = w };
    w->is_body = is_body;
    w->fd = connect_to(port);
    w->begin_us = now_us();
    if (w->fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, w->fd, &event) < 0)
        fail("connection %d: %s", (int)(w - writers), strerror(errno));
    if (is_body && !send_all(w->fd, post_text, sizeof post_text - 1))
        fail("connection %d: the server closed it before the head was sent", (int)(w - writers));
}

/* Sends the next byte. Ignores a failed send, because a read shows later that the server has closed
 * the connection. */
static void send_byte(struct writer *w)
{
    const char *text = w->is_body ? body_text : head_text;
    size_t len = w->is_body ? sizeof body_text - 1 : sizeof head_text - 1;
    if (w->fd < 0)
        return;
    if (w->sent == len)
        fail("connection %d: expected a 408 before the last byte, got none", (int)(w - writers));
    send(w->fd, text + w->sent++, 1, MSG_NOSIGNAL);
}

/* Collects the answer, which must be a 408, until the server closes the connection. A reset is a
 * failure, because it can lose the answer. */
static void receive(struct writer *w)
{
    ssize_t n = recv(w->fd, w->answer + w->have, sizeof w->answer - w->have - 1, 0);
    if (n > 0) {
        w->have += (size_t)n;
        return;
    }
    if (n < 0)
        fail("connection %d: expected a 408, got an error from recv: %s", (int)(w - writers),
            strerror(errno));
    if (strncmp(w->answer, "HTTP/1.1 408 ", 13) != 0)
        fail("connection %d: expected a 408, got: %.40s", (int)(w - writers), w->answer);
    w->end_us = now_us();
    close(w->fd);
    w->fd = -1;
    left--;
}

/* Prints the shortest and the longest time from connect to close. */
static void report(const char *name, bool is_body, const char *end)
{
    int64_t least = INT64_MAX, most = 0;
    int n = 0;
    for (int i = 0; i < count; i++) {
        int64_t us = writers[i].end_us - writers[i].begin_us;
        if (writers[i].is_body != is_body)
            continue;
        least = us < least ? us : least;
        most = us > most ? us : most;
        n++;
    }
    printf("%s %d from %lld to %lld ms%s", name, n, (long long)least / 1000, (long long)most / 1000,
        end);
}

static void dribble(void)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int epoll = epoll_create1(EPOLL_CLOEXEC), slice = 0;
    writers = calloc((size_t)count, sizeof *writers);
    if (writers == NULL || epoll < 0)
        fail("out of memory");
    for (int i = 0; i < count; i++)
        open_writer(&writers[i], i % 2 != 0, epoll);
    left = count;
    int64_t next_us = now_us(), end_us = next_us + 1000000 * (int64_t)LIMIT_SECONDS;
    while (left > 0) {
        int64_t now = now_us();
        if (now > end_us)
            fail("%d connections were still open after %d seconds", left, LIMIT_SECONDS);
        for (; next_us <= now; next_us += SLICE_US, slice = (slice + 1) % SLICES)
            for (int i = slice; i < count; i += SLICES)
                send_byte(&writers[i]);
        int n = epoll_wait(epoll, events, EVENTS_PER_TURN, (int)((next_us - now) / 1000) + 1);
        for (int i = 0; i < n; i++)
            receive(events[i].data.ptr);
    }
    report("heads", false, ", ");
    report("bodies", true, "\n");
}

/* ==== How long a message takes =============================================================== */

static int compare_times(const void *a, const void *b)
{
    int64_t one = *(const int64_t *)a, other = *(const int64_t *)b;
    return (one > other) - (one < other);
}

/* Reads the stream until a text has arrived. Drops the bytes after the text, because the next
 * message is published only later. */
static void await(int stream, const char *text)
{
    static char bytes[65536];
    size_t have = 0;
    do {
        ssize_t n = recv(stream, bytes + have, sizeof bytes - 1 - have, 0);
        if (n <= 0)
            fail("the stream ended, or was silent for too long, before %s", text);
        have += (size_t)n;
        bytes[have] = '\0';
        if (have == sizeof bytes - 1)
            fail("the stream sent too many bytes before %s", text);
    } while (strstr(bytes, text) == NULL);
}

/* Publishes a message, waits for it in the stream and then for the answer to the POST. Returns the
 * time until the message arrived in the stream. */
static int64_t measure(int publisher, int stream, int number)
{
    static struct reply reply;
    char request[512], body[128], text[64];
    snprintf(text, sizeof text, "\"message\":\"<%d>\"", number);
    snprintf(body, sizeof body, "{\"room\":\"~probe\",%s}", text);
    int len = snprintf(request, sizeof request,
        "POST /messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        "Content-Length: %zu\r\n\r\n%s",
        strlen(body), body);
    int64_t begin_us = now_us();
    if (!send_all(publisher, request, (size_t)len))
        fail("the publisher's connection is closed");
    await(stream, text);
    int64_t took_us = now_us() - begin_us;
    if (!read_reply(publisher, &reply) || reply.status != 201)
        fail("expected a 201 for a message, got %d", reply.status);
    return took_us;
}

static void probe(void)
{
    static const char request[] = "GET /events?room=~probe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    static int64_t times[PROBES_MAX];
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    int stream = connect_to(port), publisher = connect_to(port), n = 0;
    if (stream < 0 || publisher < 0 || !send_all(stream, request, sizeof request - 1))
        fail("connect: %s", strerror(errno));
    await(stream, "event: ready");
    do {
        if (n == PROBES_MAX)
            fail("standard input did not end within %d seconds", LIMIT_SECONDS);
        times[n] = measure(publisher, stream, n);
        n++;
    } while (poll(&input, 1, PROBE_US / 1000) == 0);
    qsort(times, (size_t)n, sizeof *times, compare_times);
    printf("messages %d median %lld p95 %lld worst %lld\n", n, (long long)times[n / 2],
        (long long)times[n * 95 / 100], (long long)times[n - 1]);
}

/* ==== Reading slowly ========================================================================= */

/* Sends the requests, which are short enough for the kernel to take them at once. */
static int ask_for_pages(const char *path)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    char request[256];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), smallest = 1;
    int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &smallest, sizeof smallest) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect: %s", strerror(errno));
    for (int i = 0; i < SIP_REQUESTS; i++)
        if (!send_all(fd, request, (size_t)len))
            fail("the server closed the connection before the requests were sent");
    return fd;
}

static void sip(const char *path, int rate)
{
    char bytes[65536];
    int fd = ask_for_pages(path);
    size_t total = 0, most = (size_t)(rate / SIPS_PER_SECOND);
    int64_t begin_us = now_us();
    const char *state = "open";
    while (now_us() < begin_us + 1000000 * (int64_t)SIP_SECONDS) {
        ssize_t n = recv(fd, bytes, most < sizeof bytes ? most : sizeof bytes, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN)) {
            state = "closed";
            break;
        }
        total += n > 0 ? (size_t)n : 0;
        sleep_us(1000000 / SIPS_PER_SECOND);
    }
    printf("%s after %d s, %zu bytes\n", state, (int)((now_us() - begin_us) / 1000000), total);
}

int main(int argc, char **argv)
{
    port = argc > 1 ? atoi(argv[1]) : 0;
    if (argc == 5 && strcmp(argv[2], "sip") == 0 && atoi(argv[4]) >= SIPS_PER_SECOND) {
        sip(argv[3], atoi(argv[4]));
        return 0;
    }
    if (argc == 3 && strcmp(argv[2], "probe") == 0) {
        probe();
        return 0;
    }
    count = argc == 4 && strcmp(argv[2], "dribble") == 0 ? atoi(argv[3]) : 0;
    if (count < 2 || count > COUNT_MAX) {
        fputs("usage: slow PORT dribble COUNT, slow PORT probe, or slow PORT sip PATH RATE\n",
            stderr);
        return 2;
    }
    dribble();
    return 0;
}
