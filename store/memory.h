/* memory.h - the keeper that keeps nothing: a message is safe when it is in the ring. */

#ifndef MEMORY_H
#define MEMORY_H

#include "store/keeper.h"

/* NULL without memory. */
struct keeper *memory_open(struct hub *hub);

#endif
