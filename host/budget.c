/* budget.c - the estimate of budget.h.
 *
 * Each limit was chosen for its own reason, and their product is easily overlooked: 256 rooms of
 * --history 64M are 16 GB, but only once all rooms are full. So the sum is said at the start:
 *
 *      rooms     2 x --history each: frames, and as much again for entries and keys
 *      buffers   for requests and answers that are under way (net/limits.c)
 *      streams   5 KB each, most of it in the kernel
 *
 * Left out: the binary, small buffers, what the kernel holds for connections that are no streams,
 * and the pages that a compaction copies because they change meanwhile. */

#include "host/budget.h"

#include "base/print.h"
#include "host/field.h"
#include "net/limits.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

enum {
    AMOUNT_BYTES = 24,
    STREAM_BYTES = 5 * KIB,
    TEXT_MAX_BYTES = 4096, /* a path, and the files of the kernel that are read here */
};

/* ==== What there is ========================================================================== */

/* Reads the beginning of a file, up to TEXT_MAX_BYTES - 1, as a string. Returns false if there is
 * no such file. */
static bool read_text(const char *path, char text[TEXT_MAX_BYTES])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, TEXT_MAX_BYTES - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Returns memory.max of one control group. The file does not exist in the root, and contains "max"
 * if there is no limit. */
static uint64_t group_limit(struct span group)
{
    char path[TEXT_MAX_BYTES + 64], text[TEXT_MAX_BYTES];
    unsigned long long limit;
    print_into(path, sizeof path, "/sys/fs/cgroup%.*s/memory.max", (int)group.len, group.at);
    if (read_text(path, text) &&
        span_number((struct span) { text, strcspn(text, "\n") }, UINT64_MAX, &limit))
        return limit;
    return UINT64_MAX;
}

/* Returns the least limit of the process's control group (version 2: the line that begins with
 * "0::") and of the groups around it; UINT64_MAX if there is none. */
static uint64_t control_group(void)
{
    char text[TEXT_MAX_BYTES];
    struct span rest, line, group = { text, 0 };
    uint64_t least;
    if (!read_text("/proc/self/cgroup", text))
        return UINT64_MAX;
    for (rest = span_of(text); span_split(&rest, '\n', &line);)
        if (line.len > 3 && memcmp(line.at, "0::", 3) == 0)
            group = (struct span) { line.at + 3, line.len - 3 };
    for (least = group_limit(group); group.len > 0;) {
        while (group.len > 0 && group.at[--group.len] != '/')
            continue;
        uint64_t limit = group_limit(group);
        least = limit < least ? limit : least;
    }
    return least;
}

static uint64_t machine(void)
{
    struct sysinfo info;
    return sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : UINT64_MAX;
}

/* Returns the limit of the process's address space (ulimit -v, systemd: LimitAS). It is larger than
 * the memory that the process can use, but allocations fail there. */
static uint64_t address_space(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur
                                                                                : UINT64_MAX;
}

/* What bounds the memory: its name in the log, and in a sentence. */
struct bound {
    uint64_t bytes;
    const char *name, *words;
};

static struct bound least_bound(void)
{
    const struct bound all[] = { { machine(), "machine", "machine" },
        { control_group(), "cgroup", "control group (memory.max)" },
        { address_space(), "limit", "process (RLIMIT_AS)" } };
    struct bound least = all[0];
    for (size_t i = 1; i < sizeof all / sizeof *all; i++)
        if (all[i].bytes < least.bytes)
            least = all[i];
    return least;
}

uint64_t budget_memory(void)
{
    return least_bound().bytes;
}

/* ==== Memory ================================================================================= */

struct budget {
    uint64_t rooms, buffers, streams; /* bytes; UINT64_MAX: unlimited */
};

static uint64_t sum(uint64_t a, uint64_t b)
{
    return b <= UINT64_MAX - a ? a + b : UINT64_MAX;
}

static struct budget add_up(const struct options *o, unsigned descriptors)
{
    uint64_t rooms =
        o->hub.allowed.count > 0 ? o->hub.allowed.count : o->hub.max_rooms + (o->hub.max_rooms > 0);
    return (struct budget) {
        .rooms = rooms > 0 ? rooms * 2 * o->hub.history : UINT64_MAX,
        .buffers = limits_max_buffers(&o->net),
        .streams = (uint64_t)limits_max_streams(&o->net, descriptors) * STREAM_BYTES,
    };
}

/* Writes an amount in the unit of the options, rounded up. Returns `out`. */
static const char *amount(uint64_t bytes, char out[AMOUNT_BYTES])
{
    unsigned long long whole = bytes / MIB;
    if (bytes == UINT64_MAX)
        print_into(out, AMOUNT_BYTES, "unlimited");
    else
        print_into(out, AMOUNT_BYTES, "%lluM", bytes % MIB > 0 ? whole + 1 : whole);
    return out;
}

/* Returns what lowers the largest part. */
static const char *advice(const struct budget *b)
{
    if (b->rooms == UINT64_MAX)
        return "set --max-rooms, or allow only some rooms with --room";
    if (b->rooms >= b->buffers && b->rooms >= b->streams)
        return "lower --history or --max-rooms, or allow only some rooms with --room";
    return b->buffers >= b->streams ? "lower --max-body" : "lower --max-streams";
}

/* Logs the hint if `most` bytes are over three quarters of what is there. Returns whether they
 * are. */
static bool log_excess(
    enum log_level level, uint64_t most, const struct bound *there, const char *advice)
{
    bool exceeds = most / 3 > there->bytes / 4;
    if (exceeds)
        log_line(level,
            "memory hint=\"these settings allow more than three quarters of the memory of this "
            "%s; %s\"",
            there->words, advice);
    return exceeds;
}

/* Warns only about what an option allows. The usual limit of descriptors allows half a million
 * streams on the smallest machine, which is worth saying, but is not a mistake in the setup. */
static void log_memory(const struct options *o, unsigned descriptors)
{
    char texts[5][AMOUNT_BYTES];
    struct budget b = add_up(o, descriptors);
    uint64_t most = sum(sum(b.rooms, b.buffers), b.streams);
    struct bound there = least_bound();
    log_line(LOG_INFO, "memory most=%s rooms=%s buffers=%s streams=%s %s=%s",
        amount(most, texts[0]), amount(b.rooms, texts[1]), amount(b.buffers, texts[2]),
        amount(b.streams, texts[3]), there.name, amount(there.bytes, texts[4]));
    if (o->net.max_streams == 0)
        b.streams = 0;
    uint64_t set = sum(sum(b.rooms, b.buffers), b.streams);
    if (!log_excess(LOG_WARN, set, &there, advice(&b)))
        log_excess(LOG_INFO, most, &there, "set --max-streams");
}

/* ==== Bursts ================================================================================= */

/* A reader may lag as far as the history reaches. So what one address may post at once, after a
 * rest, should be at most half of it, or every reader can be cut off before it could read. Without
 * a rate there is no such bound: only --check says so, because it was asked for. */
static void log_burst(const struct options *o)
{
    char burst[AMOUNT_BYTES] = "unlimited";
    const char *hint = "lower --post-rate or --max-body, or raise --history";
    uint64_t bytes = o->net.post_rate * PEERS_BURST_SECONDS * LIMITS_POST_BYTES;
    if (bytes < o->net.max_body)
        bytes = o->net.max_body;
    if (o->net.post_rate == 0 ? !o->check : bytes <= o->hub.history / 2)
        return;
    if (o->net.post_rate == 0)
        hint = "set --post-rate";
    else
        print_into(burst, sizeof burst, "%lluK", (unsigned long long)(bytes / KIB));
    log_line(LOG_WARN,
        "posts burst=%s history=%lluK hint=\"one address may post over half of a room's history at "
        "once, before others can read it; %s\"",
        burst, (unsigned long long)(o->hub.history / KIB), hint);
}

void budget_log(const struct options *options, unsigned descriptors)
{
    log_memory(options, descriptors);
    log_burst(options);
}
