/* history.h - what is read back from the rings: where a reader begins, pages of GET /messages, the
 * list of rooms. */

#ifndef HISTORY_H
#define HISTORY_H

#include "base/bytes.h"
#include "hub/frame.h"

struct hub;
struct room;

enum {
    HISTORY_MAX = 500, /* messages that a stream's history, or a page, may ask for */
    HISTORY_PAGE_BYTES = 65536,
};

/* From where a stream, or a page, wants to read. */
enum since { SINCE_NOW, SINCE_ID, SINCE_UNKNOWN, SINCE_LAST };
struct start {
    enum since since;
    struct id id;   /* SINCE_ID: after this one. SINCE_UNKNOWN: an id that nobody can read */
    unsigned count; /* SINCE_LAST: so many of each room */
};

/* What is wrong with a start in a room: NULL, or the reason of a gap. `room` may be NULL. */
const char *history_gap(const struct hub *hub, const struct room *room, const struct start *start);

/* Where in a room to begin reading: an entry's number. */
uint64_t history_seek(const struct hub *hub, const struct room *room, const struct start *start);

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
bool history_page(const struct hub *hub, const struct page_query *q, struct buffer *out);

/* Writes the elements of GET /rooms: those listed rooms of which `shows` says so, which is given
 * `reader`. */
void history_rooms(const struct hub *hub, bool (*shows)(const void *reader, struct span room),
    const void *reader, struct buffer *out);

#endif
