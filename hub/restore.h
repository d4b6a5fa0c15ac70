/* restore.h - gives a new hub its past back, before the first stream or POST.
 *
 * A keeper calls restore_begin, then hub_append for each message, oldest first, with the other
 * functions in between as needed, and finally restore_end. */

#ifndef RESTORE_H
#define RESTORE_H

#include "base/bytes.h"
#include "hub/frame.h"

struct hub;

/* Makes the hub forget the past that it was made with. Until restore_end, rooms may be empty, and
 * there may be more rooms than --max-rooms. */
void restore_begin(struct hub *hub);

/* Notes that something stored cannot be read: every reader that resumes will get a gap. */
void restore_damage(struct hub *hub);

/* Sets what the hub itself remembers: where its memory begins, the newest id given, and the newest
 * id that a dropped room lost. */
void restore_state(struct hub *hub, struct id start, struct id last, struct id lost);

/* Sets what a room has lost, and makes the room if needed. Returns false if out of memory. */
bool restore_room(struct hub *hub, struct span name, struct id lost);

/* Ends restoring: frees empty rooms and those over --max-rooms, the longest silent first. Returns
 * false if out of memory. */
bool restore_end(struct hub *hub);

#endif
