/* record.c - one record of a journal: writes it, checks it, and finds the next one after damage.
 *
 *      :5d41402a {"room":"lobby","kind":"chat"}\n id: ...\n data: ...\n \n
 *       '-crc--''---------------- what the CRC covers ------------------'
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
#include "json.h"

#include <errno.h>
#include <unistd.h>

/* Indexed by enum message_kind. The names are part of the file format. */
static const char *const kind_names[] = { "chat", "text", "json" };

/* Begins a record with zeros in place of its CRC. Returns where it begins: an offset, because the
 * buffer moves when it grows. */
static size_t begin_record(struct buffer *out)
{
    size_t begin = out->len;
    buffer_add(out, SPAN(":00000000 {"));
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

/* Writes a comment with what the frame does not contain: the room (only chat messages name it), how
 * to read the data back, and the idempotency key, which must survive a restart. */
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

/* Writes three ids that no message in the file contains: where this hub's memory begins, the newest
 * id ever given, and the newest that was lost with a dropped room. */
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

/* Writes the newest id that a room has lost: it decides which streams get a gap when they resume.
 * After a compaction, the lost messages are in no file. */
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

/* Finds the two LFs that end the record at `s`, and returns the first, or NULL if there are none.
 * Only the first line of a record begins with a colon, so the search ends at the next such line.
 * Otherwise, in a file of lines that look like records, but without empty lines, each line would
 * cause a search to the end of the file. */
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

/* Runs the cheap tests first, because most lines of a damaged stretch fail them. */
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

/* Looks for a record at the start of each line, and one byte after it, in case the line end before
 * the record is the damaged byte:
 *
 *      data: ...\n\n:5d41402a {      intact
 *      data: ...\nX:5d41402a {       the second LF is damaged; the next record must not be lost
 *
 * It looks nowhere else, because the text of a message can contain a valid record, CRC and all,
 * which must never be taken for one. That text follows "data: ", so it is at neither place. */
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
