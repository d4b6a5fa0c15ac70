/* histogram.c - counts times in fixed ranges.
 *
 * The search is linear, because nearly all times are in the first ranges: a few instructions. The
 * bounds are the 1-2.5-5 series, from what a quiet turn of the loop takes to what a user takes for
 * a failure. They never change, so that the counts of different servers can be added. */

#include "base/histogram.h"

const uint32_t histogram_bounds_us[HISTOGRAM_BOUNDS] = { 100, 250, 500, 1000, 2500, 5000, 10000,
    25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000 };

void histogram_add(struct histogram *h, int64_t us)
{
    uint64_t time_us = us > 0 ? (uint64_t)us : 0;
    int i = 0;
    while (i < HISTOGRAM_BOUNDS && time_us > histogram_bounds_us[i])
        i++;
    h->counts[i]++;
    h->sum_us += time_us;
}
