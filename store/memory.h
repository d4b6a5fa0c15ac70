/* memory.h - the keeper without a disk: a message is safe as soon as it is in its ring. */

#ifndef MEMORY_H
#define MEMORY_H

#include "store/keeper.h"

/* Makes a keeper for the hub, which must outlive it. Returns NULL if out of memory. */
struct keeper *memory_open(struct hub *hub);

#endif
