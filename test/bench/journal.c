/* journal.c - a benchmark of the journal: publishes per second, compared with the disk alone.
 *
 *     journal-bench --server PATH --folder DIR [--seconds 3]
 *
 * The floor is a loop that appends 200 bytes to a file in the folder and calls fdatasync, as often
 * as it can. The real server has its journal in the same folder and 1, 16 and 128 publishers. Each
 * publisher has its own connection, and waits for its 201 before it posts again. The floor is
 * measured before and after each number of publishers, because a disk's speed varies; the ratio is
 * to the mean of the two.
 *
 * A single publisher pays for one sync and one round trip per message. Many publishers share a sync
 * (group commit): all messages that arrive in one turn of the server's loop are one batch. The
 * number of batches comes from /proc/PID/io, where each batch is one write; if that cannot be read,
 * the column shows a dash.
 *
 * The folder must be on the disk to measure: in memory (tmpfs) a sync is free. */

#include "../tools/tool.h"

#include <getopt.h>
#include <sys/epoll.h>
#include <sys/stat.h>

enum {
    PUBLISHERS_MAX = 128,
    RECORD_BYTES = 200,
    SAMPLES_MAX = 4 << 20,
};

/* A connection that always has one POST in flight. */
struct publisher {
    int fd;
    size_t have;
    int64_t sent_us;
    char answer[1024];
};

static struct publisher publishers[PUBLISHERS_MAX];
static char request[1024];
static size_t request_len;
static int epoll;
static uint32_t *samples; /* microseconds from a POST to its 201 */
static size_t sample_count;

/* ==== The floor ============================================================================== */

/* Returns how many times per second the disk can append a record and sync it. */
static double floor_of(const char *folder, double seconds)
{
    char path[4200], record[RECORD_BYTES];
    snprintf(path, sizeof path, "%s/floor", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        fail("%s: %s", path, strerror(errno));
    memset(record, 'x', sizeof record);
    int64_t begin_us = now_us(), now = begin_us, end_us = begin_us + (int64_t)(seconds * 1e6);
    long count = 0;
    for (; now < end_us; now = now_us(), count++)
        if (pwrite(fd, record, sizeof record, count * RECORD_BYTES) != RECORD_BYTES ||
            fdatasync(fd) < 0)
            fail("%s: %s", path, strerror(errno));
    close(fd);
    unlink(path);
    return (double)count * 1e6 / (double)(now - begin_us);
}

/* ==== Publishers ============================================================================= */

static void send_request(struct publisher *p)
{
    p->sent_us = now_us();
    p->have = 0;
    if (!send_all(p->fd, request, request_len))
        fail("a connection was closed before its answer");
}

/* Reads once. When the answer is complete, records its time and posts again. */
static void receive(struct publisher *p)
{
    ssize_t n = recv(p->fd, p->answer + p->have, sizeof p->answer - 1 - p->have, 0);
    if (n <= 0)
        fail("a connection was closed before its answer");
    p->have += (size_t)n;
    p->answer[p->have] = '\0';
    const char *head_end = strstr(p->answer, "\r\n\r\n");
    const char *length = strstr(p->answer, "\r\nContent-Length: ");
    if (head_end == NULL || length == NULL)
        return;
    size_t len = (size_t)(head_end + 4 - p->answer) + strtoul(length + 18, NULL, 10);
    if (p->have < len)
        return;
    if (strncmp(p->answer, "HTTP/1.1 201 ", 13) != 0)
        fail("expected a 201, got: %s", p->answer);
    if (sample_count < SAMPLES_MAX)
        samples[sample_count++] = (uint32_t)(now_us() - p->sent_us);
    send_request(p);
}

/* Runs all publishers for this long. Leaves their last POSTs in flight. */
static void run_publishers(double seconds)
{
    struct epoll_event events[PUBLISHERS_MAX];
    for (int64_t end_us = now_us() + (int64_t)(seconds * 1e6); now_us() < end_us;) {
        int count = epoll_wait(epoll, events, PUBLISHERS_MAX, 1000 * TOOL_ANSWER_SECONDS);
        if (count == 0)
            fail("no answer within %d seconds", TOOL_ANSWER_SECONDS);
        for (int i = 0; i < count; i++)
            receive(events[i].data.ptr);
    }
}

/* ==== The table ============================================================================== */

static int compare_samples(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* Returns how many write calls the process has made so far, or -1 if that cannot be read. */
static long writes_of(pid_t pid)
{
    char path[64], line[128];
    long count = -1;
    snprintf(path, sizeof path, "/proc/%d/io", pid);
    FILE *io = fopen(path, "re");
    while (io != NULL && fgets(line, sizeof line, io) != NULL)
        if (sscanf(line, "syscw: %ld", &count) == 1)
            break;
    if (io != NULL)
        fclose(io);
    return count;
}

/* Returns the sample at this fraction of the sorted samples: 0.5 gives the median. */
static double sample_ms(double part)
{
    return sample_count == 0 ? 0 : samples[(size_t)(part * (double)(sample_count - 1))] / 1000.0;
}

/* Measures and prints one row: the floor, `count` publishers, the floor again. */
static void measure(pid_t pid, int port, unsigned count, const char *folder, double seconds)
{
    double disk = floor_of(folder, seconds / 2);
    for (unsigned i = 0; i < count; i++) {
        struct publisher *p = &publishers[i];
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = p };
        p->fd = connect_to(port);
        if (p->fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &event) < 0)
            fail("connection %u: %s", i, strerror(errno));
        send_request(p);
    }
    run_publishers(seconds / 10); /* to warm up */
    sample_count = 0;
    long before = writes_of(pid);
    int64_t begin_us = now_us();
    run_publishers(seconds);
    double took = (double)(now_us() - begin_us) / 1e6;
    long writes = before >= 0 ? writes_of(pid) - before : -1;
    for (unsigned i = 0; i < count; i++)
        close(publishers[i].fd);
    disk = (disk + floor_of(folder, seconds / 2)) / 2;

    char syncs[32] = "-";
    if (writes >= 0)
        snprintf(syncs, sizeof syncs, "%.0f", (double)writes / took);
    double publishes = (double)sample_count / took;
    qsort(samples, sample_count, sizeof *samples, compare_samples);
    printf("%10u %12.0f %12s %14.0f %10.2f %10.2f %10.2f\n", count, publishes, syncs, disk,
        publishes / disk, sample_ms(0.5), sample_ms(0.99));
}

static pid_t start_server(const char *server, const char *journal, int *port)
{
    static char log[65536];
    const char *const arguments[] = { server, "--max-streams-per-ip", "0", "--post-rate", "0",
        "--listen", "127.0.0.1:0", "--journal", journal, NULL };
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        fail("pipe: %s", strerror(errno));
    pid_t pid = spawn(arguments, pipes[1]);
    *port = await_listening(pipes[0], log, sizeof log);
    if (*port == 0)
        fail("the server does not listen; it printed: %s", log);
    return pid; /* the pipe stays open at both ends: a log of a few lines fits into it */
}

/* Writes the POST that all publishers send, with a message of 100 characters. */
static void write_request(void)
{
    char text[101];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    char body[256];
    int len = snprintf(body, sizeof body, "{\"name\":\"bench\",\"message\":\"%s\"}", text);
    request_len = (size_t)snprintf(request, sizeof request,
        "POST /messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        "Content-Length: %d\r\n\r\n%s",
        len, body);
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "server", 1, NULL, 's' }, { "folder", 1, NULL, 'f' },
        { "seconds", 1, NULL, 't' }, { 0 } };
    static const unsigned counts[] = { 1, 16, 128 };
    const char *server = NULL, *parent = NULL;
    double seconds = 3;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 's':
            server = optarg;
            break;
        case 'f':
            parent = optarg;
            break;
        case 't':
            seconds = atof(optarg);
            break;
        default:
            return 2;
        }
    }
    if (server == NULL || parent == NULL || seconds <= 0) {
        fputs("usage: journal-bench --server PATH --folder DIR [--seconds S]\n", stderr);
        return 2;
    }
    char folder[4000], journal[4096], lock_path[4096];
    int port;
    snprintf(folder, sizeof folder, "%s/journal-bench.XXXXXX", parent);
    if (mkdtemp(folder) == NULL)
        fail("%s: %s", folder, strerror(errno));
    snprintf(journal, sizeof journal, "%s/journal", folder);
    snprintf(lock_path, sizeof lock_path, "%s/journal.lock", folder);
    setvbuf(stdout, NULL, _IOLBF, 0);
    samples = malloc(SAMPLES_MAX * sizeof *samples);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (samples == NULL || epoll < 0)
        fail("out of memory");
    write_request();

    pid_t pid = start_server(server, journal, &port);
    printf("publishing %zu-byte requests; the disk alone: %d bytes and fdatasync each time\n\n"
           "%10s %12s %12s %14s %10s %10s %10s\n",
        request_len, RECORD_BYTES, "publishers", "publishes/s", "writes/s", "disk alone/s", "ratio",
        "p50 ms", "p99 ms");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        measure(pid, port, counts[i], folder, seconds);
    int status = end_child(pid, SIGTERM);
    unlink(journal);
    unlink(lock_path);
    rmdir(folder);
    if (status != 0)
        fail("expected status 0 from the server, got %x", (unsigned)status);
    return 0;
}
