/* metrics.h - GET /metrics: the server in numbers, for Prometheus.
 *
 * It is not a URL of the chat: it has listeners of its own (--metrics), because the numbers are the
 * operator's affair, and need neither a token nor a name of --host. */

#ifndef METRICS_H
#define METRICS_H

#include "base/histogram.h"
#include "net/client.h"
#include "store/keeper.h"

/* Call this once, before the first request. The pointers are borrowed; `turns` is how long the
 * turns of the loop have taken. */
void metrics_start(const struct hub *hub, const struct keeper *keeper,
    const struct histogram *turns, const char *version);

/* The handlers for a listener that serves metrics and nothing else. */
extern const struct handlers metrics_handlers;

#endif
