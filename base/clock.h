/* clock.h - the time, read once for each turn of the loop.
 *
 * The monotonic clock is for deadlines, because it never steps. The real-time clock is for ids,
 * dates and the expiry of tokens, which must agree with the clocks of other machines. */

#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <time.h>

/* Reads both clocks. The functions below return these times until the next call. */
void clock_read(void);

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void); /* in steps of a millisecond, for rates that count in microseconds */
uint64_t clock_unix_ms(void);

/* The current second in the form of the Date field: DATE_HTTP_BYTES, then a NUL. Valid until the
 * next call. */
const char *clock_http_date(void);

/* Reads one clock at once, in milliseconds: for code outside the loop. */
int64_t clock_now_ms(clockid_t id);

#endif
