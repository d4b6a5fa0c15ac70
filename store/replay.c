/* replay.c - recovery: reads the records of a journal into a new hub, at startup.
 *
 * Each intact record is given to the hub; the rings drop what exceeds the history. What is no
 * record (reader.c) is treated in two ways.
 *
 * A torn end is cut off. It contains no acknowledged message, because with --sync always the sync
 * comes before the answer. With --sync none it could, so it counts as damage.
 *
 * Damage could have hit acknowledged messages. All damaged stretches are copied to one file for the
 * operator to inspect, and all records around them are kept. Which messages they contained is
 * unknown, so every client that resumes with an id from before this start gets a gap. A server
 * should not refuse to start because of one bad sector. A batch that a power cut has torn can look
 * damaged too, because a disk writes its pages in any order. The mistake is on the safe side: it
 * costs a file and a gap, but no message.
 *
 * A record that is intact, but of a newer version, is neither: the server does not start, and
 * leaves the file as it is. The time is linear in the file's size, which compaction bounds. */

#include "store/replay.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/print.h"
#include "hub/restore.h"
#include "hub/room.h"
#include "store/aside.h"
#include "store/claim.h"
#include "store/reader.h"

#include <errno.h>
#include <stdlib.h>

/* A torn end is one record. If it is longer than most records ever are, it is also set aside, in
 * case the file is not what it seems. */
enum { TORN_MAX_BYTES = 1 << 20 };

/* A message counts towards --history for at most three times the size of its record. */
enum { MEMORY_PER_BYTE = 3 };

/* What was found so far. */
struct replay {
    struct journal *j;
    bool knows_history; /* how much the rings held that the messages come from */
    uint64_t messages;
    uint64_t repeated; /* messages that the rooms had, or had dropped, already */
    uint64_t missing;  /* records that were taken out */
    uint64_t damaged;  /* bytes of all stretches */
    struct stretch *stretches;
    size_t count, capacity;
};

static const char no_memory[] = "there is not enough memory for its contents";

/* ==== Records ================================================================================ */

/* Restores the state of the hub, which replaces what an earlier record said of unused ids. */
static void restore_hub(struct replay *all, const struct record *r)
{
    struct hub *hub = all->j->hub;
    struct interval interval;
    struct span unused = r->unused;
    bool newest = restore_state(hub, r->start, r->last, r->lost);
    restore_history(hub, r->history);
    all->knows_history |= r->history > 0;
    while (newest && record_next_unused(&unused, &interval))
        restore_unused(hub, interval.after, interval.before);
}

/* Appends a message to its room. If no state is known that says how much was held, as in version 1
 * or after damage, the rings take the whole file, so that what exceeds --history can be reported.
 * Returns false if the id is not after the room's newest, although the message is no repetition;
 * that counts as damage. A message that is too large for the history is not damage; it has become a
 * gap. */
static bool restore_message(struct replay *all, const struct record *r)
{
    if (!all->knows_history)
        restore_history(all->j->hub, all->j->size * MEMORY_PER_BYTE);
    all->knows_history = true;
    enum append result = hub_append(all->j->hub, &r->message);
    if (result == APPEND_NO_MEMORY)
        claim_refuse(all->j->path, no_memory);
    all->messages += result == APPENDED || result == APPEND_TOO_LARGE;
    all->repeated += result == APPEND_REPEATED;
    return result != APPEND_OLD;
}

/* Ends the program at a record that only a newer version knows. */
__attribute__((noreturn)) static void refuse_record(const struct journal *j, uint64_t offset)
{
    log_exit(EXIT_SYSTEM,
        "--journal %s: this ssechat does not know the type of the record at byte %llu; start the "
        "version of ssechat that wrote it, or a newer one",
        j->path, (unsigned long long)offset);
}

/* Gives an intact record to the hub. Returns false if it counts as damage. */
static bool restore_record(struct replay *all, const struct piece *piece)
{
    const struct record *r = &piece->record;
    struct hub *hub = all->j->hub;
    switch (r->type) {
    case RECORD_FIRST:
        if (r->version > RECORD_VERSION)
            claim_refuse_newer(all->j->path, r->version);
        break;
    case RECORD_SNAPSHOT:
        break;
    case RECORD_HUB:
        restore_hub(all, r);
        break;
    case RECORD_ROOM:
        if (!restore_room(hub, r->message.room, r->lost))
            claim_refuse(all->j->path, no_memory);
        break;
    case RECORD_FORGOTTEN:
        restore_forgotten(hub, r->message.room, r->lost);
        break;
    case RECORD_MESSAGE:
        return restore_message(all, r);
    case RECORD_OTHER:
        refuse_record(all->j, piece->offset);
    }
    return true;
}

/* ==== Damage ================================================================================= */

/* Notes a damaged piece of the file; adjacent ones are one stretch. */
static void add_stretch(struct replay *all, const struct piece *piece)
{
    struct stretch *last = all->count > 0 ? &all->stretches[all->count - 1] : NULL;
    all->damaged += piece->len;
    if (last != NULL && last->offset + last->len == piece->offset) {
        last->len += piece->len;
        return;
    }
    if (all->count == all->capacity) {
        all->capacity = all->capacity > 0 ? 2 * all->capacity : 16;
        all->stretches = realloc(all->stretches, all->capacity * sizeof *all->stretches);
        if (all->stretches == NULL)
            claim_refuse(all->j->path, no_memory);
    }
    all->stretches[all->count++] = (struct stretch) { piece->offset, piece->len };
}

/* Sets all damaged stretches aside, in one file, and says so in one line. If that is not possible,
 * stretches in the middle stay in place for the next start, and a compaction keeps the whole file.
 * A stretch at the end cannot stay, because the next append would overwrite it, so the server does
 * not start. */
static void set_aside(struct replay *all, bool at_end)
{
    struct journal *j = all->j;
    char path[ASIDE_PATH_BYTES] = "", quoted[ASIDE_PATH_BYTES + 64];
    int error = all->count > 0 ? aside_stretches(j, all->stretches, all->count, path) : 0;
    if (error != 0 && at_end)
        log_exit(EXIT_SYSTEM,
            "--journal %s: its end is damaged and cannot be copied to a file beside it (%s); make "
            "that possible",
            j->path, strerror(error));
    log_line(LOG_WARN,
        "journal damaged=%llu offset=%llu kept=%s stretches=%zu missing=%llu reason=\"%s\"",
        (unsigned long long)all->damaged,
        (unsigned long long)(all->count > 0 ? all->stretches[0].offset : 0),
        error != 0 || all->count == 0 ? "no" : log_quote(span_of(path), quoted, sizeof quoted),
        all->count, (unsigned long long)all->missing,
        error != 0 ? strerror(error) : "some records are not as they were written");
    j->damaged = error == 0;
    j->keep_old |= error != 0;
    restore_damage(j->hub);
}

/* Notes a torn end, which will be cut off. */
static void cut_off(struct replay *all, const struct piece *piece)
{
    const struct journal *j = all->j;
    struct stretch stretch = { piece->offset, piece->len };
    char path[ASIDE_PATH_BYTES] = "", quoted[ASIDE_PATH_BYTES + 64];
    bool large = piece->len > TORN_MAX_BYTES;
    int error = large ? aside_stretches(j, &stretch, 1, path) : 0;
    if (error != 0)
        log_exit(EXIT_SYSTEM,
            "--journal %s: its last %llu bytes are no record and cannot be copied to a file beside "
            "it (%s); make that possible",
            j->path, (unsigned long long)piece->len, strerror(error));
    log_line(LOG_WARN, "journal cut=%llu offset=%llu reason=\"torn at the end\"%s%s",
        (unsigned long long)piece->len, (unsigned long long)piece->offset, large ? " kept=" : "",
        large ? log_quote(span_of(path), quoted, sizeof quoted) : "");
    if (!j->sync_always)
        restore_damage(j->hub);
}

/* ==== The whole file ========================================================================= */

/* Says what an option costs, if it is anything. */
static void report(
    const char *what, uint64_t messages, const char *unit, uint64_t count, const char *why)
{
    if (count > 0)
        log_line(LOG_WARN, "journal %s=%llu %s=%llu hint=\"%s\"", what,
            (unsigned long long)messages, unit, (unsigned long long)count, why);
}

/* Says what no longer fits, because an option has become smaller. The file still has it, until it
 * is rewritten; then it is kept beside the new one. */
static void report_excess(struct journal *j, const struct restore_excess *excess)
{
    report("dropped", excess->messages, "bytes", excess->bytes,
        "over --history; the first rewrite keeps the old file");
    report("dropped", excess->room_messages, "rooms", excess->rooms,
        "over --max-rooms; the first rewrite keeps the old file");
    report("silent", excess->silent_messages, "rooms", excess->silent,
        "over --room-ttl; they are forgotten soon, unless they are used");
    j->keep_old |= excess->messages > 0 || excess->rooms > 0;
}

/* Reads all pieces. Returns where the good part of the file ends; what follows is torn, or has been
 * set aside. */
static uint64_t read_pieces(struct replay *all, struct reader *r)
{
    struct piece piece;
    uint64_t good = 0;
    while (reader_next(r, &piece) != PIECE_ERROR) {
        all->missing += piece.missing;
        if (piece.missing > 0 || piece.type == PIECE_DAMAGED) /* it may have been a state */
            all->knows_history = false;
        bool fine = piece.type == PIECE_RECORD && restore_record(all, &piece);
        if (piece.type == PIECE_TORN)
            cut_off(all, &piece);
        else if (piece.type != PIECE_END && !fine)
            add_stretch(all, &piece);
        if (piece.type == PIECE_END)
            break;
        good = fine ? r->offset : good;
    }
    if (reader_error(r) != NULL)
        claim_refuse(all->j->path, reader_error(r));
    all->j->n = r->next - 1;
    const struct stretch *last = all->count > 0 ? &all->stretches[all->count - 1] : NULL;
    bool at_end = last != NULL && last->offset + last->len >= good;
    if (all->count > 0 || all->missing > 0)
        set_aside(all, at_end);
    return good;
}

void replay_load(struct journal *j)
{
    struct replay all = { .j = j };
    struct reader r;
    struct restore_excess excess;
    int64_t begin_ms = clock_now_ms(CLOCK_MONOTONIC);
    restore_begin(j->hub);
    reader_begin(&r, j->fd, j->size);
    j->size = read_pieces(&all, &r);
    reader_end(&r);
    free(all.stretches);
    j->keep_old |= all.repeated > 0; /* some may be older messages of another journal */
    if (!restore_end(j->hub, &excess))
        claim_refuse(j->path, no_memory);
    report_excess(j, &excess);
    log_line(LOG_INFO, "journal messages=%llu bytes=%llu ms=%lld held=%llu rooms=%zu",
        (unsigned long long)all.messages, (unsigned long long)j->size,
        (long long)(clock_now_ms(CLOCK_MONOTONIC) - begin_ms), (unsigned long long)j->hub->messages,
        j->hub->rooms.count);
}
