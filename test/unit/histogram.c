/* histogram.c - a driver for histogram.c.
 *
 *     histogram add      reads times in microseconds, one per line, and prints the count of each
 *                        range that has one, after its bound in microseconds, and the sum
 *     histogram sweep    adds every time from 0 to 11 s, and compares the range of each with what
 *                        the bounds say
 *
 * With -DFUZZ the times come from libFuzzer, eight bytes each. */

#include "base/histogram.h"
#include "driver.h"

/* Adds a time, and checks that only the count of its range has changed, and the sum. */
static void add(struct histogram *h, int64_t us)
{
    struct histogram before = *h;
    uint64_t expected = us > 0 ? (uint64_t)us : 0;
    histogram_add(h, us);
    for (int i = 0; i <= HISTOGRAM_BOUNDS; i++) {
        bool above = i == 0 || expected > histogram_bounds_us[i - 1];
        bool within = i == HISTOGRAM_BOUNDS || expected <= histogram_bounds_us[i];
        check(h->counts[i] == before.counts[i] + (above && within),
            "a time counts once, in the range between the bounds around it");
    }
    check(h->sum_us == before.sum_us + expected, "the sum grows by the time");
}

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct histogram h = { 0 };
    int64_t us;
    for (size_t i = 0; i + sizeof us <= size; i += sizeof us) {
        memcpy(&us, data + i, sizeof us);
        add(&h, us);
    }
    return 0;
}

#else

static void print(const struct histogram *h)
{
    for (int i = 0; i <= HISTOGRAM_BOUNDS; i++)
        if (h->counts[i] > 0 && i < HISTOGRAM_BOUNDS)
            printf("%u: %llu\n", histogram_bounds_us[i], (unsigned long long)h->counts[i]);
        else if (h->counts[i] > 0)
            printf("more: %llu\n", (unsigned long long)h->counts[i]);
    printf("sum: %llu\n", (unsigned long long)h->sum_us);
}

int main(int argc, char **argv)
{
    struct histogram h = { 0 };
    const char *mode = argc == 2 ? argv[1] : "";
    long long us;
    for (int i = 1; i < HISTOGRAM_BOUNDS; i++)
        check(histogram_bounds_us[i] > histogram_bounds_us[i - 1], "the bounds ascend");
    if (strcmp(mode, "add") == 0) {
        while (scanf("%lld", &us) == 1)
            add(&h, us);
    } else if (strcmp(mode, "sweep") == 0) {
        for (us = 0; us <= 11000000; us++)
            add(&h, us);
    } else {
        fprintf(stderr, "usage: histogram add <TIMES, or histogram sweep\n");
        return 2;
    }
    print(&h);
    return 0;
}

#endif
