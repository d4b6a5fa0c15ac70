/* random.c - the keyed hash of a counter (table.h): unpredictable outside of this process, and no
 * system call for each number. */

#include "base/random.h"

#include "base/table.h"

uint64_t random_spread(uint64_t from, uint64_t spread)
{
    static uint64_t count;
    count++;
    uint64_t number = table_hash((struct span) { (const char *)&count, sizeof count }, 0);
    return from + number % (spread + 1);
}
