/* reply.h - how a response begins: status line and Date. */

#ifndef REPLY_H
#define REPLY_H

#include "base/bytes.h"

/* Returns the reason phrase of a status (RFC 9110 15); "Unknown" if this server never sends it. */
struct span reply_reason(int status);

/* Writes the status line and the Date field (RFC 9110 6.6.1); `date` has DATE_HTTP_BYTES. The
 * caller adds further fields and the empty line. */
void reply_begin(struct buffer *out, int status, const char *date);

/* Returns how many responses have begun with a status of this class: 2 for 200 to 299, up to 5. */
uint64_t reply_count(int digit);

#endif
