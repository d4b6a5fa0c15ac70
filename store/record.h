/* record.h - one record of a journal, as docs/journal.md describes it: writes it,
 * and reads it back. */

#ifndef RECORD_H
#define RECORD_H

#include "base/bytes.h"
#include "hub.h"
#include "hub/room.h"
#include "hub/rules.h"
#include "json.h"

enum {
    RECORD_VERSION = 2, /* the version of the format that this program writes, and the newest that
                           it reads */
    RECORD_CRC_DIGITS = 8,
    RECORD_JSON_AT = 1 + RECORD_CRC_DIGITS + 1, /* ":5d41402a {" */
    RECORD_ROOM_BYTES = 6 * ROOM_MAX_BYTES + 2, /* escaped, in quotes */
    RECORD_KEY_BYTES = 6 * KEY_MAX_BYTES + 2,
};

/* ==== Writing ================================================================================ */

/* Append a record to `out`. `n` is its number, or 0 for a record of a snapshot, which has none. If
 * memory runs out, `out->failed` is set, and `out` must not be written. */

/* The first record of a file: what the file is, and the version of its format. */
void record_first(struct buffer *out);

/* The state of the hub. */
void record_hub(struct buffer *out, uint64_t n, const struct hub *hub);

/* What a room has lost. */
void record_room(struct buffer *out, uint64_t n, const struct room *room);

/* A room is forgotten, with all of its messages before this record. */
void record_forgotten(struct buffer *out, uint64_t n, const struct room *room);

void record_message(struct buffer *out, uint64_t n, const struct stored *m);

/* The end of a snapshot of `count` records. The next record has the number n + 1. */
void record_snapshot(struct buffer *out, uint64_t count, uint64_t n);

/* ==== Reading ================================================================================ */

enum record_type {
    RECORD_FIRST,
    RECORD_SNAPSHOT,
    RECORD_HUB,
    RECORD_ROOM,
    RECORD_FORGOTTEN,
    RECORD_MESSAGE,
    RECORD_OTHER, /* intact, but of a type that only a newer version knows */
};

/* The fields of a record. The spans of `message` point into the record's bytes or into this
 * struct, which therefore must not be copied. */
struct record {
    enum record_type type;
    uint64_t n;            /* its number; 0 if it has none */
    uint64_t version;      /* RECORD_FIRST */
    uint64_t count;        /* RECORD_SNAPSHOT: the records before it */
    struct id start, last; /* RECORD_HUB */
    struct id lost;        /* RECORD_HUB, RECORD_ROOM, RECORD_FORGOTTEN */
    uint64_t history;      /* RECORD_HUB: --history; 0 if not given */
    struct span unused;    /* RECORD_HUB: see record_next_unused */
    struct stored message; /* RECORD_MESSAGE; its room also for the other types */
    char room[RECORD_ROOM_BYTES], key[RECORD_KEY_BYTES];
};

/* Returns the length of the record that `s` begins with, or 0 if its CRC is wrong or its end is not
 * in `s`. In the second case, `*more` is set: it may become a record if more bytes follow. */
size_t record_whole(struct span s, bool *more);

/* Reads the fields of an intact record. Returns false if they make no sense: the CRC shows only
 * that a record is as it was written, and an editor could have written it. */
bool record_read(struct span bytes, struct record *r);

/* Takes the next interval off the front of `*unused`. Returns false at the end. */
bool record_next_unused(struct span *unused, struct interval *interval);

/* ==== Files ================================================================================== */

/* Writes all bytes to a file at `offset`. Returns 0 or the errno; after an error, some of the bytes
 * may have been written. */
int record_write(int fd, struct span bytes, uint64_t offset);

#endif
