/* log.h - one line an event on standard error, as key=value pairs; whoever supervises us keeps it.
 *
 * Quiet when all is well: what every request does is said at debug level only. */

#ifndef LOG_H
#define LOG_H

#include "base/bytes.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Nothing above `level` is written from now on. Finds out whether standard error is the journal,
 * which wants a priority in front of each line (sd-daemon(3)). */
void log_start(enum log_level level);

/* Whether a line of this level would be written: for what is costly to format. */
bool log_wants(enum log_level level);

/* Writes "event key=value ...". Values that come from outside go through log_quote. */
__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

/* `text` in quotes with everything but visible ASCII and the space escaped, cut to what `out` has
 * room for. Returns `out`. */
const char *log_quote(struct span text, char *out, size_t size);

/* Before there is a server: writes one sentence for the operator, "ssechat: ...", to standard error
 * and ends the process, with EXIT_USAGE when an option is wrong, EXIT_SYSTEM when the system says
 * no. */
enum { EXIT_SYSTEM = 1, EXIT_USAGE = 2 };
__attribute__((noreturn, format(printf, 2, 3))) void log_exit(int code, const char *format, ...);

#endif
