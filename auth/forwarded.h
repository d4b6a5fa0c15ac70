/* forwarded.h - finds the address of the client for which a trusted proxy forwards a request.
 *
 * Limits apply per address, so a client that could choose this address could evade the limits. Use
 * this only for a request on a connection from a trusted proxy (--trust-proxy). */

#ifndef FORWARDED_H
#define FORWARDED_H

#include "http.h"
#include "net/address.h"

/* Finds the client that the trusted proxies name in a request: the rightmost address that is not in
 * `trusted`, or the leftmost address if all are trusted. Ignores everything to the left of that
 * address, which the client may have written. Reads X-Forwarded-For or, only if that field is
 * absent, Forwarded (RFC 7239). So a proxy that sets only Forwarded must remove X-Forwarded-For.
 *
 * Returns FORWARDED_KNOWN and fills in `client`, FORWARDED_NOT if the request has neither field, or
 * FORWARDED_UNREADABLE if the field is empty or its last element is not an address. */
enum forwarded { FORWARDED_NOT, FORWARDED_UNREADABLE, FORWARDED_KNOWN };
enum forwarded forwarded_client(const struct http_request *request, const char *bytes,
    const struct network *trusted, size_t count, struct address *client);

#endif
