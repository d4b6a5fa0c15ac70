/* attacks.c - part 2: what a bystander sees while one, three and ten addresses attack.
 *
 * A run has one server with default options; each attack comes from addresses that have not been
 * seen before. The bystander opens its streams again for each attack. */

#include "test/bench/abuse/abuse.h"

enum {
    CROWDS = 3,
    STREAMS = 50,
    KEPT_US = 2500,
    NEW_US = 10000,
    POST_US = 25000,
    OPENING_US = 50000, /* mean times between two requests of the bystander */
    WARM_US = 300000,
    GRACE_US = 1000000, /* how long an attack goes on while the bystander awaits its last answers */
    SETTLE_US = 50000,  /* the server must use little of that */
    SETTLE_MOST_US = 5000000, /* after an attack */
    BYSTANDER_NET = 100,      /* those of the attackers are below */
};

static const unsigned crowds[CROWDS] = { 1, 3, 10 };
static const char *const names[] = {
#define ATTACK_TEXT(attack, text) text,
    ATTACKS(ATTACK_TEXT)
};

/* The figures of an attack. */
enum figure {
    KEPT_MEDIAN,
    KEPT_P99,
    KEPT_MOST,
    NEW_MEDIAN,
    NEW_P99,
    DELIVERY_MEDIAN,
    DELIVERY_P99,
    OPENING_P99,
    FIGURES
};

struct result {
    double figures[FIGURES][RUNS_MAX];
    unsigned closed, refused, lost; /* of all runs */
};

static struct result results[ATTACK_COUNT][CROWDS];
static double busy_part; /* of the time, other work had the server's core */

/* ==== Measuring ============================================================================== */

/* Keeps what a bystander has seen. */
static void keep(struct result *r, const struct bystander *b, int run)
{
    r->figures[KEPT_MEDIAN][run] = b->sights[KEPT].median;
    r->figures[KEPT_P99][run] = b->sights[KEPT].p99;
    r->figures[KEPT_MOST][run] = b->sights[KEPT].most;
    r->figures[NEW_MEDIAN][run] = b->sights[NEW].median;
    r->figures[NEW_P99][run] = b->sights[NEW].p99;
    r->figures[DELIVERY_MEDIAN][run] = b->sights[DELIVERY].median;
    r->figures[DELIVERY_P99][run] = b->sights[DELIVERY].p99;
    r->figures[OPENING_P99][run] = b->sights[OPENING].p99;
    r->closed += b->closed;
    r->refused += b->refused;
    r->lost += b->lost;
}

/* Waits until the bystander is ready, which fails if its process ends before. */
static void await_ready(const struct bystander *b, pid_t pid)
{
    while (!b->ready) {
        int status;
        if (waitpid(pid, &status, WNOHANG) == pid)
            fail("the bystander ended");
        sleep_us(1000);
    }
}

/* Waits until the server has come to rest after an attack. */
static void settle(pid_t server)
{
    for (int64_t end_us = now_us() + SETTLE_MOST_US; now_us() < end_us;) {
        int64_t cpu = machine_cpu_ns(server);
        sleep_us(SETTLE_US);
        if (machine_cpu_ns(server) - cpu < SETTLE_US * 1000 / 10)
            return;
    }
}

/* Measures one attack. */
static void measure(
    enum attack attack, int crowd, int run, pid_t server, int port, const struct plan *plan)
{
    static unsigned net;
    struct bystander *b = machine_share(sizeof *b);
    struct assault *a = machine_share(sizeof *a);
    net++;
    *b = (struct bystander) { .streams = STREAMS,
        .net = BYSTANDER_NET + net,
        .kept_us = KEPT_US,
        .new_us = NEW_US,
        .post_us = POST_US,
        .opening_us = OPENING_US,
        .port = port };
    *a = (struct assault) {
        .attack = attack, .addresses = crowds[crowd], .net = 10 + net % 80, .port = port
    };
    if (attack == NO_ATTACK)
        a->addresses = 0;
    pid_t bystander = machine_fork(bystander_work, b, true);
    await_ready(b, bystander);
    pid_t hostile = machine_fork(hostile_work, a, false);
    sleep_us(WARM_US);
    b->measure = true;
    sleep_us(plan->attack_us);
    b->stop = true;
    for (int64_t end_us = now_us() + GRACE_US; now_us() < end_us && !b->done; sleep_us(1000))
        continue;
    a->stop = true;
    machine_join(bystander);
    machine_join(hostile);
    keep(&results[attack][crowd], b, run);
    fprintf(stderr,
        "run %d, %2u x %s: %zu + %zu GETs, p99 %.1f and %.1f ms, %zu deliveries, "
        "%u closed, %u refused, %u lost\n",
        run + 1, a->addresses, names[attack], b->sights[KEPT].count, b->sights[NEW].count,
        b->sights[KEPT].p99, b->sights[NEW].p99, b->sights[DELIVERY].count, b->closed, b->refused,
        b->lost);
    settle(server);
}

/* Returns whether this is measured: without an attack there is one crowd, and --quick leaves out
 * the largest. */
static bool is_measured(enum attack attack, int crowd, const struct plan *plan)
{
    return (attack != NO_ATTACK || crowd == 0) && (!plan->quick || crowd < CROWDS - 1);
}

/* ==== The table ============================================================================== */

/* Prints which goals a result misses, or `pass`. Over a new connection the median has no goal,
 * because the server needs a turn for the connection and one for the request. */
static void print_missed(const struct result *r, const double *f, int crowd)
{
    const struct {
        bool is_missed;
        const char *what;
    } goals[] = {
        { r->closed > 0, "a stream was closed" },
        { r->refused > 0, "a request was refused" },
        { r->lost > 0, "a message was lost" },
        { crowd == 0 && f[KEPT_MEDIAN] >= 5, "median" },
        { crowd == 0 && (f[KEPT_P99] >= 40 || f[NEW_P99] >= 40), "p99" },
        { crowd == 0 && f[DELIVERY_MEDIAN] >= 10, "delivery" },
        { crowd == CROWDS - 1 && (f[KEPT_P99] >= 250 || f[NEW_P99] >= 250), "p99" },
    };
    const char *before = "**MISS**: ";
    for (size_t i = 0; i < sizeof goals / sizeof *goals; i++)
        if (goals[i].is_missed) {
            printf("%s%s", before, goals[i].what);
            before = ", ";
        }
    puts(before[0] == '*' ? "pass |" : " |");
}

static void print_row(enum attack attack, int crowd, int runs)
{
    struct result *r = &results[attack][crowd];
    double f[FIGURES];
    for (enum figure i = 0; i < FIGURES; i++)
        f[i] = median(r->figures[i], runs);
    printf("| %s | %u | %.2f | %.1f | %.1f | %.2f | %.1f | %.2f | %.1f | %.1f | %u, %u, %u | ",
        names[attack], attack == NO_ATTACK ? 0 : crowds[crowd], f[KEPT_MEDIAN], f[KEPT_P99],
        f[KEPT_MOST], f[NEW_MEDIAN], f[NEW_P99], f[DELIVERY_MEDIAN], f[DELIVERY_P99],
        f[OPENING_P99], r->closed, r->refused, r->lost);
    print_missed(r, f, crowd);
}

static void print_table(const struct plan *plan)
{
    printf("\n## What a bystander sees\n\n"
           "Milliseconds, medians of %d runs. Other work on the machine had the server's core for "
           "%.1f %% of\nthe time.\n\n"
           "| attack | addresses | GET /healthz, median | p99 | longest | over a new connection, "
           "median | p99 | POST to delivery, median | p99 | opening a stream or a page, p99 | "
           "streams closed, requests refused, messages lost | goals |\n"
           "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        plan->runs, 100 * busy_part);
    for (enum attack attack = 0; attack < ATTACK_COUNT; attack++)
        for (int crowd = 0; crowd < CROWDS; crowd++)
            if (is_measured(attack, crowd, plan))
                print_row(attack, crowd, plan->runs);
    puts(
        "\nGoals: nothing is closed, refused or lost; with one hostile address GET /healthz has a\n"
        "median under 5 ms and a p99 under 40 ms, and a delivery a median under 10 ms; with ten,\n"
        "GET /healthz has a p99 under 250 ms.");
}

bool attacks_run(const struct plan *plan)
{
    static const char *const no_options[] = { NULL };
    bool good = true;
    for (int run = 0; run < plan->runs; run++) {
        int port;
        pid_t pid = machine_start(no_options, &port);
        int64_t begin = now_us();
        hostile_fill(port);
        for (enum attack attack = 0; attack < ATTACK_COUNT; attack++)
            for (int crowd = 0; crowd < CROWDS; crowd++)
                if (is_measured(attack, crowd, plan))
                    measure(attack, crowd, run, pid, port, plan);
        busy_part += (double)machine_wait_ns(pid) / 1e3 / (double)(now_us() - begin) / plan->runs;
        end_server(pid);
    }
    print_table(plan);
    for (enum attack attack = 0; attack < ATTACK_COUNT; attack++)
        for (int crowd = 0; crowd < CROWDS; crowd++) {
            const struct result *r = &results[attack][crowd];
            good &= r->closed + r->refused + r->lost == 0;
        }
    return good;
}
