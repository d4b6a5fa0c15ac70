/* abuse.c - a benchmark of what hostile clients can do: what a request may cost, and what others
 * notice.
 *
 *     abuse [--server ./ssechat] [--runs 3] [--seconds 1.5] [--part 1|2|3] [--quick]
 *
 * 1. The server's CPU time for each URL's cheapest and dearest request.
 * 2. One, three and ten hostile addresses attack in ten ways, each within its limits, while a
 *    bystander with addresses of its own measures GET /healthz, the delivery of its messages, and
 *    the opening of streams and pages, and watches its 50 streams.
 * 3. A rested address posts twenty large messages at once to a room with 4,000 readers.
 *
 * The servers of parts 2 and 3 have default options. The clients' addresses are real ones, in a
 * network of their own (machine.c), so no proxy is simulated, and no exception for loopback holds.
 *
 * The load uses all of a core, so a bystander in the same process, or one with the same priority,
 * would measure the load and not the server. Therefore the server has one core, all hostile
 * clients are one process on another, and the bystander is a process that takes that core from it
 * whenever it has something to do; as root, with real-time priority. With less than two cores the
 * times say little.
 *
 * All is measured --runs times; the figures are medians, the counts sums. It prints three tables
 * in Markdown, for docs/costs.md, and for each goal whether it passes. The exit code is 1 if a
 * bystander's stream was closed, one of its requests refused or a message lost, or a reader cut; a
 * time that misses its goal does not count, because the machine may have been busy. --quick makes
 * every part so short that only this exit code has a meaning. */

#include "test/bench/abuse/abuse.h"

#include <getopt.h>

enum { READERS = 4000, QUICK_READERS = 300 };

int main(int argc, char **argv)
{
    static const struct option options[] = { { "server", 1, NULL, 's' }, { "runs", 1, NULL, 'r' },
        { "seconds", 1, NULL, 't' }, { "part", 1, NULL, 'p' }, { "quick", 0, NULL, 'q' }, { 0 } };
    struct plan plan = { .runs = 3, .cost_us = 30000, .attack_us = 1500000, .readers = READERS };
    int part = 0;
    bool good = true;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 's')
            server_path = optarg;
        else if (c == 'r')
            plan.runs = atoi(optarg);
        else if (c == 't')
            plan.attack_us = (int64_t)(atof(optarg) * 1e6);
        else if (c == 'p')
            part = atoi(optarg);
        else if (c == 'q')
            plan = (struct plan) { 1, 0, 300000, QUICK_READERS, true };
        else
            plan.runs = 0; /* a mistake */
    }
    if (optind < argc || plan.runs < 1 || plan.runs > RUNS_MAX || plan.attack_us <= 0) {
        fputs(
            "usage: abuse [--server PATH] [--runs N] [--seconds S] [--part N] [--quick]\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    machine_prepare();
    if (part == 0 || part == 1)
        costs_run(&plan);
    if (part == 0 || part == 2)
        good &= attacks_run(&plan);
    if (part == 0 || part == 3)
        good &= readers_run(&plan);
    return good ? 0 : 1;
}
