/* hub.h - rooms: how messages enter, and what happens as time passes.
 *
 * The hub uses no socket, file or clock: the loop sets its time, a keeper stores messages, and the
 * owners of streams send. A test driver can play all of these parts without waiting for anything
 * (test/unit/hub.c).
 *
 * hub_publish adds the message of a POST to the batch of this turn of the loop. hub_take_batch
 * hands the batch to the keeper (store/keeper.h), which gives each message its id and says when it
 * is safe. Only then does the message enter its room's ring, where streams (stream.h, turn.h) and
 * pages (history.h) read it. */

#ifndef HUB_H
#define HUB_H

#include "base/bytes.h"
#include "hub/history.h"
#include "hub/publication.h"
#include "hub/settings.h"
#include "hub/stream.h"
#include "hub/turn.h"

struct hub;

/* Makes a hub. `settings` and whatever it points to must outlive the hub; `owner` is copied. The
 * times are monotonic and Unix time in milliseconds. Returns NULL if out of memory. */
struct hub *hub_new(const struct hub_settings *settings, const struct stream_owner *owner,
    int64_t mono_ms, uint64_t unix_ms);

/* Frees the hub. By then, accepted messages must be safe or refused, and all streams must have
 * left. */
void hub_free(struct hub *hub);

/* Sets the hub's time until the next call. The loop calls this once per turn, so that everything in
 * a turn happens at the same time. */
void hub_set_clock(struct hub *hub, int64_t mono_ms, uint64_t unix_ms);

/* Returns whether the operator allows a room of this name (--room). */
bool hub_allows(const struct hub *hub, struct span room);

/* ---- Messages in ---- */

enum publish {
    PUBLISH_WAIT,      /* accepted: `done` is called when the message is safe or refused */
    PUBLISH_REPEATED,  /* known key, same message: the receipt is that of the first POST */
    PUBLISH_CONFLICT,  /* known key, different message */
    PUBLISH_TOO_LARGE, /* with the longest id, its frame would exceed half of the history */
    PUBLISH_NO_ROOM,   /* its room would count, but --max-rooms already do (hub/share.h) */
    PUBLISH_NO_SHARE,  /* its room would be one too many of this source */
    PUBLISH_NO_MEMORY,
};

/* Adds a message to this turn's batch, and copies what it needs from `m`. The waiter is linked only
 * on PUBLISH_WAIT; the caller owns it, and keeps it until `done` or hub_forget. The receipt is
 * filled in only on PUBLISH_REPEATED; its room is borrowed, and valid until the next call. */
enum publish hub_publish(
    struct hub *hub, const struct message *m, struct waiter *waiter, struct receipt *receipt);

/* Unlinks a waiter whose owner stops waiting; the message stays pending. Does nothing if the waiter
 * is not linked. */
void hub_forget(struct waiter *waiter);

/* ---- For the keeper ---- */

/* Takes this turn's messages out of the hub, oldest first, linked by `next`. Returns NULL if there
 * are none. The keeper must pass each of them to hub_safe or hub_refused. */
struct publication *hub_take_batch(struct hub *hub);

/* Makes the next id, for a keeper without its own ids: the greater of the clock and the last id
 * plus one. The id is used up, whatever becomes of the message. hub_time is the clock's time. */
struct id hub_next_id(struct hub *hub);
uint64_t hub_time(const struct hub *hub);

/* Gives a message its id and its Unix time in milliseconds. Call this before hub_safe, unless the
 * publication forgets a room. The id must be greater than the ids of all earlier safe messages. */
void hub_number(struct hub *hub, struct publication *p, struct id id, uint64_t time_ms);

/* Puts a numbered message, which is now safe, into its ring, makes the room's streams due, and
 * tells the waiters; or forgets the room's history. Frees `p`. Cannot fail. */
void hub_safe(struct hub *hub, struct publication *p);

/* Gives up what could not be kept, and tells the message's waiters `why`. Frees `p`. */
void hub_refused(struct hub *hub, struct publication *p, enum settled why);

enum append { APPENDED, APPEND_REPEATED, APPEND_OLD, APPEND_TOO_LARGE, APPEND_NO_MEMORY };

/* Appends a message that has no POST in this process; all spans are copied. APPEND_REPEATED: the
 * room has, or had, the same message. APPEND_OLD: `id` is not after the room's newest message, and
 * no message like this has it. In both cases nothing was done. APPEND_TOO_LARGE: the history cannot
 * hold the message, and the room's earlier messages are dropped too. */
enum append hub_append(struct hub *hub, const struct stored *m);

/* ---- Time ---- */

/* Takes due snapshots, ends overrun streams, and frees silent rooms. Call this once per turn. */
void hub_tick(struct hub *hub);

/* Returns when the hub next has work even if no socket is ready, in monotonic milliseconds. The
 * time is not in the future while a batch or a stream waits for its turn. INT64_MAX means never. */
int64_t hub_next_ms(const struct hub *hub);

#endif
