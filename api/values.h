/* values.h - reads what the values of a request's fields say. */

#ifndef VALUES_H
#define VALUES_H

#include "http.h"

/* Whether the media type in a Content-Type is `type`, with any parameters (RFC 9110 8.3.1). */
bool values_is_type(struct span content_type, struct span type);

/* Whether Accept-Encoding allows gzip, by name or by "*", with a weight above 0 (12.5.3). */
bool values_accepts_gzip(const struct http_request *r, const char *bytes);

/* Whether If-None-Match is "*" or has `etag` (with its quotes) by weak comparison (13.1.2). */
bool values_etag_matches(const struct http_request *r, const char *bytes, struct span etag);

#endif
