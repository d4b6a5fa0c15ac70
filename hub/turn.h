/* turn.h - whose turn it is: which streams are served when.
 *
 * A stream that waits costs its cursor. A message wakes a room by moving the whole list of its idle
 * streams behind those that are due, in one step; turn_run then serves them one by one, from the
 * front, a bounded number each turn of the loop:
 *
 *      idle ──room_wake──► due ──turn_run──► served: all of it ──► idle (at the end)
 *                           ▲                served: not all ────► blocked
 *                           └──────────turn_wake─────────────────────┘
 *
 * So `due` is in the order of the cursors but for those that turn_wake put in front. */

#ifndef TURN_H
#define TURN_H

#include "hub/stream.h"

/* The stream can take more: it is the next to be served. */
void turn_wake(struct hub *hub, struct stream *stream);

/* Serves a stream at once: a new one's first turn, or one with something of its own to send. */
void turn_serve(struct hub *hub, struct stream *stream);

/* Serves the due streams of `room` that have not yet been offered the bytes before `end`. */
void turn_serve_before(struct hub *hub, struct room *room, uint64_t end);

/* Serves at most `count` streams that are due; rooms take turns. */
void turn_run(struct hub *hub, unsigned count);

#endif
