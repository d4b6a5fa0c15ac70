/* havoc.c - everything goes wrong in random order, and nothing that was promised may break.
 *
 *     havoc --server PATH [--seconds 60] [--seed N] [--folder DIR] [--acts NAME,...]
 *
 * The server (a build with disk.c, so that its disk and clock can be made to fail) runs on a
 * journal. Again and again it is killed, while it serves, starts or compacts, or is ended with
 * SIGTERM. Its calls to the disk fail, write too little, or take long; the disk is full; its clock
 * steps. While it runs, its journal is moved away, removed, cut, replaced or written to; between
 * two starts the journal is cut, damaged, joined with a copy or replaced by an older one, and the
 * limits change. Meanwhile publishers post messages with keys to 20 rooms, each until it is
 * answered, and readers of all kinds read them: fast or a byte at a time, in one room or in 16,
 * with and without chunks, by pages, resuming wherever they were cut.
 *
 * check.c and ledger.c say what must hold. In short: a reader that resumes misses nothing that was
 * acknowledged, or gets a `gap`; gets nothing twice or out of order; gets no `gap` without a
 * reason; every message is as it was posted; a key that is held is answered with the first id; and
 * the server recovers from every fault by itself, and ends only when it is told to.
 *
 * --acts chooses what goes wrong (acts.c lists the names). The seed is printed; the same seed makes
 * the same decisions, but the timing differs. HAVOC_TRACE=1 prints each act as it happens. Power
 * loss is not tested: what the kernel has is never lost. */

#include "test/tools/havoc/havoc.h"

#include <getopt.h>
#include <sys/stat.h>

enum {
    ACTORS_MAX = 64,
    TURN_MS = 2,         /* the longest turn of the loop: acts are on time within this */
    FINISH_MS = 60000,   /* the longest wait for the clients to catch up at the end */
    PIECE_BYTES = 65536, /* read at a time from an answer */
};

unsigned long long seed;
char folder[3000], journal_path[4096];
int64_t begin_us, turn_us;
uint64_t order;
bool finishing;

static struct actor *actors[ACTORS_MAX];
static unsigned actor_count;

/* ==== Clients ================================================================================ */

void *grow(void *at, size_t size)
{
    void *grown = realloc(at, size);
    if (grown == NULL)
        broken("out of memory");
    return grown;
}

void loop_add(struct actor *actor)
{
    if (actor_count == ACTORS_MAX)
        broken("too many actors");
    actor->fd = -1;
    actors[actor_count++] = actor;
}

bool actor_connect(struct actor *actor, uint64_t *random, int buffer)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        broken("socket: %s", strerror(errno));
    if (buffer > 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct pollfd connected = { .fd = fd, .events = POLLOUT };
    int error = 0;
    socklen_t len = sizeof error;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 &&
        (errno != EINPROGRESS || poll(&connected, 1, 20) <= 0 ||
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0)) {
        close(fd);
        actor->fd = -1;
        actor->wake_us = turn_us + 500 + below(random, 5000);
        return false;
    }
    actor->fd = fd;
    actor->events = POLLIN;
    actor->wake_us = INT64_MAX;
    return true;
}

bool actor_send(struct actor *actor, const char *bytes, size_t len)
{
    order++;
    return send(actor->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

void actor_hang_up(struct actor *actor, int64_t pause_us)
{
    if (actor->fd >= 0)
        close(actor->fd);
    actor->fd = -1;
    actor->wake_us = turn_us + pause_us;
}

/* Finds the body in an answer whose head is complete. Returns whether the body is, too. */
static bool find_body(struct answer *a, char *end)
{
    *end = '\0';
    const char *length = strcasestr(a->bytes, "\r\nContent-Length: ");
    if (length == NULL || strncmp(a->bytes, "HTTP/1.1 ", 9) != 0)
        broken("expected the head of an answer with Content-Length, got: %s", a->bytes);
    size_t head = (size_t)(end + 4 - a->bytes), len = strtoul(length + 18, NULL, 10);
    a->status = atoi(a->bytes + 9);
    a->close = strcasestr(a->bytes, "\r\nConnection: close") != NULL;
    a->body = a->bytes + head;
    *end = '\r';
    if (a->len > head + len)
        broken("got bytes after an answer: %s", a->body + len);
    return a->len == head + len;
}

int answer_read(struct answer *a, int fd)
{
    if (a->len + PIECE_BYTES + 1 > a->capacity) {
        a->capacity = 2 * a->capacity + PIECE_BYTES + 1;
        a->bytes = grow(a->bytes, a->capacity);
    }
    ssize_t n = recv(fd, a->bytes + a->len, a->capacity - a->len - 1, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0)
        return -1;
    a->len += (size_t)n;
    a->bytes[a->len] = '\0';
    char *end = strstr(a->bytes, "\r\n\r\n");
    if (end == NULL || !find_body(a, end))
        return 0;
    order++;
    return 1;
}

/* ==== The loop =============================================================================== */

/* Runs one turn: waits for a client that is ready, or is due, and lets each of those act. */
static void run_turn(void)
{
    struct pollfd ready[ACTORS_MAX];
    int64_t wake_us = now_us() + TURN_MS * 1000;
    for (unsigned i = 0; i < actor_count; i++) {
        ready[i] = (struct pollfd) { .fd = actors[i]->fd, .events = actors[i]->events };
        if (actors[i]->wake_us < wake_us)
            wake_us = actors[i]->wake_us;
    }
    int64_t wait_us = wake_us - now_us();
    struct timespec limit = { .tv_nsec = wait_us > 0 ? (long)wait_us * 1000 : 0 };
    int count = ppoll(ready, actor_count, &limit, NULL);
    turn_us = now_us();
    for (unsigned i = 0; i < actor_count; i++) {
        bool is_ready = count > 0 && ready[i].fd >= 0 && ready[i].revents != 0;
        if (is_ready || actors[i]->wake_us <= turn_us)
            actors[i]->act(actors[i], is_ready);
    }
}

/* Runs the clients and the acts until a time. */
static void run_until(int64_t end_us)
{
    static int64_t check_us;
    while (now_us() < end_us) {
        run_turn();
        disk_tick();
        acts_tick();
        if (turn_us < check_us)
            continue;
        check_us = turn_us + 500000;
        readers_check();
        publishers_check();
        pages_check();
    }
}

/* Runs the clients until something is true. */
static void run_while_not(bool (*is_done)(void), const char *what)
{
    int64_t end_us = now_us() + FINISH_MS * 1000LL;
    while (!is_done()) {
        if (now_us() > end_us)
            pages_describe();
        if (now_us() > end_us)
            broken("at the end of the run: not done within %d s: %s", FINISH_MS / 1000, what);
        run_until(now_us() + 10000);
    }
}

/* ==== The run ================================================================================ */

/* Runs everything. At the end all clients catch up, each room is read from its beginning, and once
 * again after a restart. */
static void run(unsigned seconds, uint64_t *random)
{
    publishers_begin(random);
    readers_begin(random);
    pages_begin(random);
    acts_begin(random);
    run_until(begin_us + (int64_t)seconds * 1000000);
    note("the end begins");
    run_while_not(acts_calm, "the server runs without faults");
    finishing = true;
    run_while_not(publishers_are_done, "each message is acknowledged");
    run_while_not(readers_are_done, "each reader has caught up");
    pages_again();
    run_while_not(pages_are_done, "each room is read from its beginning");
    acts_restart();
    run_while_not(acts_calm, "the server has restarted");
    pages_again();
    run_while_not(pages_are_done, "each room is read from its beginning after a restart");
    run_while_not(acts_end, "the server has ended");
    readers_check_all();
    file_check_folder(false);
}

/* Reads the options. Returns the program of the server, or NULL. */
static const char *read_options(int argc, char **argv, unsigned *seconds, const char **acts)
{
    static const struct option options[] = { { "server", 1, NULL, 's' },
        { "seconds", 1, NULL, 't' }, { "seed", 1, NULL, 'x' }, { "folder", 1, NULL, 'f' },
        { "acts", 1, NULL, 'a' }, { 0 } };
    const char *server = NULL;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 's':
            server = optarg;
            break;
        case 't':
            *seconds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'x':
            seed = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            snprintf(folder, sizeof folder, "%s", optarg);
            break;
        case 'a':
            *acts = optarg;
            break;
        default:
            exit(2);
        }
    }
    return optind == argc ? server : NULL;
}

/* Makes the folder of the run, unless it is given, and in it the journal's own. */
static void prepare_folder(void)
{
    char path[4000];
    const char *parent = getenv("TMPDIR");
    if (folder[0] == '\0') {
        snprintf(folder, sizeof folder, "%s/havoc.XXXXXX", parent != NULL ? parent : "/tmp");
        if (mkdtemp(folder) == NULL)
            fail("%s: %s", folder, strerror(errno));
    }
    snprintf(path, sizeof path, "%s/box", folder);
    if (mkdir(path, 0700) < 0)
        fail("%s: %s", path, strerror(errno));
    snprintf(journal_path, sizeof journal_path, "%s/journal", path);
}

int main(int argc, char **argv)
{
    unsigned seconds = 60;
    const char *acts = "all";
    setvbuf(stdout, NULL, _IOLBF, 0);
    seed = (unsigned long long)time(NULL) * 1000 + (unsigned long long)getpid() % 1000;
    const char *server = read_options(argc, argv, &seconds, &acts);
    if (server == NULL || !acts_choose(acts)) {
        fputs("usage: havoc --server PATH [--seconds S] [--seed N] [--folder DIR] [--acts "
              "NAME,...]\n",
            stderr);
        return 2;
    }
    uint64_t random = seed;
    begin_us = turn_us = now_us();
    prepare_folder();
    server_prepare(server, &random);
    disk_prepare();
    printf("havoc: seed %llu, %u s, acts %s, folder %s\n", seed, seconds, acts, folder);
    run(seconds, &random);
    report_counts();
    disk_report();
    printf("havoc: %u compactions, %u recoveries in the server's log\n",
        server_count_log("compacted=1"), server_count_log("recovered=1"));
    return 0;
}
