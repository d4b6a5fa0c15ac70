/* stream.h - a reader of rooms: its places in their rings, and what it gets next.
 *
 * A stream's owner embeds `struct stream`. stream_join puts it into its rooms; when its turn comes
 * (turn.h) the owner asks with stream_gather what to send, sends it, and says with stream_advance
 * how much of it went. */

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

/* A reader. The owner sets `chunked` before stream_join (whether frames are sent with their
 * envelope) and may read the others. */
struct stream {
    struct member first;
    struct name *name;
    bool chunked;
    bool present; /* counts in presence */
    bool blocked; /* could not take all it was offered */
};

/* What the owner of a stream did when its turn came. */
enum served {
    SERVED_ALL,     /* it has everything there is: it waits for more */
    SERVED_BLOCKED, /* it could not take all: turn_wake will say when it can */
    SERVED_GONE,    /* it called stream_leave */
};

/* What the hub calls. */
struct stream_owner {
    enum served (*serve)(struct stream *);
    void (*overrun)(struct stream *); /* the ring has passed its cursor: it must leave */
};

enum join { JOIN_OK, JOIN_NO_ROOM, JOIN_NO_MEMORY };

/* Puts the stream into `count` different rooms (1 to STREAM_ROOMS_MAX), at the newest message. With
 * `present` it shows in presence, by `name` unless that is empty. It gets nothing before
 * turn_serve. On failure nothing has changed. */
enum join stream_join(struct hub *hub, struct stream *stream, const struct span *rooms,
    size_t count, struct span name, bool present);

void stream_leave(struct hub *hub, struct stream *stream);

/* Sets the cursors of a joined stream back to `start`, and the limits to now, and writes the `gap`
 * events that are due for it to `out`. Returns whether there is anything to replay. */
bool stream_seek(
    struct hub *hub, struct stream *stream, const struct start *start, struct buffer *out);

/* Writes the `rooms` of a `ready` event, and the `presence` events to begin with. */
void stream_add_online(const struct stream *stream, struct buffer *out);
void stream_add_presence(struct stream *stream, struct buffer *out);

/* What to send next, as pieces of the rings; valid until a message enters one of them. */
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
void stream_gather(struct stream *stream, struct gather *g);

/* Moves the cursors over the first `sent` bytes of what was gathered. */
void stream_advance(const struct gather *g, size_t sent);

/* Whether there is any message that it has not been given. */
bool stream_is_behind(const struct stream *stream);

/* Whether a ring has passed one of the cursors. */
bool stream_is_overrun(const struct stream *stream);

/* While it replays, a stream's own `ready` must come before anything live. stream_go_live lifts the
 * limits. */
bool stream_is_replaying(const struct stream *stream);
void stream_go_live(struct stream *stream);

/* The next presence snapshot that the stream has not had, in its envelope, and marks it as had;
 * false when there is none. To be asked only when stream_gather found nothing. */
bool stream_next_presence(struct stream *stream, struct span *frame);

#endif
