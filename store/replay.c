/* replay.c - recovery: reads the records of a journal into a new hub, at startup.
 *
 * The file is read from front to back, and each intact record is given to the hub; the rings drop
 * what exceeds the history. Where no intact record begins, there are two cases:
 *
 *      | record | record | rec          torn tail: a write that a crash interrupted
 *      | record | r#!ord | record |     damage: bytes that were good once have changed
 *
 * A torn tail is cut off. It contains no acknowledged message, because with --sync always the sync
 * comes before the answer. (One case looks the same: a flipped bit in the empty line at the very
 * end.) Damage could have hit acknowledged messages. The stretch up to the next good record is
 * copied to its own file for the operator to inspect, and all records around it are kept. Which
 * messages it contained is unknown, so every client that resumes with an id from before this start
 * gets a gap. A server should not refuse to start because of one bad sector.
 *
 * The file is mapped, not copied. The time is linear in its size, which compaction bounds. */

#include "store/replay.h"

#include "base/clock.h"
#include "base/crc32.h"
#include "base/log.h"
#include "base/print.h"
#include "base/scan.h"
#include "hub/restore.h"
#include "hub/rules.h"
#include "json.h"
#include "store/record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <unistd.h>

/* Aborts the startup, because continuing would lose messages that are in the file. */
__attribute__((noreturn)) static void refuse_file(const struct journal *j, const char *why)
{
    log_exit(EXIT_SYSTEM, "--journal %s: %s", j->path, why);
}

static const char no_memory[] = "there is not enough memory for its contents";

/* ==== One record ============================================================================= */

/* Returns a string from a record's comment, decoded into `out`; empty if absent or too long. */
static struct span text_of(const struct json_field *field, char *out, size_t size)
{
    if (field->type != JSON_STRING || field->raw.len > size)
        return (struct span) { out, 0 };
    return (struct span) { out, json_decode(field->raw, out) };
}

/* Returns whether a server can have assigned this id. After an id at the end of the range, none
 * would be left to assign, and one bad record must not stop all later messages. */
static bool is_possible(struct id id)
{
    const uint64_t year_10000_ms = 253402300800000;
    return id.ms < year_10000_ms && id.seq < UINT64_MAX / 2;
}

/* Returns the text between the quotes of a JSON string without escapes. */
static struct span inside(const struct json_field *field)
{
    return (struct span) { field->raw.at + 1, field->raw.len - 2 };
}

static bool id_of(const struct json_field *field, struct id *id)
{
    return field->type == JSON_STRING && id_parse(inside(field), id) && is_possible(*id);
}

/* Reads the id in the first line of a message's payload. */
static bool read_id(struct span payload, struct id *id)
{
    struct span line;
    return span_split(&payload, '\n', &line) && scan_take_text(&line, SPAN("id: ")) &&
           id_parse(line, id) && is_possible(*id);
}

/* The fields of the JSON in a record's comment. */
enum { START, LAST, LOST, ROOM, KIND, KEY, FIELD_COUNT };

/* Appends a message to its room. Returns false if the record makes no sense, which counts as
 * damage: an unknown kind, no id, or an id that is not after the room's newest. A message that is
 * too large for the history (--history was larger before) is not damage; it has become a gap. */
static bool replay_message(
    const struct journal *j, struct span room, const struct json_field *f, struct span payload)
{
    char key_bytes[JSON_ESCAPED_MAX(KEY_MAX_BYTES)];
    struct span key = text_of(&f[KEY], key_bytes, sizeof key_bytes);
    int kind = f[KIND].type == JSON_STRING ? record_kind(inside(&f[KIND])) : -1;
    struct id id;
    if (kind < 0 || !read_id(payload, &id))
        return false;
    struct stored m = { .room = room,
        .key = key,
        .payload = payload,
        .id = id,
        .time_ms = id.ms,
        .kind = (enum message_kind)kind };
    switch (hub_append(j->hub, &m)) {
    case APPEND_NO_MEMORY:
        refuse_file(j, no_memory);
    case APPEND_REPEATED:
        return true;
    case APPEND_OLD:
        return false;
    case APPENDED:
    case APPEND_TOO_LARGE:
        break;
    }
    return true;
}

/* Gives an intact record to the hub. `*message` says whether it is a message. The CRC only shows
 * that the record is as it was written; an older version or a user with an editor could have
 * written it, so each field is checked. Returns false if the record makes no sense. */
static bool replay_record(const struct journal *j, struct span record, bool *message)
{
    struct json_field f[FIELD_COUNT] = { { .name = SPAN("start") }, { .name = SPAN("last") },
        { .name = SPAN("lost") }, { .name = SPAN("room") }, { .name = SPAN("kind") },
        { .name = SPAN("key") } };
    char room_bytes[JSON_ESCAPED_MAX(ROOM_MAX_BYTES)];
    struct span comment, payload = record;
    struct id start, last, lost;
    span_split(&payload, '\n', &comment);
    if (json_find(span_skip(comment, RECORD_JSON_AT), f, FIELD_COUNT) != NULL)
        return false;
    struct span room = text_of(&f[ROOM], room_bytes, sizeof room_bytes);
    *message = f[KIND].type != JSON_ABSENT;
    if (id_of(&f[START], &start) && id_of(&f[LAST], &last) && id_of(&f[LOST], &lost)) {
        restore_state(j->hub, start, last, lost);
        return true;
    }
    if (rule_room(room) != NULL)
        return false;
    if (*message)
        return replay_message(j, room, f, payload);
    if (!id_of(&f[LOST], &lost))
        return false;
    if (!restore_room(j->hub, room, lost))
        refuse_file(j, no_memory);
    return true;
}

/* ==== The whole file ========================================================================= */

/* Copies a bad stretch to a file beside the journal, so that the operator can inspect it. The name
 * contains the stretch's offset and CRC, so that a server that is started repeatedly keeps the same
 * stretch only once. The copy is synced, because the next compaction removes the original. Returns
 * false on failure. */
static bool keep_aside(const struct journal *j, struct span stretch, uint64_t offset)
{
    char path[PATH_MAX + 64];
    print_into(path, sizeof path, "%s.damaged-%llu-%08x", j->path, (unsigned long long)offset,
        (unsigned)crc32(0, stretch));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool kept = fd < 0 && errno == EEXIST;
    if (fd >= 0) {
        kept = record_write(fd, stretch, 0) == 0 && fdatasync(fd) == 0;
        close(fd);
        if (!kept)
            unlink(path);
    }
    char quoted[PATH_MAX + 64];
    log_line(LOG_WARN, "journal damaged=%zu offset=%llu kept=%s", stretch.len,
        (unsigned long long)offset, kept ? log_quote(span_of(path), quoted, sizeof quoted) : "no");
    return kept;
}

/* Returns whether `s` contains the empty line that ends a record. A tail without one is torn. */
static bool has_end(struct span s)
{
    struct span line;
    while (span_split(&s, '\n', &line) && s.at != NULL)
        if (s.len > 0 && s.at[0] == '\n')
            return true;
    return false;
}

/* Replays the file's bytes, and counts the messages. Returns the length of the good part. The
 * caller cuts off everything after it, so that part must be a torn tail, or must have been set
 * aside.
 *
 *      at            next
 *      | bad stretch | good record ...       in the middle: continues at `next`
 *      | bad stretch |                       at the end: next == s.len
 *
 * A stretch in the middle that cannot be set aside (because the disk is full) stays in place for
 * the next start. The stretch does not make a compaction due, but a compaction that is due because
 * of the file's size still drops it. A stretch at the end cannot stay, because the next append
 * would overwrite it, so the server does not start.
 *
 * A batch that a power cut has torn can look damaged too, because a disk writes its pages in any
 * order. The mistake is on the safe side: it costs a file and a gap, but no message. */
static size_t replay(struct journal *j, struct span s, unsigned long long *messages)
{
    size_t at = 0;
    while (at < s.len) {
        size_t len = record_whole((struct span) { s.at + at, s.len - at });
        bool message = false;
        if (len > 0 && replay_record(j, (struct span) { s.at + at, len }, &message)) {
            *messages += message;
            at += len;
            continue;
        }
        size_t next = len > 0 ? at + len : record_next(s, at);
        bool torn = next == s.len && !has_end((struct span) { s.at + at, s.len - at });
        if (torn)
            return at;
        bool kept = keep_aside(j, (struct span) { s.at + at, next - at }, at);
        if (!kept && next == s.len)
            refuse_file(
                j, "its end is damaged and cannot be copied to a file beside it; make space there");
        restore_damage(j->hub);
        j->damaged |= kept;
        if (next == s.len)
            return at;
        at = next;
    }
    return at;
}

/* Maps the file and replays it. The lock keeps other servers from changing the file. If another
 * program truncates the file while it is mapped, the process ends with SIGBUS. */
void replay_load(struct journal *j)
{
    unsigned long long messages = 0;
    int64_t begin_ms = clock_now_ms(CLOCK_MONOTONIC);
    restore_begin(j->hub);
    if (j->size > SIZE_MAX / 2) /* only on 32-bit systems: it cannot be mapped */
        refuse_file(j, strerror(EFBIG));
    if (j->size > 0) {
        const size_t size = (size_t)j->size;
        void *bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, j->fd, 0);
        if (bytes == MAP_FAILED)
            refuse_file(j, strerror(errno));
        size_t good = replay(j, (struct span) { bytes, size }, &messages);
        munmap(bytes, size);
        if (good < j->size)
            log_line(LOG_WARN, "journal cut=%llu offset=%zu reason=\"torn at the end\"",
                (unsigned long long)(j->size - good), good);
        j->size = good;
    }
    struct restore_excess excess;
    if (!restore_end(j->hub, &excess))
        refuse_file(j, no_memory);
    log_line(LOG_INFO, "journal messages=%llu bytes=%llu ms=%lld", messages,
        (unsigned long long)j->size, (long long)(clock_now_ms(CLOCK_MONOTONIC) - begin_ms));
}
