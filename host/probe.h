/* probe.h - `ssechat probe`: asks a server whether it is well. */

#ifndef PROBE_H
#define PROBE_H

#include <stdint.h>

/* Sends one GET to `url`: "http://127.0.0.1:8080/path" with an IP address or "localhost", or
 * "unix:/path" or "unix:@name" of a unix socket; without a path it asks for /healthz. Returns 0 if
 * the answer has the status 200. Otherwise writes one sentence to standard error and exits: with
 * EXIT_USAGE if the URL is wrong, with EXIT_SYSTEM for any other status, or without an answer in
 * `timeout_ms`. */
int probe_run(const char *url, uint64_t timeout_ms);

#endif
