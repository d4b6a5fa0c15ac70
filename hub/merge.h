/* merge.h - inside hub/: what a stream in several rooms, or without chunks, gets next. */

#ifndef MERGE_H
#define MERGE_H

#include "hub/stream.h"

/* Collects frames until there are no more, or until no further piece fits; in the second case it
 * sets g->all, initially true, to false. Only stream_gather calls this. */
void merge_gather(struct stream *stream, struct gather *g);

#endif
