/* report.c - counts, the latest acts, and how a run fails. */

#include "test/tools/havoc/havoc.h"

enum {
    ACTS_SHOWN = 80, /* the latest acts, in the report of a failure */
    LOG_SHOWN = 6000 /* bytes of the end of the server's log */
};

unsigned long long counts[COUNT_KINDS];

#define COUNT_TEXT(name, text) text,
static const char *const count_texts[] = { COUNTS(COUNT_TEXT) };

static char acts[ACTS_SHOWN][200]; /* a ring: the next one is written at act_count % ACTS_SHOWN */
static unsigned act_count;

void note(const char *format, ...)
{
    char *act = acts[act_count++ % ACTS_SHOWN];
    size_t size = sizeof acts[0];
    int64_t us = now_us() - begin_us;
    int n = snprintf(act, size, "%3lld.%03lld life %-4u ", (long long)(us / 1000000),
        (long long)(us / 1000 % 1000), life);
    va_list args;
    va_start(args, format);
    vsnprintf(act + n, size - (size_t)n, format, args);
    va_end(args);
    if (getenv("HAVOC_TRACE") != NULL)
        fprintf(stderr, "%s\n", act);
}

/* Prints the end of the server's log, which often says what went wrong. */
static void print_log(void)
{
    char path[4200], bytes[LOG_SHOWN + 1];
    snprintf(path, sizeof path, "%s/log", folder);
    int log = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = log >= 0 ? lseek(log, 0, SEEK_END) : 0;
    ssize_t len =
        log >= 0 ? pread(log, bytes, LOG_SHOWN, size > LOG_SHOWN ? size - LOG_SHOWN : 0) : 0;
    fprintf(
        stderr, "the end of the server's log (%s):\n%.*s\n", path, len > 0 ? (int)len : 0, bytes);
    if (log >= 0)
        close(log);
}

void broken(const char *format, ...)
{
    va_list args;
    fflush(NULL);
    fprintf(stderr, "the latest acts:\n");
    for (unsigned i = act_count > ACTS_SHOWN ? act_count - ACTS_SHOWN : 0; i < act_count; i++)
        fprintf(stderr, "    %s\n", acts[i % ACTS_SHOWN]);
    print_log();
    int64_t us = now_us() - begin_us;
    fprintf(stderr,
        "havoc: FAILED with seed %llu after %lld.%03lld s, in life %u; files in %s\nhavoc: ", seed,
        (long long)(us / 1000000), (long long)(us / 1000 % 1000), life, folder);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    fflush(NULL);
    if (server_pid > 0)
        kill(server_pid, SIGKILL);
    _exit(1);
}

void report_counts(void)
{
    unsigned column = 0;
    for (unsigned i = 0; i < COUNT_KINDS; i++) {
        char text[100];
        if (counts[i] == 0)
            continue;
        int n = snprintf(text, sizeof text, "%llu %s", counts[i], count_texts[i]);
        if (column + (unsigned)n + 2 > 100) {
            printf(",\n");
            column = 0;
        }
        column += (unsigned)printf("%s%s", column > 0 ? ", " : "havoc: ", text);
    }
    printf("\n");
}
