/* clock.h - the time, read once per turn of the loop.
 *
 * The monotonic clock is for deadlines, because it never steps. The real-time clock is for ids,
 * dates and the expiry of tokens, which must agree with the clocks of other machines. */

#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <time.h>

/* Reads both clocks. The next four functions return these times until the next clock_read. */
void clock_read(void);

int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
uint64_t clock_unix_ms(void);

/* Returns the value of the Date field for the current second: DATE_HTTP_BYTES bytes and a NUL,
 * valid until the next call. */
const char *clock_http_date(void);

/* Read one clock now and return milliseconds or microseconds: for code outside the loop, and for
 * measuring how long something takes. */
int64_t clock_now_ms(clockid_t id);
int64_t clock_now_us(clockid_t id);

#endif
