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

/* A part of a file: `len` bytes from the offset `from`. */
struct values_part {
    unsigned long long from, len;
};

/* Reads a Range for a file of `size` bytes (14.2). RANGE_PART: `*part` is what it asks for, and not
 * empty. RANGE_BEYOND: the file has none of the bytes that it asks for. RANGE_NONE: send the
 * complete file, because the value is malformed, has another unit, or has several ranges. */
enum values_range { RANGE_NONE, RANGE_PART, RANGE_BEYOND };
enum values_range values_range(
    struct span range, unsigned long long size, struct values_part *part);

#endif
