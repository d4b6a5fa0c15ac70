/* clock.h - the time, read once for a whole turn of the loop.
 *
 * The monotonic clock is for deadlines, the real-time clock for ids and dates alone. */

#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <time.h>

/* Reads the clocks: what the functions below tell stays the same until the next call. */
void clock_read(void);

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void); /* in steps of a millisecond */
uint64_t clock_unix_ms(void);

/* The present second as the Date field has it: DATE_HTTP_BYTES, then a NUL. */
const char *clock_http_date(void);

/* Reads one clock now, in milliseconds. */
int64_t clock_now_ms(clockid_t id);

#endif
