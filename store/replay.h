/* replay.h - inside store/: reads a journal's file into a new hub. */

#ifndef REPLAY_H
#define REPLAY_H

#include "store/inside.h"

/* Reads the file into the hub, which must be new. Damaged stretches are put aside in files of their
 * own; a torn tail is left out of `size`, and the caller must cut it off. Exits with EXIT_SYSTEM if
 * the file cannot be read, or memory does not suffice for what it holds. */
void replay_load(struct journal *j);

#endif
