/* report.h - a look inside the running server, for an admin without a monitoring system, and for a
 * student. */

#ifndef REPORT_H
#define REPORT_H

#include "store/keeper.h"

/* Logs the totals, and a line for each room with streams or messages (survey.h limits their
 * number). `started_ms` is when the server started, in monotonic milliseconds. */
void report_log(const struct hub *hub, const struct keeper *keeper, int64_t started_ms);

#endif
