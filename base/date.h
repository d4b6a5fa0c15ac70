/* date.h - the calendar: seconds of Unix time as a day and a time, in UTC. */

#ifndef DATE_H
#define DATE_H

#include <stdint.h>

struct date {
    unsigned year, month, day; /* month and day from 1 */
    unsigned weekday;          /* from Sunday, 0 */
    unsigned hour, minute, second;
};

enum { DATE_YEAR_MAX = 9999 };

/* The date at `seconds`. It has four digits for the year: past 9999-12-31T23:59:59 it stays there.
 */
struct date date_of(uint64_t seconds);

#endif
