/* crowd.c - many readers of one event stream, for the tests.
 *
 *     crowd PORT COUNT PATH [SECONDS]
 *     crowd PORT send
 *
 * The first form is the crowd. It opens COUNT streams of PATH on 127.0.0.1, waits until each has
 * its `ready` event and prints "ready COUNT". A '#' in PATH becomes the number of the stream, in
 * four digits. If the server is too busy for some streams, crowd prints "ready R busy B from LEAST
 * to MOST" (their retry times in milliseconds) and continues with the R others. Then it reads
 * commands from standard input, one per line, and answers each with one line:
 *
 *     count N TEXT    waits until every stream has received TEXT N times: "ok"
 *     segments        prints the largest number of data segments that any stream has received
 *     stall           stops reading: "ok"
 *     resume          reads again: "ok"
 *     leave N         closes the last N streams: "ok"
 *     wait-close      waits until all are closed: "closed COUNT ended E retry R distinct D from
 *                     LEAST to MOST" (E bodies had their last chunk; R streams got a retry after
 *                     their `ready`, with D different values)
 *
 * crowd exits at the end of standard input. If a check fails, it prints the number of the first
 * stream concerned and exits with 1. It also exits with 1 after SECONDS (60 by default). While it
 * waits for a command it continues to read the streams, unless it is stalled.
 *
 * The second form sends standard input over one connection, shuts down its sending side, and prints
 * everything that it receives until the server closes the connection.
 *
 * One process with an epoll loop handles thousands of streams. Every stream keeps everything that
 * it has read, because tests are short. crowd does not include tool.h, because <netinet/tcp.h> in
 * tool.h conflicts with <linux/tcp.h>, which has the counts of segments. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    COUNT_MAX = 100000,
    CONNECTING_MAX = 64,       /* pending connects at a time: fewer than any backlog */
    BODY_MAX_BYTES = 16 << 20, /* per stream; more is an error, and would use up the memory */
    EVENTS_PER_TURN = 256,
    READ_BYTES = 65536,
};

/* What a stream's parser expects next, in the order of a response. */
enum state {
    CONNECTING,
    HEAD,       /* the response's head */
    CHUNK_SIZE, /* hexadecimal digits, up to the end of the line */
    CHUNK_DATA,
    CHUNK_END, /* the line end after the data */
    LAST_LINE, /* the empty line after the last chunk */
    ENDED,     /* nothing may follow */
    PLAIN,     /* a body without chunks, until the connection ends */
};

struct stream {
    int fd; /* -1 when closed */
    enum state state;
    bool ready, busy, ended;
    size_t chunk_left;
    unsigned line_len; /* digits or bytes read of the current framing line */
    char *body;        /* the head; the decoded body begins at body_start */
    size_t body_start, len, capacity;
};

static struct stream *streams;
static int count, opened, connecting, ready, busy, closed;
static const char *path;
static struct sockaddr_in server;
static int epoll;
static int64_t end_ms;

/* Prints an error on standard output, where the suite reads the answers, and exits. */
__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("crowd: ");
    vprintf(format, args);
    va_end(args);
    printf("\n");
    exit(1);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int number_of(const struct stream *s)
{
    return (int)(s - streams);
}

/* ==== Reading ================================================================================ */

/* Appends to the bytes that a stream keeps, and ends them with a NUL. */
static void add(struct stream *s, const char *bytes, size_t len)
{
    if (s->len + len + 1 > s->capacity) {
        s->capacity = 2 * (s->len + len + 1);
        if (s->capacity > BODY_MAX_BYTES)
            fail("stream %d: received more than any test sends", number_of(s));
        s->body = realloc(s->body, s->capacity);
        if (s->body == NULL)
            fail("out of memory");
    }
    memcpy(s->body + s->len, bytes, len);
    s->len += len;
    s->body[s->len] = '\0';
}

/* Checks a complete head, whose status must be 200, and decides whether chunks follow. */
static void end_head(struct stream *s)
{
    if (strncmp(s->body, "HTTP/1.1 200 ", 13) != 0)
        fail("stream %d: expected a 200, got: %.*s", number_of(s), (int)strcspn(s->body, "\r"),
            s->body);
    s->state = strstr(s->body, "\r\nTransfer-Encoding: chunked\r\n") != NULL ? CHUNK_SIZE : PLAIN;
    s->body_start = s->len;
    s->line_len = 0;
}

/* Reads one byte of the line with a chunk's size. The server writes no chunk extensions. */
static void read_size(struct stream *s, char c)
{
    const char *digits = "0123456789abcdef", *digit = c != '\0' ? strchr(digits, c) : NULL;
    if (digit != NULL && s->line_len < 8) {
        s->chunk_left = s->line_len++ == 0 ? 0 : s->chunk_left * 16;
        s->chunk_left += (size_t)(digit - digits);
    } else if (c == '\n' && s->line_len > 0) {
        s->state = s->chunk_left > 0 ? CHUNK_DATA : LAST_LINE;
        s->line_len = 0;
    } else if (c != '\r' || s->line_len == 0) {
        fail("stream %d: expected a chunk size, got something else", number_of(s));
    }
}

/* Takes the bytes that belong to the current state, and returns their number. */
static size_t step(struct stream *s, const char *bytes, size_t len)
{
    size_t n = 1;
    switch (s->state) {
    case HEAD:
        add(s, bytes, 1);
        if (s->len >= 4 && memcmp(s->body + s->len - 4, "\r\n\r\n", 4) == 0)
            end_head(s);
        return 1;
    case CHUNK_SIZE:
        read_size(s, *bytes);
        return 1;
    case CHUNK_DATA:
        n = len < s->chunk_left ? len : s->chunk_left;
        add(s, bytes, n);
        s->chunk_left -= n;
        if (s->chunk_left == 0)
            s->state = CHUNK_END;
        return n;
    case CHUNK_END:
    case LAST_LINE:
        if (*bytes != "\r\n"[s->line_len])
            fail("stream %d: expected CR LF after a chunk, got something else", number_of(s));
        if (++s->line_len < 2)
            return 1;
        s->line_len = 0;
        s->ended = s->state == LAST_LINE;
        s->state = s->ended ? ENDED : CHUNK_SIZE;
        return 1;
    case PLAIN:
        add(s, bytes, len);
        return len;
    default:
        fail("stream %d: received bytes after the last chunk", number_of(s));
    }
}

static void watch(struct stream *s, int operation, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = s };
    if (epoll_ctl(epoll, operation, s->fd, &event) < 0)
        fail("epoll: %s", strerror(errno));
}

/* Returns whether the body contains the text so far. Searches the whole body, which is short. */
static bool has_text(const struct stream *s, const char *text)
{
    return s->len > 0 && strstr(s->body + s->body_start, text) != NULL;
}

/* Closes a stream whose connection has ended. A stream for which the server was too busy is counted
 * in `busy` instead of `closed`: it got a complete answer. */
static void end(struct stream *s)
{
    close(s->fd);
    s->fd = -1;
    s->busy =
        !s->ready && s->ended && has_text(s, "event: busy\ndata: {\"reason\":\"full\",\"retry\":");
    busy += s->busy;
    closed += !s->busy;
}

/* Reads once; level-triggered epoll reports the rest in the next turn. */
static void receive(struct stream *s)
{
    char bytes[READ_BYTES];
    ssize_t n = recv(s->fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        end(s);
        return;
    }
    for (size_t at = 0; at < (size_t)n;)
        at += step(s, bytes + at, (size_t)n - at);
    if (!s->ready && has_text(s, "event: ready\n")) {
        s->ready = true;
        ready++;
    }
}

/* ==== Opening ================================================================================ */

/* Begins to connect. The request is sent when the socket is writable. */
static void open_stream(struct stream *s)
{
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0)
        fail("socket: %s", strerror(errno));
    if (connect(s->fd, (struct sockaddr *)&server, sizeof server) < 0 && errno != EINPROGRESS)
        fail("connect: %s", strerror(errno));
    watch(s, EPOLL_CTL_ADD, EPOLLOUT);
    connecting++;
}

/* Requests the path on a new connection, with the stream's number in place of a '#'. */
static void send_request(struct stream *s)
{
    char request[4096];
    size_t before = strcspn(path, "#");
    const char *after = path[before] == '#' ? path + before + 1 : "";
    char number[16] = "";
    if (path[before] == '#')
        snprintf(number, sizeof number, "%04d", number_of(s));
    int len = snprintf(request, sizeof request, "GET %.*s%s%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        (int)before, path, number, after);
    if (len >= (int)sizeof request)
        fail("the path is too long");
    if (send(s->fd, request, (size_t)len, MSG_NOSIGNAL) != len)
        fail("stream %d: %s", number_of(s), strerror(errno));
    s->state = HEAD;
    connecting--;
    watch(s, EPOLL_CTL_MOD, EPOLLIN);
}

/* ==== The loop =============================================================================== */

/* Runs one turn of the loop: opens streams while fewer than CONNECTING_MAX are pending, and reads
 * from the readable ones. If `commands` is set, also watches standard input, and returns whether it
 * is readable. */
static bool turn(bool commands, const char *waiting_for)
{
    static struct stream input; /* represents standard input */
    struct epoll_event events[EVENTS_PER_TURN];
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = &input };
    bool input_ready = false;
    while (opened < count && connecting < CONNECTING_MAX)
        open_stream(&streams[opened++]);
    int64_t left = end_ms - now_ms();
    if (left <= 0)
        fail("timed out while waiting for %s; %d of %d ready, %d closed", waiting_for, ready, count,
            closed);
    /* Watched for this turn only: no command may be read while another is running. */
    if (commands && epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) < 0)
        fail("standard input must be a pipe: %s", strerror(errno));
    int n = epoll_wait(epoll, events, EVENTS_PER_TURN, (int)left);
    if (commands)
        epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
    for (int i = 0; i < n; i++) {
        struct stream *s = events[i].data.ptr;
        if (s == &input)
            input_ready = true;
        else if (s->state == CONNECTING)
            send_request(s);
        else
            receive(s);
    }
    return input_ready;
}

/* Counts the occurrences of the text in the body so far, without overlaps. */
static int occurrences(const struct stream *s, const char *text)
{
    int n = 0;
    if (s->len == 0)
        return 0;
    const char *at = s->body + s->body_start, *end = s->body + s->len;
    while ((at = memmem(at, (size_t)(end - at), text, strlen(text))) != NULL) {
        at += strlen(text);
        n++;
    }
    return n;
}

/* ==== Commands =============================================================================== */

/* Waits for the streams one after the other. A stream with the wanted count is not counted again
 * until all have it; then all are counted again, to find any that received the text too often. */
static void count_text(int wanted, const char *text)
{
    int at = 0, seen = 0;
    for (;;) {
        while (at < count && (seen = occurrences(&streams[at], text)) == wanted)
            at++;
        if (at < count && seen > wanted)
            fail("stream %d has received the text %d times, expected %d", at, seen, wanted);
        if (at == count)
            break;
        if (streams[at].fd < 0)
            fail("stream %d was closed after receiving the text %d times, expected %d", at, seen,
                wanted);
        turn(false, "a text");
    }
    for (at = 0; at < count; at++)
        if ((seen = occurrences(&streams[at], text)) != wanted)
            fail("stream %d has received the text %d times, expected %d", at, seen, wanted);
    puts("ok");
}

/* Prints the largest count of data segments that a stream has received. A single send of several
 * messages gives one segment or only a few. */
static void print_segments(void)
{
    unsigned most = 0;
    for (int i = 0; i < count; i++) {
        struct tcp_info info;
        socklen_t len = sizeof info;
        memset(&info, 0, sizeof info);
        if (getsockopt(streams[i].fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
            fail("stream %d: %s", i, strerror(errno));
        if (info.tcpi_data_segs_in > most)
            most = info.tcpi_data_segs_in;
    }
    printf("%u\n", most);
}

/* Sets the events that epoll watches on all open streams. With 0 the streams are not read, and
 * their sockets fill up. */
static void watch_all(uint32_t events)
{
    for (int i = 0; i < count; i++)
        if (streams[i].fd >= 0)
            watch(&streams[i], EPOLL_CTL_MOD, events);
    puts("ok");
}

static int compare_numbers(const void *a, const void *b)
{
    long left = *(const long *)a, right = *(const long *)b;
    return (left > right) - (left < right);
}

/* Closes the last streams, so that the others keep their numbers. */
static void leave(int leaving)
{
    if (leaving > count)
        fail("leave: there are only %d streams", count);
    while (leaving-- > 0)
        if (streams[--count].fd >= 0)
            close(streams[count].fd);
    opened = ready = count;
    puts("ok");
}

/* Waits until all streams are closed, and prints how they ended, for tests of a drain. */
static void wait_close(void)
{
    while (closed < count)
        turn(false, "the close");
    int ended = 0, with_retry = 0, distinct = 0;
    long *values = calloc((size_t)count, sizeof *values);
    if (values == NULL)
        fail("out of memory");
    for (int i = 0; i < count; i++) {
        /* Every stream begins with a retry; a drain sends another after `ready`. */
        const char *from = strstr(streams[i].body + streams[i].body_start, "event: ready\n");
        const char *retry = from != NULL ? strstr(from, "\nretry: ") : NULL;
        ended += streams[i].ended;
        if (retry != NULL)
            values[with_retry++] = strtol(retry + 8, NULL, 10);
    }
    qsort(values, (size_t)with_retry, sizeof *values, compare_numbers);
    for (int i = 0; i < with_retry; i++)
        distinct += i == 0 || values[i] != values[i - 1];
    printf("closed %d ended %d retry %d distinct %d from %ld to %ld\n", closed, ended, with_retry,
        distinct, with_retry > 0 ? values[0] : 0, with_retry > 0 ? values[with_retry - 1] : 0);
    free(values);
}

static void run_command(const char *line)
{
    int wanted, text = 0;
    if (sscanf(line, "count %d %n", &wanted, &text) == 1 && text > 0 && line[text] != '\0')
        count_text(wanted, line + text);
    else if (strcmp(line, "segments") == 0)
        print_segments();
    else if (strcmp(line, "stall") == 0)
        watch_all(0);
    else if (strcmp(line, "resume") == 0)
        watch_all(EPOLLIN);
    else if (sscanf(line, "leave %d", &wanted) == 1)
        leave(wanted);
    else if (strcmp(line, "wait-close") == 0)
        wait_close();
    else
        fail("expected a command, got: %s", line);
}

/* Prints how many streams are ready or were refused, and forgets the refused ones. */
static void report(void)
{
    long least = LONG_MAX, most = 0;
    int kept = 0;
    for (int i = 0; i < count; i++) {
        struct stream *s = &streams[i];
        if (s->busy) {
            const char *retry = strstr(s->body + s->body_start, "retry: ");
            long value = retry != NULL ? strtol(retry + 7, NULL, 10) : -1;
            least = value < least ? value : least;
            most = value > most ? value : most;
            free(s->body);
            continue;
        }
        streams[kept] = *s;
        watch(&streams[kept++], EPOLL_CTL_MOD, EPOLLIN);
    }
    opened = count = kept;
    if (busy == 0)
        printf("ready %d\n", ready);
    else
        printf("ready %d busy %d from %ld to %ld\n", ready, busy, least, most);
}

/* Reads and runs commands. Several may arrive at once, and one may arrive in pieces. Returns false
 * at the end of standard input. */
static bool read_commands(void)
{
    static char bytes[4096];
    static size_t len;
    ssize_t n = read(STDIN_FILENO, bytes + len, sizeof bytes - len);
    if (n <= 0)
        return false;
    len += (size_t)n;
    char *end;
    while ((end = memchr(bytes, '\n', len)) != NULL) {
        *end++ = '\0';
        run_command(bytes);
        len -= (size_t)(end - bytes);
        memmove(bytes, end, len);
    }
    if (len == sizeof bytes)
        fail("a command is too long");
    return true;
}

/* ==== One request ============================================================================ */

/* Copies until the end of `from`. */
static void copy(int from, int to)
{
    char bytes[READ_BYTES];
    ssize_t n;
    while ((n = read(from, bytes, sizeof bytes)) > 0)
        if (write(to, bytes, (size_t)n) != n)
            fail("write: %s", strerror(errno));
    if (n < 0)
        fail("read: %s", strerror(errno));
}

/* Runs `crowd PORT send`. */
static int send_input(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) < 0)
        fail("connect: %s", strerror(errno));
    copy(STDIN_FILENO, fd);
    shutdown(fd, SHUT_WR);
    copy(fd, STDOUT_FILENO);
    return 0;
}

int main(int argc, char **argv)
{
    bool one = argc == 3 && strcmp(argv[2], "send") == 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!one && (argc < 4 || argc > 5)) {
        fputs("usage: crowd PORT COUNT PATH [SECONDS], or crowd PORT send\n", stderr);
        return 2;
    }
    server.sin_family = AF_INET;
    server.sin_port = htons((uint16_t)atoi(argv[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (one)
        return send_input();
    count = atoi(argv[2]);
    path = argv[3];
    end_ms = now_ms() + 1000 * (argc > 4 ? atoi(argv[4]) : 60);
    if (count < 1 || count > COUNT_MAX)
        fail("COUNT must be from 1 to %d", COUNT_MAX);

    /* Each stream needs a descriptor, and the usual limit is 1,024. */
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    streams = calloc((size_t)count, sizeof *streams);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (streams == NULL || epoll < 0)
        fail("out of memory");

    while (ready + busy < count) {
        turn(false, "ready");
        if (closed > 0)
            fail("a stream was closed before it was ready");
    }
    report();
    for (;;)
        if (turn(true, "a command") && !read_commands())
            return 0;
}
