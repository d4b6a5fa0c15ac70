/* stream.h - a reader of rooms: its places in their rings, and what it gets next.
 *
 * A stream's owner embeds `struct stream`. stream_join puts it into its rooms. When its turn comes
 * (turn.h) the owner asks with stream_gather what to send, sends it, and says with stream_advance
 * how much of it went. How far it has read is one offset a room, its cursor:
 *
 *                      |  frame 7   |  frame 8   |  frame 9   |
 *      offsets         3000         3180         3300         3460 = head
 *
 *      idle                                                   cursor 3460: nothing to send
 *      due                          cursor 3180: one send of 280 bytes, two frames
 *      blocked              cursor 3050: the socket was full in mid-frame; the frame's rest is next
 */

#ifndef STREAM_H
#define STREAM_H

#include "base/bytes.h"
#include "base/list.h"
#include "hub/history.h"

#include <sys/uio.h>

struct hub;
struct name;
struct room;
struct stream;

enum { STREAM_ROOMS_MAX = 16 };

/* A stream's place in one room. The first is in the stream itself: nearly every stream has one. */
struct member {
    struct link link; /* in the room's idle, due or blocked list */
    struct room *room;
    struct stream *stream;
    struct member *also; /* the same stream's place in its next room */
    uint64_t cursor;     /* the offset of the next byte to send */
    uint64_t limit;      /* while replaying: where live events begin; then UINT64_MAX */
    uint32_t seen;       /* the last change of presence that it has been told */
};

/* A reader. The owner sets `chunked` before stream_join (whether frames are sent with their
 * envelope) and may read the other fields. */
struct stream {
    struct member first;
    struct name *name;
    bool chunked;
    bool present; /* counts in presence */
    bool blocked; /* it could not take all that it was offered */
};

/* What the owner of a stream did when its turn came. */
enum served {
    SERVED_ALL,     /* it has everything there is, and is idle until there is more */
    SERVED_BLOCKED, /* it could not take all: the owner calls turn_wake when it can */
    SERVED_GONE,    /* the owner has called stream_leave, and may have freed the stream */
};

/* What the hub calls. Only this stream may leave meanwhile: the hub is in the middle of a list. */
struct stream_owner {
    enum served (*serve)(struct stream *);
    void (*overrun)(struct stream *); /* the ring has passed its cursor: it must leave */
};

enum join { JOIN_OK, JOIN_NO_ROOM, JOIN_NO_MEMORY };

/* Puts the stream into `count` different rooms (1 to STREAM_ROOMS_MAX), behind their newest
 * messages. With `present` it counts in presence, under `name` unless that is empty. It gets
 * nothing before turn_serve. On failure nothing has changed. */
enum join stream_join(struct hub *hub, struct stream *stream, const struct span *rooms,
    size_t count, struct span name, bool present);

void stream_leave(struct hub *hub, struct stream *stream);

/* Sets the cursors of a stream that has just joined back to `start`, and the limits to the heads,
 * and appends the `gap` events to `out`. Returns whether there is anything to replay. */
bool stream_seek(
    struct hub *hub, struct stream *stream, const struct start *start, struct buffer *out);

/* Appends the elements of `rooms` in a `ready` event, and the `presence` event of each room. */
void stream_add_online(const struct stream *stream, struct buffer *out);
void stream_add_presence(struct stream *stream, struct buffer *out);

/* What to send next, as pieces of the rings: borrowed, valid until a message enters one of them. */
enum { GATHER_PIECES = 64 };
struct gather {
    struct iovec pieces[GATHER_PIECES];
    struct {
        struct member *member;
        uint64_t from, next; /* offsets: its first byte, and the cursor when all of it is sent */
    } places[GATHER_PIECES];
    int count;
    size_t bytes;
    bool all; /* false: ask again when these are sent, because there may be more */
};

/* Collects frames up to the limits, in the order of their ids; the stream must not be overrun. */
void stream_gather(struct stream *stream, struct gather *g);

/* Moves the cursors over the first `sent` bytes of what was gathered, be it all or a part. */
void stream_advance(const struct gather *g, size_t sent);

/* Returns whether there is a message that the stream has not been given. */
bool stream_is_behind(const struct stream *stream);

/* Returns whether a ring has dropped bytes that the stream has not been given. */
bool stream_is_overrun(const struct stream *stream);

/* While a stream replays, it gets nothing from behind the limits, because its `ready` comes between
 * replay and live events. stream_go_live lifts the limits. */
bool stream_is_replaying(const struct stream *stream);
void stream_go_live(struct stream *stream);

/* Finds the next presence snapshot that the stream has not had, and marks it as had. Returns false
 * when there is none. Borrowed: valid until the next hub_tick. To be called only when stream_gather
 * found nothing, so that a stream that lags gets one snapshot, the latest. */
bool stream_next_presence(struct stream *stream, struct span *frame);

#endif
