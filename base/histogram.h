/* histogram.h - how often something took how long: a count for each of a few ranges of time.
 *
 * An average hides the one turn in a thousand that a user notices; a list of all times would grow
 * without end. The ranges are those that Prometheus calls buckets:
 *
 *      up to  100 µs  250 µs  500 µs  1 ms  2.5 ms  ...  1 s  2.5 s  5 s  more
 *      count  9120    311     40      2     0            0    0      0    0
 */

#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BOUNDS = 15 };

/* The longest time of each range but the last, in microseconds, in ascending order. */
extern const uint32_t histogram_bounds_us[HISTOGRAM_BOUNDS];

/* A histogram of all zeros is empty. */
struct histogram {
    uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* each of its own range; the last: longer times */
    uint64_t sum_us;
};

/* Counts a time in microseconds; a negative one counts as 0. */
void histogram_add(struct histogram *h, int64_t us);

#endif
