/* date.h - converts Unix time to a date and time of day in UTC, and formats it for HTTP and JSON.
 *
 * strftime(3) is not used, because it takes the names of the days from the locale. */

#ifndef DATE_H
#define DATE_H

#include <stdint.h>

struct date {
    unsigned year, month, day; /* month and day start at 1 */
    unsigned weekday;          /* 0 is Sunday */
    unsigned hour, minute, second;
};

enum { DATE_YEAR_MAX = 9999 };

/* Returns the date at `seconds` since 1970. Both formats below have four digits for the year, so
 * any later time counts as 9999-12-31T23:59:59. */
struct date date_of(uint64_t seconds);

/* Writes "Sun, 06 Nov 1994 08:49:37 GMT" (IMF-fixdate, RFC 9110 5.6.7) and a NUL. */
enum { DATE_HTTP_BYTES = 29 };
void date_http(uint64_t seconds, char out[DATE_HTTP_BYTES + 1]);

/* Writes "2025-10-09T08:53:20.000Z" (RFC 3339) for a Unix time in milliseconds, without a NUL. */
enum { DATE_RFC3339_BYTES = 24 };
void date_rfc3339(uint64_t ms, char out[DATE_RFC3339_BYTES]);

/* Changes what date_rfc3339 wrote for `from_ms` into what it writes for `ms`: far cheaper if both
 * are in the same second. */
void date_rfc3339_change(uint64_t from_ms, uint64_t ms, char text[DATE_RFC3339_BYTES]);

#endif
