/* stream.h - a reader of rooms: its places in their rings, and what it gets next.
 *
 * A stream's owner embeds `struct stream`. stream_join puts the stream into its rooms. In the
 * stream's turn (turn.h) the owner gets the bytes from stream_gather, sends them, and passes the
 * number of sent bytes to stream_advance. The stream's position is one offset per room, its cursor:
 *
 *                      |  frame 7   |  frame 8   |  frame 9   |
 *      offsets         3000         3180         3300         3460 = head
 *
 *      idle                                                   cursor 3460: nothing to send
 *      due                          cursor 3180: one send of 280 bytes, two frames
 *      blocked              cursor 3050: the socket filled up mid-frame; the frame's rest is next
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

/* A stream's place in one room. The first is in the stream, because most streams have only one. */
struct member {
    struct link link; /* in the room's idle, due or blocked list */
    struct room *room;
    struct stream *stream;
    struct member *also; /* the same stream's place in its next room */
    uint64_t cursor;     /* the offset of the next byte to send */
    uint64_t limit;      /* where live events begin, while replaying; then UINT64_MAX */
    uint32_t seen;       /* the last change of presence that it has been sent */
};

/* A reader. Before stream_join the owner sets `chunked` (whether frames are sent with their
 * envelope); it may read the other fields. */
struct stream {
    struct member first;
    struct name *name;
    bool chunked;
    bool present; /* counts in presence */
    bool blocked; /* it could not take everything it was offered */
    bool behind;  /* it waits in the hub's list `behind`: see turn_wake */
};

/* What the owner of a stream did in the stream's turn. */
enum served {
    SERVED_ALL,     /* it has everything, and is idle until there is more */
    SERVED_BLOCKED, /* it could not take everything: the owner calls turn_wake when it can */
    SERVED_MORE,    /* it has had its share of this turn, and could take more */
    SERVED_GONE,    /* the owner has called stream_leave, and may have freed the stream */
};

/* The hub calls these while it walks a list: only this stream may leave during the call. */
struct stream_owner {
    enum served (*serve)(struct stream *);
    void (*overrun)(struct stream *); /* the ring has passed its cursor: the stream must leave */
};

enum join { JOIN_OK, JOIN_NO_ROOM, JOIN_NO_SHARE, JOIN_NO_MEMORY };

/* Puts the stream into `count` different rooms (1 to STREAM_ROOMS_MAX), after their newest
 * messages. If `present`, it counts in presence, under `name` unless that is empty. `source` is its
 * address (share.h). It gets nothing before turn_serve. On failure nothing has changed. */
enum join stream_join(struct hub *hub, struct stream *stream, const struct span *rooms,
    size_t count, struct span name, bool present, uint64_t source);

void stream_leave(struct hub *hub, struct stream *stream);

/* Moves the cursors of a stream that has just joined back to `start`, sets the limits to the heads,
 * and appends the `gap` events to `out`; `*gap` is the worst of them. Returns whether there is
 * anything to replay. */
bool stream_seek(struct hub *hub, struct stream *stream, const struct start *start,
    struct buffer *out, enum gap *gap);

/* Append the elements of `rooms` in a `ready` event, and the `presence` event of each room. */
void stream_add_online(const struct stream *stream, struct buffer *out);
void stream_add_presence(struct stream *stream, struct buffer *out);

/* What to send next, as pieces of the rings: valid until a message enters one of the rings. */
enum { GATHER_PIECES = 256 };
struct gather {
    struct iovec pieces[GATHER_PIECES];
    struct {
        struct member *member;
        uint64_t from, next; /* offsets: the first byte, and the cursor once the piece is sent */
    } places[GATHER_PIECES]; /* only of merged pieces */
    int count;
    size_t bytes;
    bool all; /* false: gather again when these are sent, because there may be more */
};

/* Collects frames up to the limits, in the order of their ids. Returns false if the stream is
 * overrun: a ring has dropped bytes that it has not been given. */
bool stream_gather(struct stream *stream, struct gather *g);

/* Moves the cursors past the first `sent` bytes of what was gathered. */
void stream_advance(struct stream *stream, const struct gather *g, size_t sent);

/* Returns whether there is a message that the stream has not been given. */
bool stream_is_behind(const struct stream *stream);

/* Returns whether the stream is still replaying. It gets nothing after the limits until
 * stream_go_live lifts them, because its `ready` comes between replay and live events. All limits
 * are set and lifted together. */
static inline bool stream_is_replaying(const struct stream *stream)
{
    return stream->first.limit != UINT64_MAX;
}

void stream_go_live(struct stream *stream);

/* Finds a presence snapshot that the stream has not been sent, and marks it as sent. Returns false
 * if there is none. The frame is borrowed, and valid until the next hub_tick. Call this only when
 * stream_gather found nothing, so that a lagging stream gets only the latest snapshot. */
bool stream_next_presence(struct stream *stream, struct span *frame);

#endif
