/* costs.c - part 1: what each URL's cheapest and dearest request costs the server.
 *
 * A few connections send the same request again and again, each as soon as it has its answer; a
 * connection that the server closes is opened again. So the server is busy all the time, and a
 * request pays for its system calls and for whatever the server does because of it later, but not
 * for waking up. The cost is the server's CPU time, which other work on the machine changes
 * little. */

#include "test/bench/abuse/abuse.h"

enum {
    ROWS_MAX = 256,
    NAMED = 100, /* streams with different names in one room */
    LINES = 8,
    SMALL_BYTES = 1024, /* a request with so few bytes can have its cost only from its answer */
    PAGE_BYTES = 70 * 1024,
};

struct cost {
    double us[RUNS_MAX];
    double heads[RUNS_MAX]; /* the same as a multiple of HEAD /healthz, measured just before */
    size_t sent, got;
    int status;
    bool connects;  /* each request needs a connection */
    bool is_single; /* a page with one message at most, which may be of any length */
};

static struct cost costs[ROWS_MAX];
static struct line lines[LINES];
static int port;

/* ==== Measuring ============================================================================== */

/* Repeats a request over all lines for this long, at least once on each. Returns how often it was
 * sent. */
static unsigned ask_all(const struct text *request, int64_t us)
{
    unsigned count = 0;
    for (int64_t end = now_us() + us;;) {
        struct pollfd ready[LINES];
        unsigned busy = 0;
        for (int i = 0; i < LINES; i++) {
            struct line *l = &lines[i];
            if (!l->busy && (count < LINES || now_us() < end)) {
                line_begin(l, port, request);
                count++;
            }
            ready[i] = (struct pollfd) { .fd = -1 };
            if (l->busy)
                ready[i] = (struct pollfd) { .fd = l->fd, .events = line_events(l) };
            busy += l->busy;
        }
        if (busy == 0)
            return count;
        if (poll(ready, LINES, 1000 * TOOL_ANSWER_SECONDS) <= 0)
            fail("no answer to %.60s", request->at);
        for (int i = 0; i < LINES; i++)
            if (ready[i].revents != 0)
                line_move(&lines[i], ready[i].revents);
    }
}

/* Returns what a request costs, in microseconds. The first requests are not counted. Sets whether
 * each needs a connection. */
static double measure_request(pid_t pid, const struct text *request, int64_t us, bool *connects)
{
    unsigned opened = 0;
    ask_all(request, 0);
    for (int i = 0; i < LINES; i++)
        lines[i].connects = 0;
    int64_t cpu = machine_cpu_ns(pid);
    unsigned count = ask_all(request, us);
    sleep_us(1000); /* for the last closing */
    cpu = machine_cpu_ns(pid) - cpu;
    for (int i = 0; i < LINES; i++)
        opened += lines[i].connects;
    *connects = opened > count / 2;
    return (double)cpu / 1000 / count;
}

/* Measures a row, and before it the first row of its server: other work on the machine makes CPU
 * time dearer from minute to minute, but both alike. */
static void measure(pid_t pid, size_t base, size_t row, int run, int64_t us)
{
    struct cost *cost = &costs[row];
    struct text request = { 0 };
    text_request(&request, &rows[base].request, 0);
    double head = measure_request(pid, &request, us / 2, &cost->connects);
    request.len = 0;
    text_request(&request, &rows[row].request, 0);
    cost->us[run] = measure_request(pid, &request, us, &cost->connects);
    cost->heads[run] = cost->us[run] / head;
    cost->sent = request.len;
    cost->got = lines[0].answer.len;
    cost->status = lines[0].status;
    const char *first = strstr(lines[0].answer.at, "{\"id\":");
    cost->is_single = first == NULL || strstr(first + 1, "{\"id\":") == NULL;
    free(request.at);
}

/* ==== Servers ================================================================================ */

/* Posts what a server must hold. */
static void fill(enum kind kind)
{
    struct text request = { 0 };
    for (size_t i = 0; i < filling_count; i++) {
        const struct filling *f = &fillings[i];
        for (unsigned j = 0; f->kind == kind && j < f->times; j++) {
            request.len = 0;
            text_request(&request, &f->request, j % f->numbers);
            if (line_ask(lines, port, &request) != 201)
                fail("expected 201 for %.200s", request.at);
        }
    }
    free(request.at);
}

/* Opens streams with long names in one room. They stay open. */
static void open_names(int *fds)
{
    static const struct request form = { .target =
                                             "GET /events?room=names&name=<28:%F0%9F%98%80>#" };
    struct text request = { 0 };
    for (int i = 0; i < NAMED; i++) {
        request.len = 0;
        text_request(&request, &form, (unsigned)i);
        fds[i] = connect_to(port);
        if (fds[i] < 0 || !send_all(fds[i], request.at, request.len))
            fail("connect: %s", strerror(errno));
    }
    free(request.at);
}

/* Measures all rows of one kind of server. */
static void measure_kind(enum kind kind, const char *key, const struct plan *plan)
{
    const char *options[] = { "--post-rate", "0", "--max-streams-per-ip", "0", NULL, NULL, NULL };
    int names[NAMED];
    options[4] = kind == PROXIED ? "--trust-proxy" : kind == KEYED ? "--key" : NULL;
    options[5] = kind == PROXIED ? "127.0.0.1" : key;
    size_t base = 0;
    while (rows[base].kind != kind)
        base++;
    pid_t pid = machine_start(options, &port);
    fill(kind);
    if (kind == PLAIN)
        open_names(names);
    for (int run = 0; run < plan->runs; run++)
        for (size_t row = 0; row < row_count; row++)
            if (rows[row].kind == kind)
                measure(pid, base, row, run, plan->cost_us);
    for (int i = 0; i < LINES; i++)
        line_close(&lines[i]);
    for (int i = 0; kind == PLAIN && i < NAMED; i++)
        close(names[i]);
    end_server(pid);
}

/* ==== The table ============================================================================== */

/* Returns what a request may cost in HEADs: two, or eight if it needs a connection, and one for
 * each KB that is sent or answered. */
static double fair_heads(const struct cost *c)
{
    return (c->connects ? 8 : 2) + (double)(c->sent + c->got) / 1024;
}

/* Prints a goal about the dearest of some rows: those whose targets begin with one of two texts.
 * Long requests do not count, because their own bytes cost something. */
static void print_goal(
    const char *goal, const char *begin, const char *other, double most, int runs)
{
    size_t worst = 0;
    double heads = 0;
    for (size_t i = 0; i < row_count; i++) {
        const char *target = rows[i].request.target;
        bool counts = strncmp(target, begin, strlen(begin)) == 0 ||
                      strncmp(target, other, strlen(other)) == 0;
        if (counts && costs[i].sent <= SMALL_BYTES && !costs[i].connects &&
            median(costs[i].heads, runs) > heads)
            heads = median(costs[worst = i].heads, runs);
    }
    printf("- %s: %.1f times (%s): %s\n", goal, heads, rows[worst].request.name,
        heads <= most ? "pass" : "**MISS**");
}

/* Prints the goal about the longest page of several messages. */
static void print_page_goal(void)
{
    size_t longest = 0;
    for (size_t i = 0; i < row_count; i++)
        if (strncmp(rows[i].request.target, "GET /messages", 13) == 0 && !costs[i].is_single &&
            costs[i].got > costs[longest].got)
            longest = i;
    printf("- a page of several messages, at most 70 KB: %zu bytes (%s): %s\n", costs[longest].got,
        rows[longest].request.name, costs[longest].got <= PAGE_BYTES ? "pass" : "**MISS**");
}

static void print_table(int runs)
{
    puts("\n## What a request costs\n\n"
         "The server's CPU time, in µs and as a multiple of that of `HEAD /healthz`. A fair price "
         "is\n"
         "two HEADs, or eight with a new connection (*), and one for each KB sent or answered.\n\n"
         "| request | sent | answered | status | µs | x HEAD | x a fair price |\n"
         "| --- | --- | --- | --- | --- | --- | --- |");
    for (size_t i = 0; i < row_count; i++) {
        struct cost *c = &costs[i];
        double heads = median(costs[i].heads, runs), unfair = heads / fair_heads(c);
        printf(unfair > 1 ? "| %s%s | %zu | %zu | %d | %.1f | %.1f | **%.1f** |\n"
                          : "| %s%s | %zu | %zu | %d | %.1f | %.1f | %.1f |\n",
            rows[i].request.name, c->connects ? " *" : "", c->sent, c->got, c->status,
            median(c->us, runs), heads, unfair);
    }
    puts("");
    print_goal("HEAD of any URL, at most 2 HEAD /healthz", "HEAD ", "HEAD ", 2, runs);
    print_goal("a page, under 100 HEAD /healthz", "GET /messages", "GET /rooms", 100, runs);
    print_page_goal();
}

void costs_run(const struct plan *plan)
{
    char folder[64], key[128];
    make_folder("/tmp", "abuse", folder, sizeof folder);
    snprintf(key, sizeof key, "%s/key", folder);
    int fd = open(key, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "0123456789abcdef0123456789abcdef", 32) != 32)
        fail("%s: %s", key, strerror(errno));
    close(fd);
    for (int i = 0; i < LINES; i++)
        lines[i] = (struct line) { .fd = -1, .address = INADDR_LOOPBACK };
    for (enum kind kind = 0; kind < KINDS; kind++)
        measure_kind(kind, key, plan);
    remove_folder(folder);
    print_table(plan->runs);
}
