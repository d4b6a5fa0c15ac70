/* share.h - inside: which rooms count towards --max-rooms, and how many one address may have made.
 *
 * A room counts while it has messages, held or pending, because they are what takes memory. A room
 * without any costs little more than its streams, which have limits of their own; so a client that
 * only reads cannot keep others from publishing. `lobby` and the rooms of --room never count: there
 * is always a place for them.
 *
 *      GET /events ──► room without messages ──► POST ──► room with messages ──► forgotten
 *                      share of the reader                counts; share of the publisher
 *
 * Of all other rooms, whether they count or not, one address may have made at most a quarter of
 * --max-rooms that still exist. So the rooms last for several addresses, and one that has used up
 * its share can still use every room that exists.
 *
 * The hub knows an address only as its source: a number that the caller chooses, different for each
 * address. 0 is a client to which no limit per address applies. */

#ifndef SHARE_H
#define SHARE_H

#include "base/table.h"
#include "hub/stream.h"

/* The rooms that one address has made. The record exists while there are any. */
struct share {
    struct node node; /* its hash is the source */
    unsigned rooms;
};

/* Returns whether a room of this name never counts. */
bool share_exempts(const struct hub *hub, struct span name);

/* Returns JOIN_OK if the limits let this source make another room that is not exempt, or be the
 * first to publish in `room` (NULL if that does not exist yet). */
enum join share_check(const struct hub *hub, const struct room *room, uint64_t source);

/* Makes the room one of this source, instead of the one it belonged to before; of none if the room
 * is exempt, or the source is 0, for which this cannot fail. Returns false if out of memory. */
bool share_assign(struct hub *hub, struct room *room, uint64_t source);

#endif
