/* log.c - the log lines of log.h.
 *
 * A line is formatted on the stack and written with one write(2). On a pipe such a write is atomic
 * up to PIPE_BUF (4096 bytes, pipe(7)), so lines never mix, even with those of another process on
 * the same pipe.
 *
 * A write must not block, because it would stop the whole server while a supervisor does not read,
 * or after a Ctrl-S. But O_NONBLOCK belongs to the open file description, which standard error
 * shares with other processes (the shell, other programs of a unit), and these do not expect it.
 * So:
 *
 *      a pipe, a terminal   is opened again through /proc, which gives a description of our own;
 *                           if that fails, poll(2) tells whether a write would wait (and can be
 *                           wrong if another process writes too, or a terminal has little room)
 *      a socket             gets MSG_DONTWAIT with each line
 *      a file, a device     never waits for a reader
 *
 * Left out: a buffer for lines that cannot be written (it would only fill up later), timestamps and
 * log rotation, which the journal and most supervisors provide. */

#include "base/log.h"

#include "base/clock.h"
#include "base/print.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 1024, /* including the newline */
    REPORT_BYTES = 64,     /* both together must be at most PIPE_BUF */
    AGAIN_MS = 1000,       /* between two attempts to report dropped lines */
    EXIT_WAIT_MS = 1000,   /* how long log_exit waits for standard error */
};

/* The level set by log_start. It is static, because every layer logs, and passing the level through
 * all of them would gain nothing. */
static enum log_level max_level = LOG_INFO;

/* Where lines go; the first line finds out. */
static enum { UNKNOWN, DIRECT, POLLED, SOCKET } way;
static int log_fd = STDERR_FILENO;

static unsigned long dropped; /* lines since the last report */
static uint64_t dropped_ever; /* since the start */
static bool waits;            /* the last write failed because it would have waited */
static bool cut;              /* the last line was written only partly */
static int64_t again_ms;      /* when to try again, if it `waits` */

/* Compares standard error with JOURNAL_STREAM, the device and inode of the journal's stream, which
 * systemd sets. The variable alone is not enough: a child of a service inherits it even if its own
 * standard error is not the journal, where the prefixes would be noise. */
static bool find_journal(void)
{
    char ours[48];
    struct stat st;
    const char *stream = getenv("JOURNAL_STREAM");
    if (stream == NULL || fstat(STDERR_FILENO, &st) < 0)
        return false;
    print_into(ours, sizeof ours, "%llu:%llu", (unsigned long long)st.st_dev,
        (unsigned long long)st.st_ino);
    return strcmp(ours, stream) == 0;
}

void log_start(enum log_level level)
{
    max_level = level;
}

bool log_wants(enum log_level level)
{
    return level <= max_level;
}

/* ==== Writing without waiting ================================================================ */

static void open_output(void)
{
    struct stat st;
    way = DIRECT;
    if (fstat(STDERR_FILENO, &st) < 0)
        return;
    if (S_ISSOCK(st.st_mode))
        way = SOCKET;
    if (!S_ISFIFO(st.st_mode) && !isatty(STDERR_FILENO))
        return;
    int own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (own >= 0)
        log_fd = own;
    else
        way = POLLED;
}

static ssize_t write_now(const char *line, size_t len)
{
    if (way == UNKNOWN)
        open_output();
    if (way == SOCKET)
        return send(log_fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (way == POLLED && !print_can(log_fd, 0)) {
        errno = EAGAIN;
        return -1;
    }
    return write(log_fd, line, len);
}

/* Writes the priority of syslog(3), if standard error is the journal; the first line finds that
 * out. Returns the length, or 0. */
static size_t write_priority(char *line, size_t size, enum log_level level)
{
    static const int priorities[] = { 3, 4, 6, 7 };
    static enum { NOT_KNOWN, JOURNAL, OTHER } reader;
    if (reader == NOT_KNOWN)
        reader = find_journal() ? JOURNAL : OTHER;
    return reader == JOURNAL ? print_into(line, size, "<%d>", priorities[level]) : 0;
}

/* Writes the level, in one form or the other. Returns the length. */
static size_t begin_line(char *line, size_t size, enum log_level level)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    size_t len = write_priority(line, size, level);
    return len > 0 ? len : print_into(line, size, "%s: ", names[level]);
}

/* Returns the length of the report of dropped lines, which has no more than REPORT_BYTES; 0 if no
 * line was dropped. */
static size_t write_report(char *to)
{
    size_t len = 0;
    if (dropped == 0)
        return 0;
    if (cut)
        to[len++] = '\n';
    len += begin_line(to + len, REPORT_BYTES - len, LOG_WARN);
    return len + print_into(to + len, REPORT_BYTES - len, "log dropped=%lu\n", dropped);
}

/* Writes a line, and the report of those that were dropped before it, in one write: a pipe can have
 * room for the report alone, and would then be filled with reports. Returns whether all was
 * written. The rest of a cut line is not continued; the next report begins on a line of its own. */
static bool put(const char *line, size_t len)
{
    char both[REPORT_BYTES + LINE_MAX_BYTES];
    size_t before = write_report(both);
    memcpy(both + before, line, len);
    ssize_t n = write_now(both, before + len);
    waits = n >= 0 || errno == EAGAIN;
    again_ms = clock_mono_ms() + AGAIN_MS;
    if (n > 0)
        cut = n != (ssize_t)before && n != (ssize_t)(before + len);
    if (n >= (ssize_t)before)
        dropped = 0;
    return n == (ssize_t)(before + len);
}

static void add_line(const char *line, size_t len)
{
    if (put(line, len))
        return;
    dropped++;
    dropped_ever++;
}

/* If a write fails for another reason, the reader is gone, or the disk is full: then the next line
 * that can be written comes after the report, and no time is set for it. */
int64_t log_next_ms(void)
{
    return dropped > 0 && waits ? again_ms : INT64_MAX;
}

void log_tick(void)
{
    if (log_next_ms() <= clock_mono_ms())
        put("", 0);
}

void log_end(void)
{
    if (dropped > 0)
        put("", 0);
}

uint64_t log_dropped(void)
{
    return dropped_ever;
}

/* ==== Lines ================================================================================== */

static void write_line(enum log_level level, const char *format, va_list args)
{
    char line[LINE_MAX_BYTES];
    size_t len = begin_line(line, sizeof line, level);
    len += print_list(line + len, sizeof line - len, format, args);
    if (len > sizeof line - 1) /* `len` includes the part that did not fit. */
        len = sizeof line - 1;
    line[len] = '\n'; /* in place of the NUL */
    add_line(line, len + 1);
}

void log_line(enum log_level level, const char *format, ...)
{
    if (!log_wants(level))
        return;
    va_list args;
    va_start(args, format);
    write_line(level, format, args);
    va_end(args);
}

void log_always(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line(LOG_INFO, format, args);
    va_end(args);
}

void log_plain(enum log_level level, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    size_t len = write_priority(line, sizeof line, level);
    va_list args;
    va_start(args, format);
    len += print_list(line + len, sizeof line - len, format, args);
    va_end(args);
    if (len >= sizeof line) {
        len = sizeof line - 1;
        line[len - 1] = '\n';
    }
    add_line(line, len);
}

/* Escapes UTF-8 too, byte by byte, because a terminal can also act on control characters outside
 * ASCII (C1). The loop keeps six bytes free: for an escape, the closing quote and the NUL. */
const char *log_quote(struct span text, char *out, size_t size)
{
    size_t len = 0;
    out[len++] = '"';
    for (size_t i = 0; i < text.len && len + 6 < size; i++) {
        unsigned char c = (unsigned char)text.at[i];
        if (c >= ' ' && c < 0x7f && c != '"' && c != '\\')
            out[len++] = (char)c;
        else
            len += print_into(out + len, size - len, "\\x%02x", c);
    }
    out[len++] = '"';
    out[len] = '\0';
    return out;
}

/* Writes no key=value pairs, because an operator at a terminal reads the sentence, and a level only
 * for the journal. The array has room for a path of nearly PATH_MAX bytes; a longer sentence is
 * cut. */
void log_exit(int code, const char *format, ...)
{
    char sentence[4096], priority[8];
    va_list args;
    va_start(args, format);
    print_list(sentence, sizeof sentence, format, args);
    va_end(args);
    for (unsigned char *c = (unsigned char *)sentence; *c != '\0'; c++) {
        bool is_c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0; /* in UTF-8 */
        if (*c < ' ' || *c == 0x7f || is_c1)
            *c = '?';
        if (is_c1)
            c[1] = '?';
    }
    priority[write_priority(priority, sizeof priority, LOG_ERROR)] = '\0';
    if (print_can(STDERR_FILENO, EXIT_WAIT_MS))
        print_line(STDERR_FILENO, "%sssechat: %s\n", priority, sentence);
    exit(code);
}
