/* server.c - starts and ends the server; its options, its log and its children. */

#include "test/tools/havoc/havoc.h"

#include <ctype.h>
#include <dirent.h>

enum { CHILDREN_END_MS = 5000 }; /* a compaction's child is gone that soon after its server */

struct life lives[LIVES_MAX];
unsigned life;
pid_t server_pid;
int port;

static const char *program;
static char log_path[4200];
static off_t log_begin; /* where the log of this life begins */

void server_prepare(const char *path, uint64_t *random)
{
    program = path;
    port = find_port(random);
    snprintf(log_path, sizeof log_path, "%s/log", folder);
}

/* All lives share one log and one journal. There are no limits per address, because all clients
 * share one. Silent streams get heartbeats often, so that a server that hangs is noticed. */
void server_start(void)
{
    const struct life *l = &lives[life];
    char listen[64], history[32], rooms[32];
    snprintf(listen, sizeof listen, "127.0.0.1:%d", port);
    snprintf(history, sizeof history, "%lluK", (unsigned long long)l->history / 1024);
    snprintf(rooms, sizeof rooms, "%u", l->max_rooms);
    const char *const arguments[] = { program, "--listen", listen, "--journal", journal_path,
        "--max-streams-per-ip", "0", "--post-rate", "0", "--heartbeat", "2", "--retry", "500",
        "--history", history, "--max-rooms", rooms, "--room-ttl", l->short_ttl ? "1s" : "3650d",
        "--sync", l->no_sync ? "none" : "always", NULL };
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0)
        broken("%s: %s", log_path, strerror(errno));
    log_begin = lseek(log, 0, SEEK_END);
    server_pid = spawn(arguments, log);
    close(log);
    counts[COUNT_STARTS]++;
    note("start with --history %s%s%s%s", history, l->max_rooms < ROOMS ? " --max-rooms" : "",
        l->short_ttl ? " --room-ttl" : "", l->no_sync ? " --sync none" : "");
}

bool server_has_ended(int *status)
{
    if (waitpid(server_pid, status, WNOHANG) != server_pid)
        return false;
    server_pid = 0;
    return true;
}

/* ==== What it leaves ========================================================================= */

/* Returns the log of this life. The next call reuses the memory. */
static char *read_log(void)
{
    static char *bytes;
    int log = open(log_path, O_RDONLY | O_CLOEXEC);
    off_t end = log >= 0 ? lseek(log, 0, SEEK_END) : 0;
    size_t len = end > log_begin ? (size_t)(end - log_begin) : 0;
    bytes = grow(bytes, len + 1);
    ssize_t n = len > 0 ? pread(log, bytes, len, log_begin) : 0;
    bytes[n > 0 ? n : 0] = '\0';
    if (log >= 0)
        close(log);
    return bytes;
}

/* Returns whether a process, given by its name in /proc, works on the journal. */
static bool has_journal(const char *name)
{
    char path[300], arguments[8192];
    snprintf(path, sizeof path, "/proc/%s/cmdline", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, arguments, sizeof arguments) : 0;
    if (fd >= 0)
        close(fd);
    return n > 0 && memmem(arguments, (size_t)n, journal_path, strlen(journal_path) + 1) != NULL;
}

/* Returns whether any process works on the journal. */
static bool has_children(void)
{
    DIR *processes = opendir("/proc");
    bool found = false;
    struct dirent *entry;
    while (processes != NULL && !found && (entry = readdir(processes)) != NULL)
        found = isdigit((unsigned char)entry->d_name[0]) != 0 && has_journal(entry->d_name);
    if (processes != NULL)
        closedir(processes);
    return found;
}

void server_check_end(void)
{
    static const char *const reports[] = { "ERROR: ", "AddressSanitizer", "LeakSanitizer",
        "runtime error", "Assertion", "assertion failed: " };
    const char *log = read_log();
    for (size_t i = 0; i < sizeof reports / sizeof *reports; i++)
        if (strstr(log, reports[i]) != NULL)
            broken("expected a log without errors in the program, found: %.500s",
                strstr(log, reports[i]));
    int64_t end_us = now_us() + CHILDREN_END_MS * 1000;
    while (has_children()) {
        if (now_us() > end_us)
            broken("expected no process on the journal after the server's end, found one");
        sleep_us(1000);
    }
}

const char *server_refusal(void)
{
    char *log = read_log(), *line = strstr(log, "ssechat: ");
    if (line == NULL || (line > log && line[-1] != '\n') || strchr(line, '\n') == NULL ||
        strchr(line, '\n')[1] != '\0')
        broken("expected a refused start to end with one sentence, got: %.500s", log);
    line[strcspn(line, "\n")] = '\0';
    return line;
}

unsigned server_count_log(const char *text)
{
    return count_lines(log_path, text);
}
