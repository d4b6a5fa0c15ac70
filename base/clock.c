/* clock.c - the clocks of this turn, and the Date field for every answer of this second.
 *
 * One reading for each turn instead of one for each use has two effects: everything that happens in
 * a turn has the same time, so two deadlines set in it stay in order; and the cost does not grow
 * with the number of streams. The price is that a time may be as old as the turn is long, which
 * is little against timeouts of seconds. */

#include "base/clock.h"

#include "base/bytes.h"
#include "base/date.h"

static int64_t mono_ms;
static uint64_t unix_ms;
static uint64_t date_second = UINT64_MAX; /* the second that `date` shows; at first none */
static char date[DATE_HTTP_BYTES + 1];

/* clock_gettime(2) fails only where a 32-bit time_t overflows (2038). Every date would be wrong
 * from then on, so the server stops. */
int64_t clock_now_ms(clockid_t id)
{
    struct timespec now;
    must(clock_gettime(id, &now) == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A real-time clock before 1970 counts as 1970, so that an id's milliseconds are never negative. */
void clock_read(void)
{
    int64_t now_ms = clock_now_ms(CLOCK_REALTIME);
    mono_ms = clock_now_ms(CLOCK_MONOTONIC);
    unix_ms = now_ms > 0 ? (uint64_t)now_ms : 0;
}

int64_t clock_mono_ms(void)
{
    return mono_ms;
}

int64_t clock_mono_us(void)
{
    return mono_ms * 1000;
}

uint64_t clock_unix_ms(void)
{
    return unix_ms;
}

/* Formatted once a second, not once an answer. It compares the second for being different, not
 * later, because the real-time clock may be set back. */
const char *clock_http_date(void)
{
    if (unix_ms / 1000 != date_second) {
        date_second = unix_ms / 1000;
        date_http(date_second, date);
    }
    return date;
}
