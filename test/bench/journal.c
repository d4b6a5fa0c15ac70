/* journal.c - a benchmark of the journal: publishes per second, compared with the disk alone, with
 * Redis and with SQLite, or with another build of the server.
 *
 *     journal-bench --server PATH [--server PATH] --folder DIR [--seconds 3] [--turns 7]
 *
 * The floor is a loop that appends 200 bytes to a file in the folder and calls fdatasync, as often
 * as it can. The real server has its journal in the same folder and 1, 16 and 128 publishers. Each
 * publisher has its own connection, and waits for its 201 before it posts again. The floor is
 * measured before and after each row, because a disk's speed varies; the ratio is to the mean of
 * the two.
 *
 * A single publisher pays for one sync and one round trip per message. Many publishers share a sync
 * (group commit): all messages that arrive in one turn of the server's loop are one batch. The
 * number of batches comes from /proc/PID/io, where each batch is one write; if that cannot be read,
 * the column shows a dash.
 *
 * Redis keeps an append-only file that it syncs before it answers (appendfsync always). Its clients
 * are the same publishers, with an XADD of 200 bytes instead of the POST. SQLite is called in this
 * process by a single writer, without a socket; instead of publishers, it has 1, 16 and 128 inserts
 * per transaction. It can be faster than the floor, because it overwrites its log from the
 * beginning after each checkpoint, and a sync is cheaper if the file does not become longer. Redis
 * or SQLite is skipped, with a note, if it is not installed.
 *
 * With two servers it measures only these, A and B in turns (A B A B ...), and prints the median,
 * the least and the greatest of the ratios B/A within a turn. A turn lasts a third of --seconds.
 *
 * The folder must be on the disk to measure: in memory (tmpfs) a sync is free. */

#include "figures.h"
#include "sqlite.h"

#include <getopt.h>
#include <sys/epoll.h>

enum {
    PUBLISHERS_MAX = 128,
    RECORD_BYTES = 200,
    TURNS_MAX = 100,
};

/* What one measurement has found. */
struct result {
    double per_s, batches_per_s; /* the latter is negative if it is unknown */
    double p50_ms, p99_ms;       /* from a request to its answer */
};

/* A server and its protocol. `answer_length` returns the length of the answer that begins here, or
 * 0 if its head has not arrived yet. Any answer but a success ends the benchmark. */
struct contestant {
    const char *name;
    pid_t pid;
    int port;
    bool counts_writes; /* each batch is one write(2), and there are no others */
    const char *request;
    size_t request_len;
    size_t (*answer_length)(const char *answer);
};

/* A connection that always has one request in flight. */
struct publisher {
    int fd;
    size_t have;
    int64_t sent_us;
    char answer[1024];
};

static const unsigned counts[] = { 1, 16, 128 };
enum { COUNTS = sizeof counts / sizeof *counts };

static struct publisher publishers[PUBLISHERS_MAX];
static const struct contestant *contestant; /* that is being measured */
static int epoll;
static struct samples samples; /* from a request to its answer */
static char folder[4000], record[RECORD_BYTES];
static double seconds = 3;
static int turns = 7;

/* Returns the result of the samples, of which each stands for a number of messages. */
static struct result summarize(double took, unsigned messages, double batches)
{
    return (struct result) { (double)samples.count * messages / took, batches / took,
        sample_ms(&samples, 0.5), sample_ms(&samples, 0.99) };
}

/* ==== The floor ============================================================================== */

/* Returns how many times per second the disk can append a record and sync it. */
static double measure_floor(double limit)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/floor", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        fail("%s: %s", path, strerror(errno));
    int64_t begin_us = now_us(), now = begin_us, end_us = begin_us + (int64_t)(limit * 1e6);
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

/* Sends the contestant's request. */
static void send_request(struct publisher *p)
{
    p->sent_us = now_us();
    p->have = 0;
    if (!send_all(p->fd, contestant->request, contestant->request_len))
        fail("a connection was closed before its answer");
}

/* Reads once. When the answer is complete, records its time and sends the request again. */
static void receive(struct publisher *p)
{
    ssize_t n = recv(p->fd, p->answer + p->have, sizeof p->answer - 1 - p->have, 0);
    if (n <= 0)
        fail("a connection was closed before its answer");
    p->have += (size_t)n;
    p->answer[p->have] = '\0';
    size_t len = contestant->answer_length(p->answer);
    if (len == 0 || p->have < len)
        return;
    add_sample(&samples, now_us() - p->sent_us);
    send_request(p);
}

/* Runs all publishers for this long. Leaves their last requests in flight. */
static void run_publishers(double limit)
{
    struct epoll_event events[PUBLISHERS_MAX];
    for (int64_t end_us = now_us() + (int64_t)(limit * 1e6); now_us() < end_us;) {
        int count = epoll_wait(epoll, events, PUBLISHERS_MAX, 1000 * TOOL_ANSWER_SECONDS);
        if (count == 0)
            fail("no answer within %d seconds", TOOL_ANSWER_SECONDS);
        for (int i = 0; i < count; i++)
            receive(events[i].data.ptr);
    }
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

/* Measures a server with this many publishers. */
static struct result measure(const struct contestant *c, unsigned count, double limit)
{
    contestant = c;
    for (unsigned i = 0; i < count; i++) {
        struct publisher *p = &publishers[i];
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = p };
        p->fd = connect_to(c->port);
        if (p->fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &event) < 0)
            fail("%s: connection %u: %s", c->name, i, strerror(errno));
        send_request(p);
    }
    run_publishers(limit / 10); /* to warm up */
    samples.count = 0;
    long before = c->counts_writes ? writes_of(c->pid) : -1;
    int64_t begin_us = now_us();
    run_publishers(limit);
    double took = (double)(now_us() - begin_us) / 1e6;
    long writes = before >= 0 ? writes_of(c->pid) - before : -1;
    for (unsigned i = 0; i < count; i++)
        close(publishers[i].fd);
    return summarize(took, 1, (double)writes);
}

/* ==== ssechat ================================================================================ */

/* Returns the length of a 201. */
static size_t http_length(const char *answer)
{
    const char *head_end = strstr(answer, "\r\n\r\n");
    const char *length = strstr(answer, "\r\nContent-Length: ");
    if (head_end == NULL || length == NULL)
        return 0;
    if (strncmp(answer, "HTTP/1.1 201 ", 13) != 0)
        fail("expected a 201, got: %s", answer);
    return (size_t)(head_end + 4 - answer) + strtoul(length + 18, NULL, 10);
}

/* Returns the POST that all publishers send, with a message of 100 characters. */
static const char *http_request(void)
{
    static char request[1024];
    char body[256];
    int len = snprintf(body, sizeof body, "{\"name\":\"bench\",\"message\":\"%.100s\"}", record);
    snprintf(request, sizeof request,
        "POST /messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        "Content-Length: %d\r\n\r\n%s",
        len, body);
    return request;
}

/* Starts a server, with a journal that is named after it. */
static struct contestant start_ssechat(const char *name, const char *path)
{
    char journal[4096];
    snprintf(journal, sizeof journal, "%s/journal-%s", folder, name);
    const char *const arguments[] = { path, "--max-streams-per-ip", "0", "--post-rate", "0",
        "--listen", "127.0.0.1:0", "--journal", journal, NULL };
    struct contestant c = {
        .name = name, .counts_writes = true, .request = http_request(), .answer_length = http_length
    };
    c.pid = start_server(arguments, &c.port);
    c.request_len = strlen(c.request);
    return c;
}

/* ==== Redis ================================================================================== */

/* Returns the length of the id that XADD answers: its number of bytes, and two line ends. */
static size_t redis_length(const char *answer)
{
    const char *end = strstr(answer, "\r\n");
    if (end == NULL)
        return 0;
    if (answer[0] != '$')
        fail("expected the id of a stream's entry, got: %s", answer);
    return (size_t)(end - answer) + 4 + strtoul(answer + 1, NULL, 10);
}

/* Returns the XADD that all publishers send. */
static const char *redis_request(void)
{
    static char request[1024];
    snprintf(request, sizeof request,
        "*5\r\n$4\r\nXADD\r\n$5\r\nbench\r\n$1\r\n*\r\n$7\r\nmessage\r\n$%d\r\n%.*s\r\n",
        RECORD_BYTES, RECORD_BYTES, record);
    return request;
}

/* Returns a port that is free now. */
static int free_port(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) < 0)
        fail("no port is free: %s", strerror(errno));
    close(fd);
    return ntohs(address.sin_port);
}

/* Starts Redis. Returns false if it is not installed. */
static bool start_redis(struct contestant *c)
{
    char port[16];
    *c = (struct contestant) { .name = "Redis",
        .port = free_port(),
        .request = redis_request(),
        .answer_length = redis_length };
    snprintf(port, sizeof port, "%d", c->port);
    const char *const arguments[] = { "/usr/bin/env", "redis-server", "--bind", "127.0.0.1",
        "--port", port, "--dir", folder, "--save", "", "--appendonly", "yes", "--appendfsync",
        "always", "--daemonize", "no", NULL };
    if (system("command -v redis-server >/dev/null") != 0)
        return false;
    c->pid = spawn(arguments, STDERR_FILENO);
    c->request_len = strlen(c->request);
    for (int64_t end_us = now_us() + 1000 * (int64_t)TOOL_START_MS; now_us() < end_us;) {
        int fd = connect_to(c->port);
        if (fd >= 0) {
            close(fd);
            return true;
        }
        sleep_us(10000);
    }
    fail("Redis does not listen");
}

/* ==== SQLite ================================================================================= */

/* Makes transactions of this many inserts for this long. */
static void run_sqlite(struct sqlite *s, unsigned count, double limit)
{
    int64_t now = now_us(), end_us = now + (int64_t)(limit * 1e6);
    while (now < end_us) {
        int64_t begin_us = now;
        sqlite_insert(s, count);
        now = now_us();
        add_sample(&samples, now - begin_us);
    }
}

/* Measures SQLite with a new database. */
static struct result measure_sqlite(struct sqlite *s, unsigned count)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/sqlite-%u", folder, count);
    sqlite_create(s, path, record, sizeof record);
    run_sqlite(s, count, seconds / 10); /* to warm up */
    samples.count = 0;
    int64_t begin_us = now_us();
    run_sqlite(s, count, seconds);
    double took = (double)(now_us() - begin_us) / 1e6;
    sqlite_end(s);
    return summarize(took, count, (double)samples.count);
}

/* ==== The comparison with other programs ===================================================== */

/* Prints a row, and returns the floor after it, which is also the next row's floor before it. */
static double print_row(const char *name, unsigned count, struct result r, double floor_before)
{
    char batches[32] = "-";
    double floor_after = measure_floor(seconds / 2), disk = (floor_before + floor_after) / 2;
    if (r.batches_per_s >= 0)
        snprintf(batches, sizeof batches, "%.0f", r.batches_per_s);
    printf("%-8s %8u %12.0f %12s %14.0f %10.2f %10.2f %10.2f\n", name, count, r.per_s, batches,
        disk, r.per_s / disk, r.p50_ms, r.p99_ms);
    return floor_after;
}

/* Prints the rows of one server and of the programs that are installed. */
static void compare_with_others(const struct contestant *ssechat)
{
    struct contestant redis;
    struct sqlite sqlite;
    bool has_redis = start_redis(&redis), has_sqlite = sqlite_load(&sqlite);
    if (!has_redis)
        fputs("Redis is not installed and is skipped\n", stderr);
    if (!has_sqlite)
        fputs("SQLite is not installed and is skipped\n", stderr);
    printf(
        "publishing %zu-byte requests; the disk alone: %d bytes and fdatasync each time\n"
        "at once: publishers, each with one request in flight; SQLite: inserts per transaction\n\n"
        "%-8s %8s %12s %12s %14s %10s %10s %10s\n",
        ssechat->request_len, RECORD_BYTES, "", "at once", "publishes/s", "batches/s",
        "disk alone/s", "ratio", "p50 ms", "p99 ms");
    double disk = measure_floor(seconds / 2);
    for (int i = 0; i < COUNTS; i++) {
        disk = print_row("ssechat", counts[i], measure(ssechat, counts[i], seconds), disk);
        if (has_redis)
            disk = print_row("Redis", counts[i], measure(&redis, counts[i], seconds), disk);
        if (has_sqlite)
            disk = print_row("SQLite", counts[i], measure_sqlite(&sqlite, counts[i]), disk);
    }
    if (has_redis)
        end_child(redis.pid, SIGTERM);
}

/* ==== The comparison of two servers ========================================================== */

/* Prints a row: the medians of both servers and of the disk alone, and the ratios. */
static void compare_row(const struct contestant *servers, unsigned count)
{
    double per_s[2][TURNS_MAX], p50_ms[2][TURNS_MAX], disk[TURNS_MAX], ratio[TURNS_MAX];
    for (int turn = 0; turn < turns; turn++) {
        disk[turn] = measure_floor(seconds / 6);
        for (int i = 0; i < 2; i++) {
            struct result r = measure(&servers[i], count, seconds / 3);
            per_s[i][turn] = r.per_s;
            p50_ms[i][turn] = r.p50_ms;
        }
        ratio[turn] = per_s[1][turn] / per_s[0][turn];
    }
    double middle = median(ratio, turns);
    printf("%10u %10.0f %10.0f %10.0f %8.2f %6.2f..%.2f %10.2f %10.2f\n", count,
        median(disk, turns), median(per_s[0], turns), median(per_s[1], turns), middle, ratio[0],
        ratio[turns - 1], median(p50_ms[0], turns), median(p50_ms[1], turns));
}

/* Prints the table of two servers. */
static void compare_servers(const struct contestant *servers)
{
    printf("%d turns of %.1f seconds for each server; per second, and the medians of the turns\n\n"
           "%10s %10s %10s %10s %8s %12s %10s %10s\n",
        turns, seconds / 3, "publishers", "disk alone", "A", "B", "B/A", "min..max", "A p50 ms",
        "B p50 ms");
    for (int i = 0; i < COUNTS; i++)
        compare_row(servers, counts[i]);
}

/* ==== Main =================================================================================== */

/* Starts the servers, measures, and removes all files again. */
static void run(const char *const *paths, int count)
{
    static const char *const names[] = { "A", "B" };
    struct contestant servers[2];
    for (int i = 0; i < count; i++)
        servers[i] = start_ssechat(names[i], paths[i]);
    if (count == 1)
        compare_with_others(&servers[0]);
    else
        compare_servers(servers);
    for (int i = 0; i < count; i++)
        end_server(servers[i].pid);
    remove_folder(folder);
}

/* Reads the options, and runs the benchmark. */
int main(int argc, char **argv)
{
    static const struct option options[] = { { "server", 1, NULL, 's' }, { "folder", 1, NULL, 'f' },
        { "seconds", 1, NULL, 't' }, { "turns", 1, NULL, 'n' }, { 0 } };
    const char *paths[2], *parent = NULL;
    int count = 0;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 's' && count < 2)
            paths[count++] = optarg;
        else if (c == 'f')
            parent = optarg;
        else if (c == 't')
            seconds = atof(optarg);
        else if (c == 'n')
            turns = atoi(optarg);
        else
            count = 3; /* a mistake */
    }
    if (count < 1 || count > 2 || parent == NULL || seconds <= 0 || turns < 1 ||
        turns > TURNS_MAX) {
        fputs("usage: journal-bench --server PATH [--server PATH] --folder DIR [--seconds S] "
              "[--turns N]\n",
            stderr);
        return 2;
    }
    make_folder(parent, "journal-bench", folder, sizeof folder);
    setvbuf(stdout, NULL, _IOLBF, 0);
    memset(record, 'x', sizeof record);
    make_samples(&samples);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    run(paths, count);
    return 0;
}
