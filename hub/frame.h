/* frame.h - event ids, and the bytes of an event in a stream (HTML Standard 9.2, "Server-sent
 * events").
 *
 * A frame is one event: its lines, an empty line, and around them the envelope of one HTTP chunk:
 *
 *      0000003f\r\n   id: 1760000000000-0\n event: news\n data: ...\n \n   \r\n
 *      '-- lead --'   '------------------- payload -------------------'   'trail'
 *
 * The lead has always the same size (leading zeros are legal, RFC 9112 7.1), so a frame can be
 * sent with or without its envelope, wherever it lies. */

#ifndef FRAME_H
#define FRAME_H

#include "base/bytes.h"
#include "base/date.h"

#include <stdint.h>

enum {
    FRAME_LEAD_BYTES = 10,
    FRAME_TRAIL_BYTES = 2,
    FRAME_ENVELOPE_BYTES = FRAME_LEAD_BYTES + FRAME_TRAIL_BYTES,
};

/* "18446744073709551615-18446744073709551615" */
enum { ID_MAX_BYTES = 41 };

/* An event id, written "milliseconds-sequence": the form of a Redis Streams id. */
struct id {
    uint64_t ms, seq;
};

static inline bool id_before(struct id a, struct id b)
{
    return a.ms < b.ms || (a.ms == b.ms && a.seq < b.seq);
}

static inline bool id_equal(struct id a, struct id b)
{
    return a.ms == b.ms && a.seq == b.seq;
}

/* An id and a time as text: made once for all the places in which a message has them. */
struct stamp {
    uint8_t id_len;
    char id[ID_MAX_BYTES];
    char time[DATE_RFC3339_BYTES];
};

/* `time_ms` is Unix time in milliseconds. */
void stamp_make(struct stamp *stamp, struct id id, uint64_t time_ms);

static inline struct span stamp_id(const struct stamp *stamp)
{
    return (struct span) { stamp->id, stamp->id_len };
}

static inline struct span stamp_time(const struct stamp *stamp)
{
    return (struct span) { stamp->time, DATE_RFC3339_BYTES };
}

/* Reads an id in exactly the form that id_add writes. */
bool id_parse(struct span s, struct id *id);
void id_add(struct buffer *out, struct id id);

/* An id as a JSON string, or `null`. */
void id_add_json(struct buffer *out, const struct id *id);

/* Unix time in milliseconds as RFC 3339 in UTC: "2025-10-09T08:53:20.000Z". Past the year 9999 it
 * stays there. */
void time_add(struct buffer *out, uint64_t ms);

/* What a message is decides how its frame looks, and how it is read back from it. */
enum message_kind {
    MESSAGE_CHAT,   /* {"id","room","name","message","time"} */
    MESSAGE_TEXT,   /* lines of text */
    MESSAGE_JSON,   /* one line of JSON */
    MESSAGE_BINARY, /* bytes, sent as Base64 in a JSON object; in a ring it is MESSAGE_JSON */
};

/* The kind that a message has in a ring, and in a journal. */
static inline enum message_kind frame_stored_kind(enum message_kind kind)
{
    return kind == MESSAGE_BINARY ? MESSAGE_JSON : kind;
}

/* One message on its way in. Its fields have been checked and are UTF-8 (`body` of a binary one
 * excepted); `event` and `key` are empty when not given, `name` is for chat and binary only. */
struct message {
    enum message_kind kind;
    struct span room, name, event, body, key;
};

/* A frame is written between these two. With `chunked` it gets its envelope. frame_begin returns
 * what frame_end needs. */
size_t frame_begin(struct buffer *out, bool chunked);
void frame_end(struct buffer *out, size_t begin, bool chunked);

/* "data: " lines, a new one after each CR, LF or CRLF of `text`. */
void frame_data(struct buffer *out, struct span text);

/* `retry:` with a time in milliseconds. */
void frame_retry(struct buffer *out, uint64_t ms, bool chunked);

/* What of a message is known before it has an id: made at the POST, kept until then. */
struct frame_content {
    enum message_kind kind;
    struct span body; /* as frame_body writes it */
    struct span key;
};

/* Writes what of a payload does not depend on the id and the time. */
void frame_body(struct buffer *out, const struct message *m);

/* The whole frame of a message. */
void frame_message(
    struct buffer *out, const struct frame_content *c, const struct stamp *stamp, bool chunked);

/* The most bytes that this message's frame can have with its envelope, whatever its id. */
size_t frame_size_max(const struct frame_content *c);

/* Reads a payload back: writes the event as an element of GET /messages. */
void frame_to_json(struct buffer *out, struct span payload, enum message_kind kind,
    struct span room, struct id id, uint64_t time_ms);

#endif
