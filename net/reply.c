/* reply.c - the statuses that are sent here, and how a response begins. */

#include "net/reply.h"

#include "base/print.h"

const char *reply_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        { 100, "Continue" },
        { 200, "OK" },
        { 201, "Created" },
        { 204, "No Content" },
        { 304, "Not Modified" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 408, "Request Timeout" },
        { 411, "Length Required" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" },
        { 417, "Expectation Failed" },
        { 421, "Misdirected Request" },
        { 422, "Unprocessable Content" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 503, "Service Unavailable" },
        { 505, "HTTP Version Not Supported" },
        { 507, "Insufficient Storage" },
    };
    for (unsigned i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

void reply_begin(struct buffer *out, int status, const char *date)
{
    buffer_add(out, SPAN("HTTP/1.1 "));
    buffer_add_number(out, (unsigned)status);
    buffer_add(out, SPAN(" "));
    buffer_add_string(out, reply_reason(status));
    buffer_add(out, SPAN("\r\nDate: "));
    buffer_add_string(out, date);
    buffer_add(out, SPAN("\r\n"));
}
