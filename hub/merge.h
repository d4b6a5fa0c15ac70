/* merge.h - inside hub/: what a stream in several rooms, or without chunks, gets next. */

#ifndef MERGE_H
#define MERGE_H

#include "hub/stream.h"

/* Collects frames, one by one, until there are none or no further piece fits; g->all, which must be
 * true before, tells which. For stream_gather alone. */
void merge_gather(struct stream *stream, struct gather *g);

#endif
