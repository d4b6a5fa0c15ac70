/* reply.c - the statuses that this server sends, and how a response begins.
 *
 * The version is HTTP/1.1 even in an answer to HTTP/1.0: it says what this server can do, not what
 * the answer uses (RFC 9110 6.2). Reason phrases are for humans who read a trace; clients ignore
 * them. */

#include "net/reply.h"

#include "base/date.h"
#include "base/print.h"

/* Searches linearly, because an ordinary answer finds its status among the first entries. */
struct span reply_reason(int status)
{
    static const struct {
        int status;
        struct span reason;
    } reasons[] = {
        { 100, SPAN_INIT("Continue") },
        { 200, SPAN_INIT("OK") },
        { 201, SPAN_INIT("Created") },
        { 204, SPAN_INIT("No Content") },
        { 206, SPAN_INIT("Partial Content") },
        { 304, SPAN_INIT("Not Modified") },
        { 400, SPAN_INIT("Bad Request") },
        { 401, SPAN_INIT("Unauthorized") },
        { 403, SPAN_INIT("Forbidden") },
        { 404, SPAN_INIT("Not Found") },
        { 405, SPAN_INIT("Method Not Allowed") },
        { 408, SPAN_INIT("Request Timeout") },
        { 411, SPAN_INIT("Length Required") },
        { 413, SPAN_INIT("Content Too Large") },
        { 414, SPAN_INIT("URI Too Long") },
        { 415, SPAN_INIT("Unsupported Media Type") },
        { 416, SPAN_INIT("Range Not Satisfiable") },
        { 417, SPAN_INIT("Expectation Failed") },
        { 421, SPAN_INIT("Misdirected Request") },
        { 422, SPAN_INIT("Unprocessable Content") },
        { 429, SPAN_INIT("Too Many Requests") },
        { 431, SPAN_INIT("Request Header Fields Too Large") },
        { 500, SPAN_INIT("Internal Server Error") },
        { 501, SPAN_INIT("Not Implemented") },
        { 503, SPAN_INIT("Service Unavailable") },
        { 505, SPAN_INIT("HTTP Version Not Supported") },
        { 507, SPAN_INIT("Insufficient Storage") },
    };
    for (unsigned i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return SPAN("Unknown");
}

static uint64_t replies[6]; /* by the first digit of the status */

uint64_t reply_count(int digit)
{
    return replies[digit];
}

/* Reserves once and joins pieces, because this runs for every answer. */
void reply_begin(struct buffer *out, int status, const char *date)
{
    struct span reason = reply_reason(status);
    replies[(unsigned)status / 100]++;
    char *begin = buffer_reserve(out,
        sizeof "HTTP/1.1  \r\nDate: \r\n" + PRINT_DECIMAL_BYTES + reason.len + DATE_HTTP_BYTES);
    if (begin == NULL)
        return;
    char *to = span_put(begin, SPAN("HTTP/1.1 "));
    to = print_put(to, (unsigned)status);
    *to++ = ' ';
    to = span_put(to, reason);
    to = span_put(to, SPAN("\r\nDate: "));
    to = span_put(to, (struct span) { date, DATE_HTTP_BYTES });
    to = span_put(to, SPAN("\r\n"));
    out->len += (size_t)(to - begin);
}
