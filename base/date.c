/* date.c - the Gregorian calendar, without leap seconds, which Unix time does not count; and dates
 * as HTTP and JSON write them. */

#include "base/date.h"

#include <string.h>

enum { DAY_SECONDS = 86400, EPOCH_YEAR = 1970, EPOCH_WEEKDAY = 4 };

/* How many days lie between the first of January of the year 1 and that of `year`. */
static uint64_t days_before(unsigned year)
{
    uint64_t years = year - 1;
    return years * 365 + years / 4 - years / 100 + years / 400;
}

struct date date_of(uint64_t seconds)
{
    static const unsigned char months[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const uint64_t end = days_before(DATE_YEAR_MAX + 1) - days_before(EPOCH_YEAR);
    if (seconds >= end * DAY_SECONDS)
        seconds = end * DAY_SECONDS - 1;
    uint64_t days = seconds / DAY_SECONDS, since = days + days_before(EPOCH_YEAR);
    unsigned year = EPOCH_YEAR + (unsigned)(days / 366); /* or a later one */
    while (days_before(year + 1) <= since)
        year++;
    unsigned day = (unsigned)(since - days_before(year)), month = 0;
    unsigned leap = days_before(year + 1) - days_before(year) == 366;
    for (unsigned len; day >= (len = months[month] + (month == 1 ? leap : 0)); month++)
        day -= len;
    unsigned second = (unsigned)(seconds % DAY_SECONDS);
    return (struct date) {
        .year = year,
        .month = month + 1,
        .day = day + 1,
        .weekday = (unsigned)((days + EPOCH_WEEKDAY) % 7),
        .hour = second / 3600,
        .minute = second / 60 % 60,
        .second = second % 60,
    };
}

/* `number` in `width` digits. Returns where the next character goes. */
static char *put_digits(char *out, unsigned number, int width)
{
    for (int i = width - 1; i >= 0; i--, number /= 10)
        out[i] = (char)('0' + number % 10);
    return out + width;
}

static char *put_time(char *out, const struct date *date)
{
    out = put_digits(out, date->hour, 2);
    *out++ = ':';
    out = put_digits(out, date->minute, 2);
    *out++ = ':';
    return put_digits(out, date->second, 2);
}

static char *put_text(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return out + len;
}

void date_http(uint64_t seconds, char out[DATE_HTTP_BYTES + 1])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct date date = date_of(seconds);
    out = put_text(out, days + 3 * date.weekday, 3);
    out = put_text(out, ", ", 2);
    out = put_digits(out, date.day, 2);
    *out++ = ' ';
    out = put_text(out, months + 3 * (date.month - 1), 3);
    *out++ = ' ';
    out = put_digits(out, date.year, 4);
    *out++ = ' ';
    out = put_time(out, &date);
    memcpy(out, " GMT", 5);
}

void date_rfc3339(uint64_t ms, char out[DATE_RFC3339_BYTES])
{
    const uint64_t last_ms = 253402300799999; /* 9999-12-31T23:59:59.999Z */
    if (ms > last_ms)
        ms = last_ms;
    struct date date = date_of(ms / 1000);
    out = put_digits(out, date.year, 4);
    *out++ = '-';
    out = put_digits(out, date.month, 2);
    *out++ = '-';
    out = put_digits(out, date.day, 2);
    *out++ = 'T';
    out = put_time(out, &date);
    *out++ = '.';
    out = put_digits(out, (unsigned)(ms % 1000), 3);
    *out = 'Z';
}
