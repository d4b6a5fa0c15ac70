/* reply.c - the statuses that are sent here, and how a response begins. */

#include "net/reply.h"

#include "base/date.h"
#include "base/print.h"

#define ROW(status, reason)           \
    {                                 \
        status,                       \
        {                             \
            reason, sizeof reason - 1 \
        }                             \
    }

struct span reply_reason(int status)
{
    static const struct {
        int status;
        struct span reason;
    } reasons[] = {
        ROW(100, "Continue"),
        ROW(200, "OK"),
        ROW(201, "Created"),
        ROW(204, "No Content"),
        ROW(304, "Not Modified"),
        ROW(400, "Bad Request"),
        ROW(401, "Unauthorized"),
        ROW(403, "Forbidden"),
        ROW(404, "Not Found"),
        ROW(405, "Method Not Allowed"),
        ROW(408, "Request Timeout"),
        ROW(411, "Length Required"),
        ROW(413, "Content Too Large"),
        ROW(414, "URI Too Long"),
        ROW(415, "Unsupported Media Type"),
        ROW(417, "Expectation Failed"),
        ROW(421, "Misdirected Request"),
        ROW(422, "Unprocessable Content"),
        ROW(429, "Too Many Requests"),
        ROW(431, "Request Header Fields Too Large"),
        ROW(500, "Internal Server Error"),
        ROW(501, "Not Implemented"),
        ROW(503, "Service Unavailable"),
        ROW(505, "HTTP Version Not Supported"),
        ROW(507, "Insufficient Storage"),
    };
    for (unsigned i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return SPAN("Unknown");
}

void reply_begin(struct buffer *out, int status, const char *date)
{
    buffer_add(out, SPAN("HTTP/1.1 "));
    buffer_add_number(out, (unsigned)status);
    buffer_add(out, SPAN(" "));
    buffer_add(out, reply_reason(status));
    buffer_add(out, SPAN("\r\nDate: "));
    buffer_add(out, (struct span) { date, DATE_HTTP_BYTES });
    buffer_add(out, SPAN("\r\n"));
}
