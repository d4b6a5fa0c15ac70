/* clock.c - the clocks of this turn, and the Date that goes into every answer of this second. */

#include "base/clock.h"

#include "base/bytes.h"
#include "base/date.h"

static int64_t mono_ms;
static uint64_t unix_ms;
static uint64_t date_second = UINT64_MAX;
static char date[DATE_HTTP_BYTES + 1];

/* It fails only where a 32-bit time_t has come to its end (2038): then no date is right. */
int64_t clock_now_ms(clockid_t id)
{
    struct timespec now;
    must(clock_gettime(id, &now) == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

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

const char *clock_http_date(void)
{
    if (unix_ms / 1000 != date_second) {
        date_second = unix_ms / 1000;
        date_http(date_second, date);
    }
    return date;
}
