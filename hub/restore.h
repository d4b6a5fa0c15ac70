/* restore.h - a new hub gets its past back, before any stream or POST comes.
 *
 * A keeper calls restore_begin, then hub_append for each message, the oldest first, with the other
 * functions in between as it finds them, and restore_end. */

#ifndef RESTORE_H
#define RESTORE_H

#include "base/bytes.h"
#include "hub/frame.h"

struct hub;

/* The hub forgets the past that it was made with. Until restore_end there may be empty rooms, and
 * more than --max-rooms. */
void restore_begin(struct hub *hub);

/* Something that was stored cannot be read: every reader that resumes will be told of a gap. */
void restore_damage(struct hub *hub);

/* What the hub itself remembers: where its memory began, the newest id given, the newest id that a
 * dropped room lost. */
void restore_state(struct hub *hub, struct id start, struct id last, struct id lost);

/* What a room has lost; the room is made. Returns false if out of memory. */
bool restore_room(struct hub *hub, struct span name, struct id lost);

/* That was all: rooms over --max-rooms go, the longest silent first, and empty ones. Returns false
 * if out of memory. */
bool restore_end(struct hub *hub);

#endif
