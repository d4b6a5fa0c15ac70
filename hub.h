/* hub.h - rooms: messages on their way in, and what time does to them.
 *
 * The hub knows no sockets, no disk and reads no clock. A POST comes in by hub_publish and waits in
 * the batch of this turn of the loop. hub_take_batch hands the batch to the keeper
 * (store/keeper.h), which gives each message its number, and says when it is safe; only then is it
 * in the room's ring and can be read. Streams read through stream.h and turn.h, pages through
 * history.h. */

#ifndef HUB_H
#define HUB_H

#include "base/bytes.h"
#include "hub/history.h"
#include "hub/publication.h"
#include "hub/settings.h"
#include "hub/stream.h"
#include "hub/turn.h"

struct hub;

/* `settings` and what it points to must outlive the hub. The clocks are monotonic and Unix time in
 * milliseconds. NULL without memory. */
struct hub *hub_new(const struct hub_settings *settings, const struct stream_owner *owner,
    int64_t mono_ms, uint64_t unix_ms);

/* No message may be on its way any more. */
void hub_free(struct hub *hub);

/* The time until the next call. */
void hub_set_clock(struct hub *hub, int64_t mono_ms, uint64_t unix_ms);

/* Whether the settings allow a room of this name. */
bool hub_allows(const struct hub *hub, struct span room);

/* The newest id that is in a ring; the hub's start when there is none. */
struct id hub_newest(const struct hub *hub);

/* ---- Messages in ---- */

enum publish {
    PUBLISH_WAIT,      /* accepted: `done` is called when it is safe, or refused */
    PUBLISH_REPEATED,  /* its key was seen: the receipt is the first one's */
    PUBLISH_CONFLICT,  /* its key was seen with another message */
    PUBLISH_TOO_LARGE, /* with the longest id its frame would be over half of the history */
    PUBLISH_NO_ROOM,   /* it needs a new room and there are too many */
    PUBLISH_NO_MEMORY,
};

/* Takes a message into this turn's batch. Nothing of `m` is needed after the call. */
enum publish hub_publish(
    struct hub *hub, const struct message *m, struct waiter *waiter, struct receipt *receipt);

/* The waiter's owner goes; the message does not. */
void hub_forget(struct waiter *waiter);

/* ---- For the keeper ---- */

/* Takes this turn's messages out of the hub, the oldest first, linked by `next`; NULL when there
 * are none. Each of them must end in hub_safe or hub_refused. */
struct publication *hub_take_batch(struct hub *hub);

/* The id to give to a message now, where the keeper has none of its own: the greater of the clock
 * and the last one given plus one. It is used up by this, whatever becomes of the message. */
struct id hub_next_id(struct hub *hub);

/* Gives a message its id, which must be greater than those of all messages that were safe before,
 * and its time (Unix time in milliseconds). */
void hub_number(struct hub *hub, struct publication *p, struct id id, uint64_t time_ms);

/* The numbered message is safe: it goes into its ring, its room's streams are due, those that wait
 * are told. `p` is gone. Needs no memory. */
void hub_safe(struct hub *hub, struct publication *p);

/* It will not be safe: it is forgotten, and those that wait are told `why`. `p` is gone. */
void hub_refused(struct hub *hub, struct publication *p, enum settled why);

enum append { APPENDED, APPEND_OLD, APPEND_TOO_LARGE, APPEND_NO_MEMORY };

/* A message that has no POST here: it is restored, or another process has published it. `payload`
 * is its frame without the envelope. APPEND_OLD: `id` is not after the room's newest message, and
 * nothing was done; APPEND_TOO_LARGE: the history cannot hold it, nor what was before it. */
enum append hub_append(struct hub *hub, struct span room, struct id id, uint64_t time_ms,
    enum message_kind kind, struct span key, struct span payload);

/* ---- Time ---- */

/* Presence snapshots, overrun streams, silent rooms: whatever is due by now. */
void hub_tick(struct hub *hub);

/* When there is something to do again without an event: monotonic milliseconds, in the past when a
 * batch or a stream is waiting; INT64_MAX for never. */
int64_t hub_next_ms(const struct hub *hub);

#endif
