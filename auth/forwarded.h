/* forwarded.h - which client a trusted proxy speaks for. */

#ifndef FORWARDED_H
#define FORWARDED_H

#include "http.h"
#include "net/address.h"

/* The client that the trusted proxies in front of us name in a request: the rightmost address of
 * X-Forwarded-For, or else of Forwarded (RFC 7239), that is not in `trusted`, since what stands to
 * the left of it was written by who knows whom. When all are trusted it is the leftmost.
 * FORWARDED_NOT when there is neither field; FORWARDED_UNREADABLE when there is one, and its end is
 * no address. */
enum forwarded { FORWARDED_NOT, FORWARDED_UNREADABLE, FORWARDED_KNOWN };
enum forwarded forwarded_client(const struct http_request *request, const char *bytes,
    const struct network *trusted, size_t count, struct address *client);

#endif
