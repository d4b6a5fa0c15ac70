/* hub.h - rooms and their history, messages on their way in, streams and their cursors.
 *
 * The hub knows no sockets and reads no clock. Messages come in by hub_publish and become part of
 * a room's history in hub_settle, all of one turn of the loop together. Streams come in by hub_join
 * and ask with hub_gather what to send next; hub_run calls them when there is something. */

#ifndef HUB_H
#define HUB_H

#include "base/bytes.h"
#include "base/list.h"
#include "hub/frame.h"

#include <stdint.h>
#include <sys/uio.h>

struct hub;
struct journal;
struct name;
struct publication;
struct room;
struct stream;

enum {
    HUB_STREAM_ROOMS_MAX = 16,
    HUB_HISTORY_MAX = 500, /* messages a stream's history, or a page, may ask for */
    HUB_PAGE_BYTES = 65536,
};

/* What a stream answers when its turn comes. */
enum served {
    SERVED_ALL,     /* it has everything there is: it waits for more */
    SERVED_BLOCKED, /* it could not take all: hub_wake will say when it can */
    SERVED_GONE,    /* it called hub_leave */
};

/* What became of a batch where messages are kept: all of it is safe, or nothing of it happened. */
enum stored {
    STORED,
    STORED_FULL,   /* no space is left; there may be some later */
    STORED_FAILED, /* or anything else */
};

struct hub_settings {
    size_t history;       /* bytes a room, a power of two */
    unsigned max_rooms;   /* 0: no limit */
    int64_t room_ttl_ms;  /* after which a silent room without streams is dropped */
    struct span *allowed; /* the only rooms there may be; none: any */
    size_t allowed_count;
    enum stored (*store)(struct journal *, const struct publication *batch);
    enum served (*serve)(struct stream *);
    void (*overrun)(struct stream *); /* the ring has passed its cursor: it must leave */
};

/* `settings` and what it points to must outlive the hub. NULL without memory. */
struct hub *hub_new(const struct hub_settings *settings, int64_t mono_ms, uint64_t unix_ms);
void hub_free(struct hub *hub);

/* The time until the next call: the monotonic clock and Unix time, both in milliseconds. */
void hub_set_clock(struct hub *hub, int64_t mono_ms, uint64_t unix_ms);

/* Whether the settings allow a room of this name. */
bool hub_allows(const struct hub *hub, struct span room);

/* ---- Messages in ---- */

/* What was published: `room` and `online` are those of the answer to the POST. */
struct receipt {
    struct id id;
    struct span room;
    unsigned online;
};

/* Somebody who waits to hear what became of a message. It lives with its owner, who calls
 * hub_forget when it goes before `done` was called. */
struct waiter {
    struct waiter *next;
    struct publication *publication; /* NULL when nothing is awaited */
    bool repeated;                   /* its key was in the batch already: the first one's result */
    void (*done)(struct waiter *, enum stored, const struct receipt *);
};

enum publish {
    PUBLISH_WAIT,      /* accepted: `done` is called in hub_settle */
    PUBLISH_REPEATED,  /* its key was seen: the receipt is the first one's */
    PUBLISH_CONFLICT,  /* its key was seen with another message */
    PUBLISH_TOO_LARGE, /* its frame is over half of the history */
    PUBLISH_NO_ROOM,   /* it needs a new room and there are too many */
    PUBLISH_NO_MEMORY,
};

/* Takes a message into this turn's batch. Nothing of `m` is needed after the call. */
enum publish hub_publish(
    struct hub *hub, const struct message *m, struct waiter *waiter, struct receipt *receipt);

void hub_forget(struct waiter *waiter);

/* Stores this turn's batch, puts it into the rings, in order, and tells the waiters. What cannot be
 * stored is forgotten: its ids are never given again. */
void hub_settle(struct hub *hub);

/* Where messages are kept from now on; NULL, as in the beginning, is in memory only. */
void hub_keep_in(struct hub *hub, struct journal *journal);

/* ---- What a journal brings back, before anything else happens ---- */

/* From here on the hub's past is what is restored. */
void hub_restore_begin(struct hub *hub);

/* Something that was there cannot be read any more: whoever was away must be told of a gap. */
void hub_restore_damage(struct hub *hub);

/* The hub's own: when its memory began, the newest id given, the newest that a dropped room lost.
 */
void hub_restore_state(struct hub *hub, struct id start, struct id last, struct id lost);

/* What a room has lost, and a message; `payload` is a frame without its envelope. hub_restore
 * returns false when the id is not after the room's last one. What there is no memory for is left
 * out, and hub_restored will say so. */
void hub_restore_lost(struct hub *hub, struct span room, struct id lost);
bool hub_restore(struct hub *hub, struct span room, struct id id, enum message_kind kind,
    struct span key, struct span payload);

/* That was all: rooms over the limit go, the longest silent first. False when there was not enough
 * memory for all of it. */
bool hub_restored(struct hub *hub);

/* The newest id that is in a ring; the hub's start when there is none. */
struct id hub_newest(const struct hub *hub);

/* ---- Streams ---- */

/* A stream's place in one room: an offset into its ring, and a link in one of its lists. */
struct member {
    struct link link;
    struct room *room;
    struct stream *stream;
    struct member *also; /* the same stream's place in its next room */
    uint64_t cursor;     /* the offset of the next byte to send */
    uint64_t limit;      /* while replaying: where live begins; then UINT64_MAX */
    uint32_t seen;       /* the presence change it has been told of */
};

/* A reader. Its owner embeds it; all fields are the hub's business but `chunked`, which the owner
 * sets before hub_join: whether frames are sent with their envelope. */
struct stream {
    struct member first;
    struct name *name;
    bool chunked;
    bool present; /* counts in presence */
    bool blocked; /* could not take all it was offered */
};

enum join { JOIN_OK, JOIN_NO_ROOM, JOIN_NO_MEMORY };

/* Puts the stream into `count` different rooms (1 to HUB_STREAM_ROOMS_MAX), at the newest message.
 * With `present` it shows in presence, by `name` unless that is empty. It gets nothing before
 * hub_start. On failure nothing has changed. */
enum join hub_join(struct hub *hub, struct stream *stream, const struct span *rooms, size_t count,
    struct span name, bool present);

void hub_leave(struct hub *hub, struct stream *stream);

/* From where a stream, or a page, wants to read. */
enum since { SINCE_NOW, SINCE_ID, SINCE_UNKNOWN, SINCE_LAST };
struct start {
    enum since since;
    struct id id;   /* SINCE_ID: after this one. SINCE_UNKNOWN: an id that nobody can read */
    unsigned count; /* SINCE_LAST: so many of each room */
};

/* Sets the cursors of a joined stream back to `start`, and the limits to now, and writes the `gap`
 * events that are due for it to `out`. Returns whether there is anything to replay. */
bool hub_seek(
    struct hub *hub, struct stream *stream, const struct start *start, struct buffer *out);

/* Writes the `rooms` of a `ready` event, and the `presence` events to begin with. */
void hub_add_online(const struct stream *stream, struct buffer *out);
void hub_add_presence(struct stream *stream, struct buffer *out);

/* Gives a new stream its first turn. */
void hub_start(struct hub *hub, struct stream *stream);

/* What to send next, as pieces of the rings; valid until the next hub_publish or hub_settle. */
enum { GATHER_PIECES = 64 };
struct gather {
    struct iovec pieces[GATHER_PIECES];
    struct {
        struct member *member;
        uint64_t from, next; /* offsets: of its first byte, and where the cursor goes after it */
    } places[GATHER_PIECES];
    int count;
    size_t bytes;
    bool all; /* else there may be more: it is worth asking again when these are sent */
};

/* Collects frames up to the limits, in the order of their ids. `bytes` is 0 when there are none. */
void hub_gather(struct stream *stream, struct gather *g);

/* Moves the cursors over the first `sent` bytes of what was gathered. */
void hub_advance(const struct gather *g, size_t sent);

/* Whether the last byte sent was in the middle of a frame. */
bool hub_in_frame(const struct stream *stream);

/* Whether there is any message that it has not been given. */
bool hub_is_behind(const struct stream *stream);

/* Whether a ring has passed one of the cursors. */
bool hub_is_overrun(const struct stream *stream);

/* While it replays, a stream's own `ready` must come before anything live. hub_go_live lifts the
 * limits. */
bool hub_is_replaying(const struct stream *stream);
void hub_go_live(struct stream *stream);

/* The next presence snapshot that the stream has not had, in its envelope, and marks it as had;
 * false when there is none. To be asked only when hub_gather found nothing. */
bool hub_next_presence(struct stream *stream, struct span *frame);

/* The stream can take more: it is the next to be served. */
void hub_wake(struct hub *hub, struct stream *stream);

/* Serves at most `count` streams that are due. */
void hub_run(struct hub *hub, unsigned count);

/* ---- Reading back, and housekeeping ---- */

/* One page of GET /messages. */
struct page_query {
    struct span room;
    struct start start; /* SINCE_ID or SINCE_UNKNOWN: forwards; else backwards from the end */
    bool has_before;    /* backwards from `before`, without it */
    struct id before;
    unsigned limit;
    bool polls; /* an empty page tells as `newest` where to go on from */
};

/* Writes the page as JSON. Returns whether it tells anything: messages, or a gap. */
bool hub_add_page(struct hub *hub, const struct page_query *q, struct buffer *out);

/* Writes the elements of GET /rooms: those listed rooms of which `shows` says so. */
void hub_add_rooms(const struct hub *hub, bool (*shows)(struct span room), struct buffer *out);

/* Presence snapshots, overrun streams, silent rooms: whatever is due by now. */
void hub_tick(struct hub *hub);

/* When there is something to do again without anybody's doing: monotonic milliseconds, in the past
 * when a batch or a stream is waiting; INT64_MAX for never. */
int64_t hub_next_ms(const struct hub *hub);

#endif
