/* date.c - days since 1970 to a date of the Gregorian calendar, by arithmetic alone.
 *
 * This is Howard Hinnant's algorithm civil_from_days ("chrono-Compatible Low-Level Date
 * Algorithms"): no loop over years or months, no table of their lengths, no locale. A frame needs a
 * date for every message, so it should cost a few divisions and not a call of the C library.
 *
 * Left out: leap seconds, which Unix time does not count, dates before 1970, time zones. */

#include "base/date.h"

#include <string.h>

enum { DAY_SECONDS = 86400, EPOCH_WEEKDAY = 4 }; /* The first of January 1970 was a Thursday. */

/* Years begin in March here, so that a leap day is the last day of its year and moves no other day.
 * From March on, five months have 153 days in all: 31, 30, 31, 30, 31, and again from August on.
 * The calendar repeats every 400 years (an era). */
enum {
    FOUR_YEARS_DAYS = 4 * 365 + 1,
    CENTURY_DAYS = 25 * FOUR_YEARS_DAYS - 1,
    ERA_DAYS = 4 * CENTURY_DAYS + 1,
    EPOCH_DAYS = 719468, /* from the first of March of the year 0 */
};

static const uint64_t last_second = 253402300799; /* 9999-12-31T23:59:59Z */

/* From the outside inwards: the era, the year in it, the month in that, the day in that.
 *
 *      month from March    0    1    2    3    4     5    6    7    8    9    10   11
 *      its first day       0   31   61   92  122   153  184  214  245  275  306  337
 *
 * The second row is (153 * month + 2) / 5; (5 * day + 2) / 153 is its inverse. */
struct date date_of(uint64_t seconds)
{
    if (seconds > last_second)
        seconds = last_second;
    unsigned days = (unsigned)(seconds / DAY_SECONDS), second = (unsigned)(seconds % DAY_SECONDS);
    unsigned since = days + EPOCH_DAYS, era = since / ERA_DAYS, day = since % ERA_DAYS;
    /* Less the leap days before it, every day of the era is in year day / 365. */
    unsigned leaps = day / (FOUR_YEARS_DAYS - 1) - day / CENTURY_DAYS + day / (ERA_DAYS - 1);
    unsigned year = (day - leaps) / 365;
    day -= 365 * year + year / 4 - year / 100;
    unsigned month = (5 * day + 2) / 153;
    return (struct date) {
        .year = 400 * era + year + (month >= 10),
        .month = month < 10 ? month + 3 : month - 9,
        .day = day - (153 * month + 2) / 5 + 1,
        .weekday = (days + EPOCH_WEEKDAY) % 7,
        .hour = second / 3600,
        .minute = second / 60 % 60,
        .second = second % 60,
    };
}

/* The put functions return where the next piece goes. They check no bounds, because the length of
 * each format is a constant that the caller's array has. */
static char *put_two(char *out, unsigned number)
{
    out[0] = (char)('0' + number / 10);
    out[1] = (char)('0' + number % 10);
    return out + 2;
}

static char *put_year(char *out, unsigned year)
{
    return put_two(put_two(out, year / 100), year % 100);
}

static char *put_time(char *out, const struct date *date)
{
    out = put_two(out, date->hour);
    *out++ = ':';
    out = put_two(out, date->minute);
    *out++ = ':';
    return put_two(out, date->second);
}

static char *put_text(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return out + len;
}

/* The names of the days and months are parts of the protocol, always in English; each has three
 * letters, so one string holds all of them. */
void date_http(uint64_t seconds, char out[DATE_HTTP_BYTES + 1])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct date date = date_of(seconds);
    out = put_text(out, days + 3 * date.weekday, 3);
    out = put_text(out, ", ", 2);
    out = put_two(out, date.day);
    *out++ = ' ';
    out = put_text(out, months + 3 * (date.month - 1), 3);
    *out++ = ' ';
    out = put_year(out, date.year);
    *out++ = ' ';
    out = put_time(out, &date);
    memcpy(out, " GMT", 5); /* with its NUL */
}

/* date_of clamps the seconds only. Without the clamp here the milliseconds of the last second would
 * count on, again and again from 0. */
void date_rfc3339(uint64_t ms, char out[DATE_RFC3339_BYTES])
{
    if (ms > last_second * 1000 + 999)
        ms = last_second * 1000 + 999;
    struct date date = date_of(ms / 1000);
    out = put_year(out, date.year);
    *out++ = '-';
    out = put_two(out, date.month);
    *out++ = '-';
    out = put_two(out, date.day);
    *out++ = 'T';
    out = put_time(out, &date);
    *out++ = '.';
    out = put_two(out, (unsigned)(ms % 1000 / 10));
    *out++ = (char)('0' + ms % 10);
    *out = 'Z';
}
