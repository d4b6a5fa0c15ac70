/* random.h - random numbers that spread clients in time, so that they do not all reconnect at once.
 * They are not for keys or tokens. */

#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

/* Returns a number from `from` to `from + spread`, each about equally likely. `spread` is below
 * UINT64_MAX. */
uint64_t random_spread(uint64_t from, uint64_t spread);

#endif
