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
 * more rooms may count than --max-rooms. */
void restore_begin(struct hub *hub);

/* Notes that something stored cannot be read: every reader that resumes will get a gap. */
void restore_damage(struct hub *hub);

/* Sets what the hub itself remembers: where its memory begins, the newest id given, and the newest
 * id that a dropped room lost. Forgets the unused ids and returns true: those that are still known
 * follow. Returns false if this state is older than what was restored before. */
bool restore_state(struct hub *hub, struct id start, struct id last, struct id lost);

/* Notes that no message here has an id between these two. The oldest interval gives way when there
 * are more than UNUSED_MAX. */
void restore_unused(struct hub *hub, struct id after, struct id before);

/* Notes the --history of the server that wrote what is being restored, so that restore_end can tell
 * what no longer fits from what had been dropped before. */
void restore_history(struct hub *hub, uint64_t bytes);

/* Sets what a room has lost, and makes the room if needed. Returns false if out of memory. */
bool restore_room(struct hub *hub, struct span name, struct id lost);

/* Forgets a room and its messages up to `lost`. */
void restore_forgotten(struct hub *hub, struct span name, struct id lost);

/* What restore_end dropped because it exceeds the settings. */
struct restore_excess {
    uint64_t messages, bytes; /* over --history, in rooms that stay */
    uint64_t rooms, room_messages;
    uint64_t silent, silent_messages; /* rooms that stay, but will be forgotten after the grace */
};

/* How long a room stays at least after a start, unless --room-ttl is shorter: its readers are not
 * back yet, and the operator can correct a --room-ttl. */
enum { RESTORE_GRACE_MS = 10 * 60 * 1000 };

/* Ends restoring: applies --history, and frees empty rooms and those over --max-rooms, the longest
 * silent first. Returns false if out of memory. */
bool restore_end(struct hub *hub, struct restore_excess *excess);

#endif
