/* turn.h - the order in which streams are served.
 *
 * A waiting stream costs memory but no time. A message wakes a room by appending the whole list of
 * its idle streams to the list of due streams, in one step. turn_run then serves them one by one,
 * from the front, a bounded number per turn of the loop:
 *
 *      idle ──room_wake──► due ──┬─turn_run──► served: all of it ──► idle (at the end)
 *                                │             served: not all ────► blocked
 *      behind ◄──────────────────┼─ turn_wake ─────────────────────────┘
 *         └──────────────────────┘
 *
 * A room's due streams, which need only the latest messages, are in the order of their cursors.
 * Streams that have been blocked, or that replay a lot, are in a queue of their own: they need more
 * time, and get a part of it, so that the other streams do not wait for them. */

#ifndef TURN_H
#define TURN_H

#include "hub/stream.h"

/* Lets a blocked stream wait for its turn. Call this when the stream can take more. */
void turn_wake(struct hub *hub, struct stream *stream);

/* Serves a stream at once. Call this for a new stream, or when a stream has its own bytes to send.
 * The stream may be gone afterwards. */
void turn_serve(struct hub *hub, struct stream *stream);

/* Serves the streams of `room` that wait for their turn and have not been offered the bytes before
 * `end`, however many there are, because those bytes are about to be dropped. */
void turn_serve_before(struct hub *hub, struct room *room, uint64_t end);

/* Serves at most `count` due streams, so that the loop looks at its sockets again soon; rooms take
 * turns. Returns whether more streams are due. */
bool turn_run(struct hub *hub, unsigned count);

#endif
