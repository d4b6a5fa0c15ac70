/* random.c - random numbers as the keyed hash of a counter (table.h).
 *
 * The numbers cannot be predicted outside this process, because the hash has a secret key, and they
 * do not need a system call each. Taking the remainder makes small numbers a little more likely, by
 * less than (spread + 1) / 2^64, which does not matter for waiting times. */

#include "base/random.h"

#include "base/table.h"

uint64_t random_spread(uint64_t from, uint64_t spread)
{
    static uint64_t count;
    count++;
    uint64_t number = table_hash((struct span) { (const char *)&count, sizeof count }, 0);
    return from + number % (spread + 1);
}
