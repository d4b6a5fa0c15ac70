/* frame.h - event ids, and the bytes of an event in a stream (HTML Standard 9.2, "Server-sent
 * events").
 *
 * A frame is one event: its lines, an empty line, and around them the envelope of one HTTP chunk:
 *
 *      0000003f\r\n   id: 1760000000000-0\n event: news\n data: ...\n \n   \r\n
 *      '-- lead --'   '------------------- payload -------------------'   'trail'
 *
 * The lead always has the same size (leading zeros are legal, RFC 9112 7.1). So a frame is
 * formatted once, and a ring's bytes serve both chunked streams and HTTP/1.0 streams, which skip
 * the envelope because its size is known. */

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

/* The longest id: "18446744073709551615-18446744073709551615". */
enum { ID_MAX_BYTES = 41 };

/* An event id, written "milliseconds-sequence" like a Redis Streams id. Ids are ordered across all
 * rooms of the server. */
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

/* Raises *id to `to` if that is later: for ids that must never go back. */
static inline void id_raise(struct id *id, struct id to)
{
    if (id_before(*id, to))
        *id = to;
}

/* An id and a time as text: made once, because a message contains each in several places. */
struct stamp {
    uint64_t time_ms;
    uint8_t id_len; /* 0 in a stamp of all zeros, which has not been made yet */
    char id[ID_MAX_BYTES];
    char time[DATE_RFC3339_BYTES];
};

/* Formats an id and a Unix time in milliseconds. `stamp` is all zeros, or that of an earlier
 * message: in the same second, most of its time stays the same. */
void stamp_make(struct stamp *stamp, struct id id, uint64_t time_ms);

static inline struct span stamp_id(const struct stamp *stamp)
{
    return (struct span) { stamp->id, stamp->id_len };
}

static inline struct span stamp_time(const struct stamp *stamp)
{
    return (struct span) { stamp->time, DATE_RFC3339_BYTES };
}

/* Reads an id in exactly the form that id_add writes. Returns false for anything else. */
bool id_parse(struct span s, struct id *id);
void id_add(struct buffer *out, struct id id);

/* Appends an id as a JSON string, or `null` if `id` is NULL. */
void id_add_json(struct buffer *out, const struct id *id);

/* Appends a Unix time in milliseconds as RFC 3339 in UTC: "2025-10-09T08:53:20.000Z". Times after
 * the year 9999 become the last second of that year. */
void time_add(struct buffer *out, uint64_t ms);

/* The kind of a message, which decides how its frame is written and read back. */
enum message_kind {
    MESSAGE_CHAT,   /* {"id","room","name","message","time"} */
    MESSAGE_TEXT,   /* lines of text */
    MESSAGE_JSON,   /* one line of JSON */
    MESSAGE_BINARY, /* bytes, sent as Base64 in a JSON object; stored as MESSAGE_JSON */
    MESSAGE_OTHER,  /* restored, of a kind that only a newer version knows: kept as it is */
};

/* Returns the kind that a message has in a ring and in a journal. */
static inline enum message_kind frame_stored_kind(enum message_kind kind)
{
    return kind == MESSAGE_BINARY ? MESSAGE_JSON : kind;
}

/* The author of a message, as far as it is stored: streams and pages do not show it. */
struct author {
    uint64_t by;     /* a pseudonym of the user or the address (access_author); 0 if unknown */
    bool with_token; /* the message was posted with a token */
    bool by_user;    /* `by` is that of the token's user, not of an address */
};

/* Returns whose idempotency keys an author uses: each user has its own, and all other authors share
 * theirs, because the address of a client can change between two tries of a POST. */
static inline uint64_t author_scope(struct author author)
{
    return author.by_user ? author.by : 0;
}

/* An incoming message. Its fields follow the rules of rules.h and are UTF-8, except for a binary
 * body. `event` and `key` are empty if not given; only chat and binary messages have a `name`. All
 * spans are borrowed. */
struct message {
    enum message_kind kind;
    struct span room, name, event, body, key;
    struct author author;
    uint64_t source; /* the address that it comes from: see share.h */
};

/* A message that has no POST in this process: `payload` is its frame without the envelope. */
struct stored {
    struct span room, key, payload;
    struct span note; /* MESSAGE_OTHER: what else is stored with it */
    struct id id;
    uint64_t time_ms;
    struct author author;
    enum message_kind kind;
};

/* Begin and end a frame, with its envelope if `chunked`; its lines are written in between.
 * frame_end takes what frame_begin returned, and writes the empty line that ends the event. */
size_t frame_begin(struct buffer *out, bool chunked);
void frame_end(struct buffer *out, size_t begin, bool chunked);

/* Appends "data: " lines, a new one after each CR, LF or CRLF of `text`. */
void frame_data(struct buffer *out, struct span text);

/* Appends the line `retry:` with a time in milliseconds, in an envelope of its own if `chunked`. It
 * is the first line of the next frame, which must follow: a client ignores it otherwise. */
void frame_retry(struct buffer *out, uint64_t ms, bool chunked);

/* The part of a message that is known before its id: made at the POST, kept for the frame. */
struct frame_content {
    enum message_kind kind;
    struct span body; /* as frame_body writes it */
    struct span key;
    struct author author; /* not in the frame, but in the journal */
};

/* Appends the part of a payload that does not depend on the id and the time. */
void frame_body(struct buffer *out, const struct message *m);

/* Appends the complete frame of a message. */
void frame_message(
    struct buffer *out, const struct frame_content *c, const struct stamp *stamp, bool chunked);

/* Returns the length of a message's frame, including the envelope, with the longest id. */
size_t frame_size_max(const struct frame_content *c);

/* Returns a payload as frame_message would write it now: earlier versions did not escape U+0085,
 * U+2028 and U+2029 in all JSON. Returns either `payload`, or its new form in `scratch`. If out of
 * memory, sets scratch->failed. */
struct span frame_renew(struct buffer *scratch, struct span payload, enum message_kind kind);

/* Reads a payload back, and appends the event as an element of GET /messages. */
void frame_to_json(struct buffer *out, struct span payload, enum message_kind kind,
    struct span room, struct id id, uint64_t time_ms);

#endif
