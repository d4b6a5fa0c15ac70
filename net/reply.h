/* reply.h - the first lines of a response. */

#ifndef REPLY_H
#define REPLY_H

#include "base/bytes.h"

/* The reason phrase of a status (RFC 9110 15); "Unknown" for one that is not sent here. */
struct span reply_reason(int status);

/* Status line and Date, which has DATE_HTTP_BYTES. Fields follow, then an empty line. */
void reply_begin(struct buffer *out, int status, const char *date);

#endif
