/* record.c - one record of a journal: writes it, checks it, and reads its fields.
 *
 *      :5d41402a {"n":17,"room":"lobby","kind":"chat"}\n id: ...\n data: ...\n \n
 *       '-crc--''------------------ what the CRC covers -----------------------'
 *
 * The CRC-32 distinguishes a complete record from a torn write, from zeros (the file has grown, but
 * its bytes never reached the disk), and from a flipped bit. It does not protect against deliberate
 * edits of the file, because a CRC has no secret. There is no length field: a record ends at its
 * first empty line, and a payload has none inside, because each of its lines begins with a field
 * name (frame.c). So the file is text, for tail(1) and for every parser of event streams, and no
 * damaged length can lead the reader past good records. */

#include "store/record.h"

#include "base/crc32.h"
#include "base/print.h"
#include "base/scan.h"

#include <errno.h>
#include <unistd.h>

/* Indexed by enum message_kind. The names are part of the file format. */
static const char *const kind_names[] = { "chat", "text", "json" };

/* ==== Writing ================================================================================ */

/* Begins a record with zeros in place of its CRC, and with its number. Returns where it begins: an
 * offset, because the buffer moves when it grows. */
static size_t begin_record(struct buffer *out, uint64_t n)
{
    size_t begin = out->len;
    buffer_add(out, SPAN(":00000000 {"));
    if (n > 0)
        buffer_printf(out, "\"n\":%llu,", (unsigned long long)n);
    return begin;
}

/* Fills in the CRC, once all bytes that it covers are in the buffer. */
static void end_record(struct buffer *out, size_t begin)
{
    size_t covered = begin + 1 + RECORD_CRC_DIGITS;
    if (out->failed)
        return;
    uint32_t crc = crc32(0, (struct span) { out->at + covered, out->len - covered });
    scan_put_hex(out->at + begin + 1, RECORD_CRC_DIGITS, crc);
}

void record_first(struct buffer *out)
{
    size_t begin = begin_record(out, 0);
    buffer_printf(out, "\"ssechat\":\"journal\",\"version\":%d}\n\n", RECORD_VERSION);
    end_record(out, begin);
}

/* Writes what no message in the file contains: where this hub's memory begins, the newest id ever
 * given, the newest that was lost with a dropped room, which ids no message has, and how much of
 * each room the server holds. */
void record_hub(struct buffer *out, uint64_t n, const struct hub *hub)
{
    size_t begin = begin_record(out, n);
    buffer_add(out, SPAN("\"start\":"));
    id_add_json(out, &hub->start);
    buffer_add(out, SPAN(",\"last\":"));
    id_add_json(out, &hub->last);
    buffer_add(out, SPAN(",\"lost\":"));
    id_add_json(out, &hub->lost);
    buffer_printf(out, ",\"history\":%llu", (unsigned long long)hub->settings->history);
    for (unsigned i = 0; i < hub->unused_count; i++) {
        buffer_add_string(out, i == 0 ? ",\"unused\":\"" : ",");
        id_add(out, hub->unused[i].after);
        buffer_add(out, SPAN(".."));
        id_add(out, hub->unused[i].before);
    }
    buffer_add_string(out, hub->unused_count > 0 ? "\"}\n\n" : "}\n\n");
    end_record(out, begin);
}

/* Writes a record with the name of a room and an id that belongs to it. */
static void room_record(
    struct buffer *out, uint64_t n, const struct room *room, const char *name, struct id id)
{
    size_t begin = begin_record(out, n);
    buffer_add(out, SPAN("\"room\":"));
    json_string_add(out, room_name(room));
    buffer_printf(out, ",\"%s\":", name);
    id_add_json(out, &id);
    buffer_add(out, SPAN("}\n\n"));
    end_record(out, begin);
}

/* Writes the newest id that a room has lost: it decides which streams get a gap when they resume.
 * After a compaction, the lost messages are in no file. */
void record_room(struct buffer *out, uint64_t n, const struct room *room)
{
    room_record(out, n, room, "lost", room->lost);
}

/* Writes the newest id that the room will have lost once it is forgotten. */
void record_forgotten(struct buffer *out, uint64_t n, const struct room *room)
{
    const struct ring *ring = &room->ring;
    struct id lost = room->lost;
    if (!ring_empty(ring))
        id_raise(&lost, ring_entry(ring, ring->next - 1)->id);
    room_record(out, n, room, "forgotten", lost);
}

/* Writes a comment with what the frame does not contain: the room (only chat messages name it), how
 * to read the data back, the idempotency key, which must survive a restart, the time if the clock
 * was behind the id, and the author. A note already is such a comment. */
void record_message(struct buffer *out, uint64_t n, const struct stored *m)
{
    size_t begin = begin_record(out, n);
    if (m->kind == MESSAGE_OTHER) {
        buffer_add(out, m->note);
    } else {
        buffer_add(out, SPAN("\"room\":"));
        json_string_add(out, m->room);
        buffer_printf(out, ",\"kind\":\"%s\"", kind_names[m->kind]);
        if (m->key.len > 0) {
            buffer_add(out, SPAN(",\"key\":"));
            json_string_add(out, m->key);
        }
        if (m->time_ms != m->id.ms)
            buffer_printf(out, ",\"time\":%llu", (unsigned long long)m->time_ms);
        if (m->author.by != 0)
            buffer_printf(out, ",\"by\":\"%016llx\"", (unsigned long long)m->author.by);
        buffer_add_string(out, m->author.with_token ? ",\"signed\":true" : "");
        buffer_add_string(out, m->author.by_user ? ",\"user\":true}" : "}");
    }
    buffer_add(out, SPAN("\n"));
    buffer_add(out, m->payload);
    end_record(out, begin);
}

void record_snapshot(struct buffer *out, uint64_t count, uint64_t n)
{
    size_t begin = begin_record(out, 0);
    buffer_printf(
        out, "\"snapshot\":%llu,\"n\":%llu}\n\n", (unsigned long long)count, (unsigned long long)n);
    end_record(out, begin);
}

/* ==== Whole records ========================================================================== */

/* Finds the two LFs that end the record at `s`, and returns the first, or NULL if there are none;
 * `*more` is then set if they could follow later. No line of a record but the first has
 * a colon as its first or second byte, so the search ends at the next such line. Otherwise, in a
 * file of lines that look like records, but without empty lines, each line would cause a search to
 * the end of the file. */
static const char *end_of(struct span s, bool *more)
{
    const char *at = s.at, *last = s.at + s.len - 1;
    while (at < last && (at = memchr(at, '\n', (size_t)(last - at))) != NULL) {
        if (at[1] == '\n')
            return at;
        if (at[1] == ':' || (at + 1 < last && at[2] == ':'))
            return NULL;
        at++;
    }
    *more = true;
    return NULL;
}

/* Returns whether `s` begins like a record, as far as it goes: ":5d41402a {". */
static bool begins_record(struct span s)
{
    for (size_t i = 0; i < s.len && i <= RECORD_JSON_AT; i++) {
        bool right = i == 0                   ? s.at[i] == ':'
                     : i < RECORD_JSON_AT - 1 ? scan_hex(s.at[i]) >= 0
                                              : s.at[i] == (i == RECORD_JSON_AT ? '{' : ' ');
        if (!right)
            return false;
    }
    return true;
}

/* Runs the cheap tests first, because most lines of a damaged stretch fail them. */
size_t record_whole(struct span s, bool *more)
{
    char digits[RECORD_CRC_DIGITS];
    *more = false;
    if (!begins_record(s))
        return 0;
    if (s.len <= RECORD_JSON_AT) {
        *more = true;
        return 0;
    }
    const char *end = end_of(s, more);
    if (end == NULL)
        return 0;
    const char *covered = s.at + 1 + RECORD_CRC_DIGITS, *next = end + 2;
    scan_put_hex(
        digits, sizeof digits, crc32(0, (struct span) { covered, (size_t)(next - covered) }));
    return memcmp(digits, s.at + 1, sizeof digits) == 0 ? (size_t)(next - s.at) : 0;
}

/* ==== Fields ================================================================================= */

/* The fields of the JSON in a record's comment; `n` is read by its place. */
enum {
    SSECHAT,
    VERSION,
    SNAPSHOT,
    LAST_N,
    START,
    LAST,
    LOST,
    HISTORY,
    UNUSED,
    ROOM,
    FORGOTTEN,
    KIND,
    KEY,
    TIME,
    BY,
    SIGNED,
    USER,
    FIELD_COUNT
};

/* Returns a string, decoded into `out`; empty if absent or too long. */
static struct span text_of(const struct json_field *field, char *out, size_t size)
{
    if (field->type != JSON_STRING || field->raw.len > size)
        return (struct span) { out, 0 };
    return (struct span) { out, json_decode(field->raw, out) };
}

/* Returns whether a room can have this name. The rules for requests do not count here: they have
 * become stricter, and will again, but a room that was there before keeps its messages. */
static bool is_room(struct span name)
{
    return name.len >= 1 && name.len <= ROOM_MAX_BYTES;
}

/* Returns whether a server can have assigned this id. After an id at the end of the range, none
 * would be left to assign, and one bad record must not stop all later messages. */
static bool is_possible(struct id id)
{
    const uint64_t year_10000_ms = 253402300800000;
    return id.ms < year_10000_ms && id.seq < UINT64_MAX / 2;
}

/* Returns the text between the quotes of a JSON string without escapes; empty for another type. */
static struct span inside(const struct json_field *field)
{
    if (field->type != JSON_STRING)
        return (struct span) { "", 0 };
    return (struct span) { field->raw.at + 1, field->raw.len - 2 };
}

static bool id_of(const struct json_field *field, struct id *id)
{
    return field->type == JSON_STRING && id_parse(inside(field), id) && is_possible(*id);
}

/* Reads a whole number up to 2^53, which every JSON parser reads exactly. */
static bool number_of(const struct json_field *field, uint64_t *number)
{
    unsigned long long value;
    if (field->type != JSON_NUMBER || !span_number(field->raw, 1ull << 53, &value))
        return false;
    *number = value;
    return true;
}

static bool is_true(const struct json_field *field)
{
    return field->type == JSON_BOOLEAN && field->raw.at[0] == 't';
}

/* Takes the number off the front of a comment's JSON, after its brace: `"n":17,`. Returns 0 if
 * there is none. */
static uint64_t take_number(struct span *json)
{
    struct span rest = *json, digits;
    unsigned long long n;
    if (!scan_take_text(&rest, SPAN("\"n\":")) || !span_split(&rest, ',', &digits) ||
        rest.at == NULL || !span_number(digits, UINT64_MAX - 1, &n))
        return 0;
    *json = rest;
    return n;
}

/* Reads the id in the first line of a message's payload. */
static bool read_id(struct span payload, struct id *id)
{
    struct span line;
    return span_split(&payload, '\n', &line) && scan_take_text(&line, SPAN("id: ")) &&
           id_parse(line, id) && is_possible(*id);
}

/* Returns the kind with this name. A name that this version does not know is the name of a kind
 * that a newer one has added. */
static enum message_kind kind_of(struct span name)
{
    for (int kind = 0; kind <= MESSAGE_JSON; kind++)
        if (span_equal(name, span_of(kind_names[kind])))
            return (enum message_kind)kind;
    return MESSAGE_OTHER;
}

/* Reads a message. `comment` is its JSON without brace and number; it becomes the note of a kind
 * that this version does not know, so that nothing is lost if the journal is rewritten. */
static bool read_message(
    const struct json_field *f, struct span comment, struct span payload, struct record *r)
{
    struct stored *m = &r->message;
    struct span by = inside(&f[BY]);
    uint64_t time_ms;
    if (f[KIND].type != JSON_STRING || !read_id(payload, &m->id) || !is_room(m->room))
        return false;
    r->type = RECORD_MESSAGE;
    m->kind = kind_of(inside(&f[KIND]));
    m->key = text_of(&f[KEY], r->key, sizeof r->key);
    if (m->key.len > KEY_MAX_BYTES)
        m->key.len = 0;
    m->payload = payload;
    m->time_ms = number_of(&f[TIME], &time_ms) && is_possible((struct id) { time_ms, 0 })
                     ? time_ms
                     : m->id.ms;
    m->author.with_token = is_true(&f[SIGNED]);
    m->author.by_user = is_true(&f[USER]);
    if (by.len != 2 * sizeof m->author.by || !scan_take_hex(&by, by.len, &m->author.by))
        m->author.by = 0;
    if (m->kind == MESSAGE_OTHER)
        m->note = comment;
    return true;
}

/* Reads a record without a message. */
static bool read_state(const struct json_field *f, struct record *r)
{
    if (f[SSECHAT].type != JSON_ABSENT) {
        r->type = RECORD_FIRST;
        return span_equal(inside(&f[SSECHAT]), SPAN("journal")) &&
               number_of(&f[VERSION], &r->version);
    }
    if (f[SNAPSHOT].type != JSON_ABSENT) {
        r->type = RECORD_SNAPSHOT;
        return number_of(&f[SNAPSHOT], &r->count) && number_of(&f[LAST_N], &r->n);
    }
    if (f[START].type != JSON_ABSENT) {
        r->type = RECORD_HUB;
        r->unused = inside(&f[UNUSED]);
        if (!number_of(&f[HISTORY], &r->history))
            r->history = 0;
        return id_of(&f[START], &r->start) && id_of(&f[LAST], &r->last) &&
               id_of(&f[LOST], &r->lost);
    }
    if (f[ROOM].type == JSON_ABSENT ||
        (f[LOST].type == JSON_ABSENT && f[FORGOTTEN].type == JSON_ABSENT)) {
        r->type = RECORD_OTHER;
        return true;
    }
    bool forgotten = f[FORGOTTEN].type != JSON_ABSENT;
    r->type = forgotten ? RECORD_FORGOTTEN : RECORD_ROOM;
    return id_of(&f[forgotten ? FORGOTTEN : LOST], &r->lost) && is_room(r->message.room);
}

bool record_read(struct span bytes, struct record *r)
{
    struct json_field f[FIELD_COUNT] = { { .name = SPAN("ssechat") }, { .name = SPAN("version") },
        { .name = SPAN("snapshot") }, { .name = SPAN("n") }, { .name = SPAN("start") },
        { .name = SPAN("last") }, { .name = SPAN("lost") }, { .name = SPAN("history") },
        { .name = SPAN("unused") }, { .name = SPAN("room") }, { .name = SPAN("forgotten") },
        { .name = SPAN("kind") }, { .name = SPAN("key") }, { .name = SPAN("time") },
        { .name = SPAN("by") }, { .name = SPAN("signed") }, { .name = SPAN("user") } };
    struct span comment, payload = bytes;
    span_split(&payload, '\n', &comment);
    comment = span_skip(comment, RECORD_JSON_AT);
    if (json_find(comment, f, FIELD_COUNT) != NULL)
        return false;
    scan_skip(&comment, 1);
    r->message = (struct stored) { 0 };
    r->n = take_number(&comment);
    r->message.room = text_of(&f[ROOM], r->room, sizeof r->room);
    return f[KIND].type != JSON_ABSENT ? read_message(f, comment, payload, r) : read_state(f, r);
}

bool record_next_unused(struct span *unused, struct interval *interval)
{
    struct span item, after, between; /* "AFTER..BEFORE": nothing between the points */
    while (unused->len > 0 && span_split(unused, ',', &item))
        if (span_split(&item, '.', &after) && span_split(&item, '.', &between) &&
            between.len == 0 && id_parse(after, &interval->after) &&
            id_parse(item, &interval->before))
            return true;
    return false;
}

/* ==== Files ================================================================================== */

/* Continues after partial writes (a nearly full disk, a signal) until everything is written or an
 * error occurs; a disk that fills up in the middle causes a partial write, then ENOSPC. It uses
 * pwrite(2), because each caller knows the offset and overwrites any bytes after it. */
int record_write(int fd, struct span bytes, uint64_t offset)
{
    while (bytes.len > 0) {
        ssize_t n = pwrite(fd, bytes.at, bytes.len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EIO;
        bytes.at += n;
        bytes.len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}
