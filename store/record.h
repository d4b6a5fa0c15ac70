/* record.h - inside store/: one record of a journal, as journal.h describes it. */

#ifndef RECORD_H
#define RECORD_H

#include "base/bytes.h"
#include "hub/frame.h"
#include "hub/room.h"

/* ":5d41402a {": the CRC follows the colon; the comment's JSON begins at RECORD_JSON_AT. */
enum { RECORD_CRC_DIGITS = 8, RECORD_JSON_AT = 1 + RECORD_CRC_DIGITS + 1 };

/* Append a record to `out`: a message (`payload` is its frame without the envelope), the state of
 * the hub, or what a room has lost. If memory runs out, `out->failed` is set, and `out` must not be
 * written. */
void record_message(struct buffer *out, struct span room, enum message_kind kind, struct span key,
    struct span payload);
void record_hub(struct buffer *out, const struct hub *hub);
void record_room(struct buffer *out, const struct room *room);

/* Returns the kind with this name in a record, or -1 if there is none. */
int record_kind(struct span name);

/* Returns the length of the record that `s` begins with, or 0 if it is incomplete or its CRC is
 * wrong. */
size_t record_whole(struct span s);

/* Returns where the next intact record after `from` begins, or s.len if there is none. */
size_t record_next(struct span s, size_t from);

/* Writes all bytes to a file at `offset`. Returns 0 or the errno; after an error, some of the bytes
 * may have been written. */
int record_write(int fd, struct span bytes, uint64_t offset);

#endif
