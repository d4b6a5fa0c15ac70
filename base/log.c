/* log.c - the log lines of log.h.
 *
 * A line is formatted on the stack and leaves in one write(2). On a pipe such a write is atomic up
 * to PIPE_BUF (4096 bytes, pipe(7)), so lines never mix, also with those of another process on the
 * same pipe.
 *
 * The price of writing at once: write(2) waits while a pipe is full, so a supervisor that stops
 * reading stops the server at its next line. What keeps that rare is how little is logged: warnings
 * about clients are limited by their callers (net/limits.c). Left out: time stamps, which the
 * journal and most supervisors add, and log files, which they rotate. */

#include "base/log.h"

#include "base/print.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024 }; /* with the line end; must be at most PIPE_BUF */

/* The level of log_start. A static here, because every floor logs, and passing it through all of
 * them would make no line better. */
static enum log_level max_level = LOG_INFO;
static bool to_journal;

/* systemd sets JOURNAL_STREAM to the device and inode of the journal's stream. The comparison is
 * needed because a child of a service inherits the variable, even if its standard error goes
 * somewhere else, where the prefixes would only disturb. */
void log_start(enum log_level level)
{
    char ours[48];
    struct stat st;
    const char *stream = getenv("JOURNAL_STREAM");
    max_level = level;
    if (stream == NULL || fstat(STDERR_FILENO, &st) < 0)
        return;
    print_into(ours, sizeof ours, "%llu:%llu", (unsigned long long)st.st_dev,
        (unsigned long long)st.st_ino);
    to_journal = strcmp(ours, stream) == 0;
}

bool log_wants(enum log_level level)
{
    return level <= max_level;
}

/* The priorities are those of syslog(3). A short write is not continued: the line is cut, which is
 * better than a loop in which the log could hold up the server. */
void log_line(enum log_level level, const char *format, ...)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    static const int priorities[] = { 3, 4, 6, 7 };
    char line[LINE_MAX_BYTES];
    if (!log_wants(level))
        return;
    size_t len = to_journal ? print_into(line, sizeof line, "<%d>", priorities[level])
                            : print_into(line, sizeof line, "%s: ", names[level]);
    va_list args;
    va_start(args, format);
    len += print_list(line + len, sizeof line - len, format, args);
    va_end(args);
    if (len > sizeof line - 1) /* `len` counts also what did not fit. */
        len = sizeof line - 1;
    line[len] = '\n'; /* in the place of the NUL */
    if (write(STDERR_FILENO, line, len + 1) < 0)
        return; /* The log's reader is gone, so there is no place left to report that. */
}

/* UTF-8 is escaped too, byte by byte, because a terminal may also act on control characters that
 * are not ASCII (C1). The loop keeps six bytes free: an escape, the closing quote and the NUL. */
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

/* Not a log line: no level, no key=value pairs, because a person at a terminal reads it. The size
 * leaves room for a path of PATH_MAX bytes; a longer sentence is cut. */
void log_exit(int code, const char *format, ...)
{
    char sentence[4096];
    va_list args;
    va_start(args, format);
    print_list(sentence, sizeof sentence, format, args);
    va_end(args);
    print_line(STDERR_FILENO, "ssechat: %s\n", sentence);
    exit(code);
}
