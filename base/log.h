/* log.h - writes one line per event to standard error, as key=value pairs.
 *
 * The server neither opens nor rotates log files: standard error belongs to the supervisor
 * (systemd, a container, a shell). The log is quiet when all is well; single requests and
 * connections appear only at debug level. Lines are written immediately, without a buffer, so the
 * last line before a crash is not lost.
 *
 * A log line never waits. A line that cannot be written (the pipe is full, the terminal is stopped)
 * is dropped and counted; `log dropped=N` follows as soon as writing works again. */

#ifndef LOG_H
#define LOG_H

#include "base/bytes.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Sets the level: lines above it are not written. Until this call, the level is LOG_INFO. If
 * standard error is systemd's journal, each line begins with a priority (sd-daemon(3)) instead. */
void log_start(enum log_level level);

/* Returns whether lines of this level are written, so that a caller can skip preparing values. */
bool log_wants(enum log_level level);

/* Writes "event key=value ..." and a newline; a line over 1023 bytes is cut. Text from outside must
 * pass through log_quote first, or a client could forge lines. */
__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

/* Writes a line of LOG_INFO even if the level set excludes it, because a person has asked for it.
 */
__attribute__((format(printf, 1, 2))) void log_always(const char *format, ...);

/* Writes a line as it is, whatever the level set; the format must end with a newline. Only the
 * journal is told the level. */
__attribute__((format(printf, 2, 3))) void log_plain(enum log_level level, const char *format, ...);

/* Reports dropped lines if they can be reported now. Call this once per turn; log_end, once more at
 * the end. */
void log_tick(void);
void log_end(void);

/* Returns when log_tick must be called, in monotonic milliseconds; INT64_MAX if no line waits. */
int64_t log_next_ms(void);

/* Returns how many lines were dropped since the start. */
uint64_t log_dropped(void);

/* Writes `text` in quotes into `out`, then a NUL. Visible ASCII and spaces are copied; quotes,
 * backslashes and all other bytes become \xHH. Cuts the text to fit into `size`, which is at least
 * 3; LOG_QUOTED_BYTES has room for every text of up to `n` bytes. Returns `out`. */
#define LOG_QUOTED_BYTES(n) (4 * (n) + 4)
const char *log_quote(struct span text, char *out, size_t size);

/* Writes one sentence for the operator, "ssechat: ...", to standard error and exits with `code`:
 * EXIT_USAGE if an option is wrong, EXIT_SYSTEM if a system call failed or a file is not usable.
 * This is for errors at startup; a running server never calls it. It waits at most a second for
 * standard error. */
enum { EXIT_SYSTEM = 1, EXIT_USAGE = 2 };
__attribute__((noreturn, format(printf, 2, 3))) void log_exit(int code, const char *format, ...);

#endif
