/* replay.c - reads the records of a journal, around whatever is damaged. */

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

__attribute__((noreturn)) static void refuse_file(const struct journal *j, const char *why)
{
    log_exit(EXIT_SYSTEM, "--journal %s: %s", j->path, why);
}

static const char no_memory[] = "there is not enough memory for what it holds";

/* ==== One record ============================================================================= */

/* A string of a record's comment; empty when it is not there, or longer than it may be. */
static struct span text_of(const struct json_field *field, char *out, size_t size)
{
    if (field->type != JSON_STRING || field->raw.len > size)
        return (struct span) { out, 0 };
    return (struct span) { out, json_decode(field->raw, out) };
}

/* An id that we can have given: others can follow it. */
static bool is_possible(struct id id)
{
    const uint64_t year_10000_ms = 253402300800000;
    return id.ms < year_10000_ms && id.seq < UINT64_MAX / 2;
}

/* What is between the quotes of a JSON string without escapes. */
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

/* The JSON in a record's comment. */
enum { START, LAST, LOST, ROOM, KIND, KEY, FIELD_COUNT };

/* False when it makes no sense. */
static bool replay_message(
    const struct journal *j, struct span room, const struct json_field *f, struct span payload)
{
    char key_bytes[JSON_ESCAPED_MAX(KEY_MAX_BYTES)];
    struct span key = text_of(&f[KEY], key_bytes, sizeof key_bytes);
    int kind = f[KIND].type == JSON_STRING ? record_kind(inside(&f[KIND])) : -1;
    struct id id;
    if (kind < 0 || !read_id(payload, &id))
        return false;
    switch (hub_append(j->hub, room, id, id.ms, (enum message_kind)kind, key, payload)) {
    case APPEND_NO_MEMORY:
        refuse_file(j, no_memory);
    case APPEND_OLD:
        return false;
    case APPENDED:
    case APPEND_TOO_LARGE:
        break;
    }
    return true;
}

/* Puts what a whole record says into the hub. False when it makes no sense; `*message` tells
 * whether it was one. */
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

/* Puts a bad stretch aside, so that a person can look at it. Its CRC is in the name: the same
 * stretch is kept once, however often the server starts. False when it could not be kept. */
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

/* Whether an event ends in it: what has no end yet was being written. */
static bool has_end(struct span s)
{
    struct span line;
    while (span_split(&s, '\n', &line) && s.at != NULL)
        if (s.len > 0 && s.at[0] == '\n')
            return true;
    return false;
}

/* Replays all of it. Returns how far it is good: behind that is a torn tail. */
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
            refuse_file(j, "its end is damaged, and there is no space to put that aside");
        restore_damage(j->hub);
        j->damaged |= kept; /* else it stays where it is */
        if (next == s.len)
            return at;
        at = next;
    }
    return at;
}

void replay_load(struct journal *j)
{
    unsigned long long messages = 0;
    int64_t begin_ms = clock_now_ms(CLOCK_MONOTONIC);
    restore_begin(j->hub);
    if (j->size > SIZE_MAX / 2) /* on 32 bit */
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
    if (!restore_end(j->hub))
        refuse_file(j, no_memory);
    log_line(LOG_INFO, "journal messages=%llu bytes=%llu ms=%lld", messages,
        (unsigned long long)j->size, (long long)(clock_now_ms(CLOCK_MONOTONIC) - begin_ms));
}
