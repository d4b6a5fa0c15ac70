/* replay.h - inside store/: a journal's file becomes the hub's past. */

#ifndef REPLAY_H
#define REPLAY_H

#include "store/inside.h"

/* Reads the file into the hub, which must be new. What is damaged is put aside, what is torn at the
 * end is not counted in `size`. Exits with EXIT_SYSTEM when the file cannot be read, or does not
 * fit into memory. */
void replay_load(struct journal *j);

#endif
