/* log.c - the log lines of log.h.
 *
 * A line is formatted on the stack and written with one write(2). On a pipe such a write is atomic
 * up to PIPE_BUF (4096 bytes, pipe(7)), so lines never mix, even with those of another process on
 * the same pipe.
 *
 * The price of unbuffered writes: write(2) blocks while a pipe is full, so a supervisor that stops
 * reading blocks the server at its next log line. That is rare, because little is logged: callers
 * limit their warnings about clients (net/limits.c). Left out: timestamps and log rotation, which
 * the journal and most supervisors provide. */

#include "base/log.h"

#include "base/print.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024 }; /* including the newline; must be at most PIPE_BUF */

/* The level set by log_start. It is static, because every layer logs, and passing the level through
 * all of them would gain nothing. */
static enum log_level max_level = LOG_INFO;
static bool to_journal;

/* Compares standard error with JOURNAL_STREAM, the device and inode of the journal's stream, which
 * systemd sets. The variable alone is not enough: a child of a service inherits it even if its own
 * standard error is not the journal, where the prefixes would be noise. */
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

/* Uses the priorities of syslog(3). A short write is not continued: a cut line is better than a
 * loop in which the log could block the server. */
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
    if (len > sizeof line - 1) /* `len` includes the part that did not fit. */
        len = sizeof line - 1;
    line[len] = '\n'; /* in place of the NUL */
    if (write(STDERR_FILENO, line, len + 1) < 0)
        return; /* The log's reader is gone, so there is nowhere to report that. */
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

/* Writes no level and no key=value pairs, because an operator at a terminal reads the sentence. The
 * array has room for a path of nearly PATH_MAX bytes; a longer sentence is cut. */
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
