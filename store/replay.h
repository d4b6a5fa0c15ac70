/* replay.h - inside store/: reads a journal's file into a new hub. */

#ifndef REPLAY_H
#define REPLAY_H

#include "store/inside.h"

/* Reads the file into the hub, which must be new. Damaged stretches are copied to their own files;
 * a torn tail is left out of `size`, and the caller must cut it off. Exits with EXIT_SYSTEM if the
 * file cannot be read or its contents do not fit in memory. */
void replay_load(struct journal *j);

#endif
