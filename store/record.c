/* record.c - writes and checks the records of record.h. */

#include "store/record.h"

#include "base/crc32.h"
#include "base/print.h"
#include "base/scan.h"
#include "json.h"

#include <errno.h>
#include <unistd.h>

static const char *const kind_names[] = { "chat", "text", "json" };

/* Begins a record; end_record fills in its CRC. */
static size_t begin_record(struct buffer *out)
{
    size_t begin = out->len;
    buffer_add(out, SPAN(":00000000 {"));
    return begin;
}

static void end_record(struct buffer *out, size_t begin)
{
    size_t covered = begin + 1 + RECORD_CRC_DIGITS;
    if (out->failed)
        return;
    uint32_t crc = crc32(0, (struct span) { out->at + covered, out->len - covered });
    scan_put_hex(out->at + begin + 1, RECORD_CRC_DIGITS, crc);
}

void record_message(struct buffer *out, struct span room, enum message_kind kind, struct span key,
    struct span payload)
{
    size_t begin = begin_record(out);
    buffer_add(out, SPAN("\"room\":"));
    json_string_add(out, room);
    buffer_printf(out, ",\"kind\":\"%s\"", kind_names[kind]);
    if (key.len > 0) {
        buffer_add(out, SPAN(",\"key\":"));
        json_string_add(out, key);
    }
    buffer_add(out, SPAN("}\n"));
    buffer_add(out, payload);
    end_record(out, begin);
}

void record_hub(struct buffer *out, const struct hub *hub)
{
    size_t begin = begin_record(out);
    buffer_add(out, SPAN("\"start\":"));
    id_add_json(out, &hub->start);
    buffer_add(out, SPAN(",\"last\":"));
    id_add_json(out, &hub->last);
    buffer_add(out, SPAN(",\"lost\":"));
    id_add_json(out, &hub->lost);
    buffer_add(out, SPAN("}\n\n"));
    end_record(out, begin);
}

void record_room(struct buffer *out, const struct room *room)
{
    size_t begin = begin_record(out);
    buffer_add(out, SPAN("\"room\":"));
    json_string_add(out, room_name(room));
    buffer_add(out, SPAN(",\"lost\":"));
    id_add_json(out, &room->lost);
    buffer_add(out, SPAN("}\n\n"));
    end_record(out, begin);
}

/* The empty line that ends the record at `s`: its first LF. Only the first line of a record begins
 * with a colon, so the search ends at the next one that does; NULL then. */
static const char *end_of(struct span s)
{
    const char *at = s.at, *last = s.at + s.len - 1;
    while (at < last && (at = memchr(at, '\n', (size_t)(last - at))) != NULL) {
        if (at[1] == '\n')
            return at;
        if (at[1] == ':')
            return NULL;
        at++;
    }
    return NULL;
}

size_t record_whole(struct span s)
{
    char digits[RECORD_CRC_DIGITS];
    if (s.len <= RECORD_JSON_AT || s.at[0] != ':' || s.at[RECORD_JSON_AT] != '{')
        return 0;
    const char *end = end_of(s);
    if (end == NULL)
        return 0;
    const char *covered = s.at + 1 + RECORD_CRC_DIGITS, *next = end + 2;
    scan_put_hex(
        digits, sizeof digits, crc32(0, (struct span) { covered, (size_t)(next - covered) }));
    return memcmp(digits, s.at + 1, sizeof digits) == 0 ? (size_t)(next - s.at) : 0;
}

/* A record begins a line, or stands one byte into it, when the line end in front of it was the byte
 * that was hit. It is not looked for anywhere else: what people wrote into a message must never be
 * taken for one. */
size_t record_next(struct span s, size_t from)
{
    while (from < s.len) {
        const char *line_end = memchr(s.at + from, '\n', s.len - from);
        if (line_end == NULL)
            break;
        from = (size_t)(line_end + 1 - s.at);
        for (size_t begin = from; begin < from + 2 && begin < s.len; begin++)
            if (record_whole((struct span) { s.at + begin, s.len - begin }) > 0)
                return begin;
    }
    return s.len;
}

int record_kind(struct span name)
{
    for (int kind = 0; kind <= MESSAGE_JSON; kind++)
        if (span_equal(name, span_of(kind_names[kind])))
            return kind;
    return -1;
}

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
