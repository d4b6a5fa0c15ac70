/* date.c - converts days since 1970 to a Gregorian date by arithmetic alone.
 *
 * This is Howard Hinnant's algorithm civil_from_days ("chrono-Compatible Low-Level Date
 * Algorithms"): no loop over years or months, no table of their lengths, no locale. Every message
 * in a frame needs a date, so a date should cost a few divisions, not a call to the C library.
 *
 * Left out: leap seconds (Unix time does not count them), dates before 1970, and time zones. */

#include "base/date.h"

#include <string.h>

enum { DAY_SECONDS = 86400, EPOCH_WEEKDAY = 4 }; /* 1 January 1970 was a Thursday. */

/* Years begin in March in this file, so that a leap day is the last day of its year and moves no
 * other day. The five months from March have 153 days together (31, 30, 31, 30, 31), and so do the
 * five from August. The calendar repeats every 400 years (an era). */
enum {
    FOUR_YEARS_DAYS = 4 * 365 + 1,
    CENTURY_DAYS = 25 * FOUR_YEARS_DAYS - 1,
    ERA_DAYS = 4 * CENTURY_DAYS + 1,
    EPOCH_DAYS = 719468, /* from 1 March of year 0 to 1 January 1970 */
};

static const uint64_t last_second = 253402300799; /* 9999-12-31T23:59:59Z */

/* Computes the era, then the year of the era, the month of the year and the day of the month.
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
    /* Subtracting the leap days before this day makes every year 365 days long. */
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

/* Writes two digits. The put functions return the address for the next piece. They check no bounds,
 * because each format has a constant length, and the caller's array has that length. */
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

/* Uses the English names of days and months that the protocol defines. Each name has three letters,
 * so one string contains all days and another all months. */
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
    memcpy(out, " GMT", 5); /* including the NUL */
}

/* Writes ".000Z". Clamps the milliseconds too: date_of clamps only the seconds, so the last second
 * would otherwise repeat its milliseconds forever. */
static inline void put_milliseconds(char *out, uint64_t ms)
{
    unsigned rest = ms > last_second * 1000 + 999 ? 999 : (unsigned)(ms % 1000);
    *out++ = '.';
    out = put_two(out, rest / 10);
    *out++ = (char)('0' + rest % 10);
    *out = 'Z';
}

void date_rfc3339(uint64_t ms, char out[DATE_RFC3339_BYTES])
{
    struct date date = date_of(ms / 1000);
    out = put_year(out, date.year);
    *out++ = '-';
    out = put_two(out, date.month);
    *out++ = '-';
    out = put_two(out, date.day);
    *out++ = 'T';
    put_milliseconds(put_time(out, &date), ms);
}

void date_rfc3339_change(uint64_t from_ms, uint64_t ms, char text[DATE_RFC3339_BYTES])
{
    if (from_ms / 1000 == ms / 1000)
        put_milliseconds(text + DATE_RFC3339_BYTES - 5, ms);
    else
        date_rfc3339(ms, text);
}
