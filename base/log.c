/* log.c - the log lines of log.h. A line is formatted on the stack and written by one write(2), so
 * lines never mix. */

#include "base/log.h"

#include "base/print.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024 };

static enum log_level max_level = LOG_INFO;
static bool to_journal;

/* systemd tells in JOURNAL_STREAM which device and inode the journal's stream has. */
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
    if (len > sizeof line - 1)
        len = sizeof line - 1;
    line[len] = '\n';
    if (write(STDERR_FILENO, line, len + 1) < 0)
        return; /* nobody listens: nothing to be done about it */
}

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
