/* values.h - reads the values of a request's fields. */

#ifndef VALUES_H
#define VALUES_H

#include "http.h"

/* Returns whether a Content-Type has the media type `type`; ignores parameters (RFC 9110 8.3.1). */
bool values_is_type(struct span content_type, struct span type);

/* Returns whether Content-Encoding is absent, or names no coding but `identity` (8.4). */
bool values_is_identity(const struct http_request *r, const char *bytes);

/* Returns whether Accept-Encoding allows gzip, by name or "*", with a weight above 0 (12.5.3). */
bool values_accepts_gzip(const struct http_request *r, const char *bytes);

/* Returns whether If-None-Match is "*" or weakly matches `etag`, which has its quotes (13.1.2). */
bool values_etag_matches(const struct http_request *r, const char *bytes, struct span etag);

#endif
