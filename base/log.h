/* log.h - one line for each event on standard error, as key=value pairs.
 *
 * The server opens no log file and rotates none: the supervisor (systemd, a container, a shell)
 * keeps standard error. The log is quiet when all is well; single requests and connections appear
 * at debug level only. Lines are written at once, without a buffer, so the last one before a crash
 * is not lost. */

#ifndef LOG_H
#define LOG_H

#include "base/bytes.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Sets the level: lines above it are not written. Before this call it is LOG_INFO. Also finds out
 * whether standard error is systemd's journal, which takes a priority in front of each line
 * (sd-daemon(3)). */
void log_start(enum log_level level);

/* Whether a line of this level is written: saves a caller the cost of preparing its values. */
bool log_wants(enum log_level level);

/* Writes "event key=value ...", with a line end; a line over 1023 bytes is cut. Text that comes
 * from outside must go through log_quote first, or a client could write lines of its own. */
__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

/* Writes `text` into `out` in quotes, with a NUL: visible ASCII and spaces as they are, all other
 * bytes, quotes and backslashes as \xHH. Cuts the text to fit into `size`, which is at least 3.
 * Returns `out`. */
const char *log_quote(struct span text, char *out, size_t size);

/* For errors at the start: writes one sentence for the operator, "ssechat: ...", to standard error
 * and ends the process with EXIT_USAGE if an option is wrong, EXIT_SYSTEM if a system call failed
 * or a file is not usable. A running server never calls it. */
enum { EXIT_SYSTEM = 1, EXIT_USAGE = 2 };
__attribute__((noreturn, format(printf, 2, 3))) void log_exit(int code, const char *format, ...);

#endif
