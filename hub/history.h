/* history.h - reading back from the rings: where a reader begins, pages of GET /messages, the list
 * of rooms. */

#ifndef HISTORY_H
#define HISTORY_H

#include "base/bytes.h"
#include "hub/frame.h"

struct hub;
struct room;

enum {
    HISTORY_MAX = 500,          /* messages that a stream's history, or a page, may ask for */
    HISTORY_PAGE_BYTES = 65536, /* of frames, over which a page ends */
};

/* From where a stream, or a page, wants to read. SINCE_UNKNOWN: the id that was given is none. */
enum since { SINCE_NOW, SINCE_ID, SINCE_UNKNOWN, SINCE_LAST };
struct start {
    enum since since;
    struct id id;   /* SINCE_ID: after this one */
    unsigned count; /* SINCE_LAST: this many of each room */
};

/* Returns NULL when a room still has all messages after `start`; otherwise the reason of the gap:
 * "expired", "restarted" or "unknown". `room` is NULL for a room that does not exist. */
const char *history_gap(const struct hub *hub, const struct room *room, const struct start *start);

/* The number of the entry at which to begin reading; the ring's `next` when there is none yet. */
uint64_t history_seek(const struct hub *hub, const struct room *room, const struct start *start);

/* One page of GET /messages. */
struct page_query {
    struct span room;
    struct start start; /* SINCE_ID or SINCE_UNKNOWN: forwards; otherwise backwards from the end */
    bool has_before;    /* backwards from `before`, without the message itself */
    struct id before;
    unsigned limit; /* messages */
    bool polls;     /* an empty page has as `newest` the id to go on from */
};

/* Appends the page as JSON. Returns whether there is anything on it: messages, or a gap. A room
 * that does not exist is an empty page, and is not made. */
bool history_page(const struct hub *hub, const struct page_query *q, struct buffer *out);

/* Appends the elements of GET /rooms: the listed rooms for which `shows` returns true. `reader` is
 * passed to it. */
void history_rooms(const struct hub *hub, bool (*shows)(const void *reader, struct span room),
    const void *reader, struct buffer *out);

#endif
