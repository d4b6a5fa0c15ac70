/* random.h - chance for spreading clients in time: not for keys or tokens. */

#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

/* A number from `from` to `from + spread`, each about as likely as the next. */
uint64_t random_spread(uint64_t from, uint64_t spread);

#endif
