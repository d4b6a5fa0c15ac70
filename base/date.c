/* date.c - the Gregorian calendar, without leap seconds, which Unix time does not count. */

#include "base/date.h"

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
