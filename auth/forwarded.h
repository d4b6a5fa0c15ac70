/* forwarded.h - the address of the client that a trusted proxy forwards a request for.
 *
 * Limits count per address, so a client that could choose this address could take everything. Only
 * call it for a request whose connection comes from a trusted proxy (--trust-proxy). */

#ifndef FORWARDED_H
#define FORWARDED_H

#include "http.h"
#include "net/address.h"

/* Finds the client that the trusted proxies name in a request: the rightmost address that is not in
 * `trusted`, or the leftmost if all of them are. It is in X-Forwarded-For, or, only if that field
 * is absent, in Forwarded (RFC 7239). What is to the left of it may have been written by the client
 * itself and is ignored. So a proxy that sets only Forwarded has to remove X-Forwarded-For.
 *
 * FORWARDED_KNOWN fills in `client`. FORWARDED_NOT: the request has neither field.
 * FORWARDED_UNREADABLE: it has one, which is empty, or whose last element is not an address. */
enum forwarded { FORWARDED_NOT, FORWARDED_UNREADABLE, FORWARDED_KNOWN };
enum forwarded forwarded_client(const struct http_request *request, const char *bytes,
    const struct network *trusted, size_t count, struct address *client);

#endif
