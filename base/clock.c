/* clock.c - the time of the current turn, and the Date field of the current second.
 *
 * Reading the clocks once per turn, not at every use, has two effects: all events of a turn have
 * the same time, so two deadlines set in one turn stay in order; and the cost does not grow with
 * the number of streams. The price is that a time can be as old as the turn is long, which does not
 * matter for timeouts of seconds. */

#include "base/clock.h"

#include "base/bytes.h"
#include "base/date.h"

static int64_t mono_us, mono_ms;
static uint64_t unix_ms;
static uint64_t date_second = UINT64_MAX; /* the second that `date` shows; UINT64_MAX: none yet */
static char date[DATE_HTTP_BYTES + 1];

/* Aborts if clock_gettime(2) fails: this happens only when a 32-bit time_t overflows (in 2038), and
 * from then on every date would be wrong. */
int64_t clock_now_us(clockid_t id)
{
    struct timespec now;
    must(clock_gettime(id, &now) == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_now_ms(clockid_t id)
{
    return clock_now_us(id) / 1000;
}

/* Treats a time before 1970 as 1970, so that the milliseconds of an id are never negative. */
void clock_read(void)
{
    int64_t now_ms = clock_now_ms(CLOCK_REALTIME);
    mono_us = clock_now_us(CLOCK_MONOTONIC);
    mono_ms = mono_us / 1000;
    unix_ms = now_ms > 0 ? (uint64_t)now_ms : 0;
}

int64_t clock_mono_ms(void)
{
    return mono_ms;
}

int64_t clock_mono_us(void)
{
    return mono_us;
}

uint64_t clock_unix_ms(void)
{
    return unix_ms;
}

/* Formats the date once per second, not once per answer. Any different second counts, even an
 * earlier one, because the real-time clock can be set back. */
const char *clock_http_date(void)
{
    if (unix_ms / 1000 != date_second) {
        date_second = unix_ms / 1000;
        date_http(date_second, date);
    }
    return date;
}
