/* hub.h - rooms: messages on their way in, and what the passing of time does.
 *
 * The hub has no socket and no file and reads no clock: the loop sets its time, a keeper stores
 * messages, the owners of streams send. A driver can play all of these parts without waiting for
 * anything (test/unit/hub.c).
 *
 * hub_publish takes the message of a POST into the batch of this turn of the loop. hub_take_batch
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

/* `settings` and what it points to must outlive the hub; `owner` is copied. The times are monotonic
 * and Unix time in milliseconds. Returns NULL if out of memory. */
struct hub *hub_new(const struct hub_settings *settings, const struct stream_owner *owner,
    int64_t mono_ms, uint64_t unix_ms);

/* Before this, every message that was taken in must be safe or refused, and every stream must have
 * left. */
void hub_free(struct hub *hub);

/* The time that holds until the next call. The loop calls it once a turn, so that all of a turn
 * happens at one time. */
void hub_set_clock(struct hub *hub, int64_t mono_ms, uint64_t unix_ms);

/* Returns whether the operator allows a room of this name (--room). */
bool hub_allows(const struct hub *hub, struct span room);

/* The id of the newest safe message; the hub's start when there is none. A reader that has seen no
 * message resumes from it (`ready`), so that it misses none. */
struct id hub_newest(const struct hub *hub);

/* ---- Messages in ---- */

enum publish {
    PUBLISH_WAIT,      /* accepted: `done` is called when the message is safe or refused */
    PUBLISH_REPEATED,  /* its key was seen with the same message: the receipt is the first one's */
    PUBLISH_CONFLICT,  /* its key was seen with another message */
    PUBLISH_TOO_LARGE, /* with the longest id its frame would be over half of the history */
    PUBLISH_NO_ROOM,   /* it needs a new room, and there are as many as --max-rooms allows */
    PUBLISH_NO_MEMORY,
};

/* Takes a message into this turn's batch, and copies what it needs of `m`. The waiter is linked
 * only on PUBLISH_WAIT; the caller owns it, and keeps it until `done` or hub_forget. The receipt is
 * filled in only on PUBLISH_REPEATED; its room is borrowed, valid until the next call. */
enum publish hub_publish(
    struct hub *hub, const struct message *m, struct waiter *waiter, struct receipt *receipt);

/* The waiter's owner goes before it was told; the message stays on its way. Does nothing when the
 * waiter waits for nothing. */
void hub_forget(struct waiter *waiter);

/* ---- For the keeper ---- */

/* Takes this turn's messages out of the hub, the oldest first, linked by `next`. Returns NULL when
 * there are none. The keeper must end each of them with hub_safe or hub_refused. */
struct publication *hub_take_batch(struct hub *hub);

/* The id to give to a message now, for a keeper that has none of its own: the greater of the clock
 * and the last id plus one. The call uses the id up, whatever becomes of the message. */
struct id hub_next_id(struct hub *hub);

/* Gives a message its id and its time (Unix time in milliseconds); before hub_safe. The id must be
 * greater than those of all messages that were safe before. */
void hub_number(struct hub *hub, struct publication *p, struct id id, uint64_t time_ms);

/* The numbered message is safe: it enters its ring, its room's streams become due, its waiters are
 * told. Frees `p`. Cannot fail. */
void hub_safe(struct hub *hub, struct publication *p);

/* The message could not be kept: it is forgotten, and its waiters are told `why`. Frees `p`. */
void hub_refused(struct hub *hub, struct publication *p, enum settled why);

enum append { APPENDED, APPEND_OLD, APPEND_TOO_LARGE, APPEND_NO_MEMORY };

/* Appends a message that has no POST in this process, because it is restored. `payload` is its
 * frame without the envelope; all spans are copied. APPEND_OLD: `id` is not after the room's newest
 * message, and nothing was done. APPEND_TOO_LARGE: the history cannot hold the message, and what
 * was before it is dropped too. */
enum append hub_append(struct hub *hub, struct span room, struct id id, uint64_t time_ms,
    enum message_kind kind, struct span key, struct span payload);

/* ---- Time ---- */

/* Does what is due by now: presence snapshots, overrun streams, silent rooms. Once a turn. */
void hub_tick(struct hub *hub);

/* When there is something to do even if no socket has anything, in monotonic milliseconds: not in
 * the future when a batch or a stream waits for its turn; INT64_MAX for never. */
int64_t hub_next_ms(const struct hub *hub);

#endif
