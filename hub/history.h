/* history.h - reading back from the rings: where a reader begins, pages of GET /messages, the list
 * of rooms. */

#ifndef HISTORY_H
#define HISTORY_H

#include "base/bytes.h"
#include "hub/frame.h"

struct hub;
struct room;

enum {
    HISTORY_MAX = 500,          /* the most messages in a stream's history or in a page */
    HISTORY_PAGE_BYTES = 65536, /* a page's elements are no longer than this, unless it has one */
    HISTORY_ROOMS_MAX = 300,    /* a longer list of rooms has only those with messages */
};

/* Where a stream or a page begins to read. SINCE_UNKNOWN: the given id is malformed. */
enum since { SINCE_NOW, SINCE_ID, SINCE_UNKNOWN, SINCE_LAST };
struct start {
    enum since since;
    struct id id;   /* SINCE_ID: begin after this id */
    unsigned count; /* SINCE_LAST: this many messages per room */
    bool scoped;    /* the reader must not learn when other rooms get messages */
};

/* Whether a room still has all messages after `start`, or why not; each reason excuses more than
 * the one before. `room` is NULL for a room that does not exist. history_gap_word returns the word
 * that readers get: "expired", "restarted" or "unknown"; NULL for GAP_NONE. */
enum gap { GAP_NONE, GAP_EXPIRED, GAP_RESTARTED, GAP_UNKNOWN, GAP_COUNT };
enum gap history_gap(const struct hub *hub, const struct room *room, const struct start *start);
const char *history_gap_word(enum gap gap);

/* Returns the id to continue from for a reader that began at `start` and has got everything in
 * these rooms, so that it misses nothing even if it has seen no message. It is that of the newest
 * message of all rooms, or the hub's start if there is none. If scoped, it depends only on `start`
 * and on what these rooms have or have lost. */
struct id history_newest(
    const struct hub *hub, const struct start *start, const struct span *rooms, size_t count);

/* Returns the number of the first entry to read, or the ring's `next` if there is none yet. */
uint64_t history_seek(const struct hub *hub, const struct room *room, const struct start *start);

/* One page of GET /messages. */
struct page_query {
    struct span room;
    struct start start; /* SINCE_ID or SINCE_UNKNOWN: forwards; otherwise backwards from the end */
    bool has_before;    /* read backwards from `before`, excluding that message */
    struct id before;
    unsigned limit;   /* messages */
    bool polls;       /* in an empty page, `newest` is the id to continue from */
    bool from_oldest; /* it begins with the oldest message that is held, so there is no gap */
};

/* Appends the page as JSON. Returns whether it contains messages or a gap. A room that does not
 * exist gives an empty page, and is not made. */
bool history_page(const struct hub *hub, const struct page_query *q, struct buffer *out);

/* Appends the elements of GET /rooms: the listed rooms for which `shows`, called with `reader`,
 * returns true. Returns whether it has left out rooms without messages. */
bool history_rooms(const struct hub *hub, bool (*shows)(const void *reader, struct span room),
    const void *reader, struct buffer *out);

#endif
