/* turn.h - which streams are served when.
 *
 * A stream that waits costs its cursor. A message wakes a room by moving the whole list of its idle
 * streams behind those that are due, in one step. turn_run then serves them one by one, from the
 * front, a bounded number each turn of the loop:
 *
 *      idle ──room_wake──► due ──turn_run──► served: all of it ──► idle (at the end)
 *                           ▲                served: not all ────► blocked
 *                           └──────────turn_wake─────────────────────┘
 *
 * So `due` is in the order of the cursors, except for the streams that turn_wake puts in front. */

#ifndef TURN_H
#define TURN_H

#include "hub/stream.h"

/* A blocked stream can take more: it is the next to be served, because as a rule it is furthest
 * behind. */
void turn_wake(struct hub *hub, struct stream *stream);

/* Serves a stream at once: the first turn of a new one, or one with something of its own to send.
 * The stream may be gone afterwards. */
void turn_serve(struct hub *hub, struct stream *stream);

/* Serves the due streams of `room` that have not been offered the bytes before `end`, however many:
 * those bytes are about to be dropped. */
void turn_serve_before(struct hub *hub, struct room *room, uint64_t end);

/* Serves at most `count` due streams, so that the loop looks at its sockets again soon; rooms take
 * turns. */
void turn_run(struct hub *hub, unsigned count);

#endif
