/* restore.h - a new hub gets its past back, before anything else happens.
 *
 * A keeper calls restore_begin, then hub_append for each message, oldest first, and the others in
 * between, and restore_end. */

#ifndef RESTORE_H
#define RESTORE_H

#include "base/bytes.h"
#include "hub/frame.h"

struct hub;

/* From here on the hub's past is what is restored. */
void restore_begin(struct hub *hub);

/* Something that was there cannot be read any more: every reader that was away must be told of a
 * gap. */
void restore_damage(struct hub *hub);

/* The hub's own: when its memory began, the newest id given, the newest that a dropped room lost.
 */
void restore_state(struct hub *hub, struct id start, struct id last, struct id lost);

/* What a room has lost. False without memory. */
bool restore_room(struct hub *hub, struct span name, struct id lost);

/* That was all: rooms over the limit go, the longest silent first. False without memory. */
bool restore_end(struct hub *hub);

#endif
