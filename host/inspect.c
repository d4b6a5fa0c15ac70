/* inspect.c - `ssechat journal check` and `ssechat journal export`.
 *
 * A journal says in its order what happened: a room that was forgotten can have messages again, a
 * file that was joined with another can repeat messages. So the first pass follows the records as
 * the hub does at a start, and notes for each room which messages it has in the end, wherever
 * --history ends: up to 64 bytes for each. The second pass, for the export, prints these. */

#include "host/inspect.h"

#include "base/crc32.h"
#include "base/list.h"
#include "base/log.h"
#include "base/print.h"
#include "base/table.h"
#include "hub/frame.h"
#include "store/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FLUSH_BYTES = 65536 }; /* how much is printed at a time */

/* A message that its room has. */
struct held {
    struct id id;
    uint64_t offset; /* of its record */
    uint32_t sum;    /* CRC-32 of its payload */
    enum message_kind kind;
};

/* A room of the file. */
struct seen {
    struct node node;
    struct id lost;    /* messages up to this one are gone */
    struct held *held; /* by id */
    size_t count, capacity;
    size_t len;
    char name[];
};

/* What both commands find out. */
struct inspection {
    const char *path;
    int fd;
    uint64_t size;
    struct table rooms;
    struct id lost, lost_before; /* what a new room begins with; before the last state */
    struct buffer scratch;
    uint64_t version, records, older, missing;
    uint64_t damaged, stretches, first_damage, damage_end, torn;
};

/* Ends the command. */
__attribute__((noreturn)) static void refuse(const struct inspection *all, const char *why)
{
    log_exit(EXIT_SYSTEM, "%s: %s", all->path, why);
}

/* Ends the command if the file could not be read. */
static void end_reading(const struct inspection *all, struct reader *r)
{
    if (reader_error(r) != NULL)
        refuse(all, reader_error(r));
    reader_end(r);
}

/* ==== Rooms ================================================================================== */

/* Finds a room, or adds one that begins with `lost`. */
static struct seen *room_of(struct inspection *all, struct span name, struct id lost)
{
    struct node *n = table_find(&all->rooms, table_hash(name, 0));
    for (; n != NULL; n = table_find_next(n)) {
        struct seen *room = CONTAINER(n, struct seen, node);
        if (span_equal((struct span) { room->name, room->len }, name))
            return room;
    }
    struct seen *room = malloc(sizeof *room + name.len);
    if (room == NULL)
        refuse(all, strerror(errno));
    *room = (struct seen) { .node.hash = table_hash(name, 0), .lost = lost, .len = name.len };
    memcpy(room->name, name.at, name.len);
    if (!table_add(&all->rooms, &room->node))
        refuse(all, strerror(errno));
    return room;
}

static void free_room(struct inspection *all, struct seen *room)
{
    table_remove(&all->rooms, &room->node);
    free(room->held);
    free(room);
}

static void free_rooms(struct inspection *all)
{
    for (struct node *n; (n = table_walk(&all->rooms, NULL)) != NULL;)
        free_room(all, CONTAINER(n, struct seen, node));
    table_free(&all->rooms);
}

/* ==== The first pass ========================================================================= */

/* Opens the file, and refuses one that is no journal. */
static void open_journal(struct inspection *all, const char *path)
{
    struct stat st;
    struct reader r;
    *all = (struct inspection) { .path = path, .version = 1 };
    all->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* does not wait for a FIFO's writer */
    if (all->fd < 0 || fstat(all->fd, &st) < 0)
        refuse(all, strerror(errno));
    if (!S_ISREG(st.st_mode))
        refuse(all, "it is not a regular file");
    all->size = (uint64_t)st.st_size;
    reader_begin(&r, all->fd, all->size);
    bool ours = reader_is_journal(&r);
    end_reading(all, &r);
    if (!ours)
        refuse(all, "it is not a journal of ssechat");
}

static void note_damage(struct inspection *all, const struct piece *piece)
{
    if (all->stretches == 0)
        all->first_damage = piece->offset;
    all->stretches += all->stretches == 0 || all->damage_end != piece->offset;
    all->damage_end = piece->offset + piece->len;
    all->damaged += piece->len;
}

/* Returns how many messages of the room are up to `id`. */
static size_t count_until(const struct seen *room, struct id id)
{
    size_t low = 0, high = room->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (id_before(id, room->held[middle].id))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Notes a message. One that is not newer than those before it is a repetition if the room has it or
 * has lost it, and otherwise damage, as for hub_append. */
static void note_message(struct inspection *all, const struct piece *piece)
{
    const struct stored *m = &piece->record.message;
    struct seen *room = room_of(all, m->room, all->lost);
    struct span payload = frame_renew(&all->scratch, m->payload, m->kind);
    struct held new = { m->id, piece->offset, crc32(0, payload), m->kind };
    size_t until = count_until(room, m->id);
    if (room->count > 0 && !id_before(room->held[room->count - 1].id, m->id)) {
        const struct held *held = until > 0 ? &room->held[until - 1] : NULL;
        if (held != NULL
                ? id_equal(held->id, new.id) && held->sum == new.sum && held->kind == new.kind
                : !id_before(room->lost, m->id))
            all->older++;
        else
            note_damage(all, piece);
        return;
    }
    if (room->count == room->capacity) {
        room->capacity = room->capacity > 0 ? 2 * room->capacity : 16;
        room->held = realloc(room->held, room->capacity * sizeof *room->held);
        if (room->held == NULL)
            refuse(all, strerror(errno));
    }
    room->held[room->count++] = new;
}

static void note_forgotten(struct inspection *all, const struct record *record)
{
    struct seen *room = room_of(all, record->message.room, all->lost);
    size_t gone = count_until(room, record->lost);
    room->count -= gone;
    if (gone > 0)
        memmove(room->held, room->held + gone, room->count * sizeof *room->held);
    id_raise(&room->lost, record->lost);
    id_raise(&all->lost, record->lost);
    if (room->count == 0)
        free_room(all, room);
}

static void note_record(struct inspection *all, const struct piece *piece)
{
    const struct record *record = &piece->record;
    all->records++;
    if (record->type == RECORD_FIRST && record->version > all->version)
        all->version = record->version;
    if (record->type == RECORD_OTHER || all->version > RECORD_VERSION)
        refuse(all, "a newer version of ssechat wrote it; use that version");
    if (record->type == RECORD_HUB) {
        all->lost_before = all->lost;
        id_raise(&all->lost, record->lost);
    } else if (record->type == RECORD_ROOM)
        id_raise(&room_of(all, record->message.room, all->lost_before)->lost, record->lost);
    else if (record->type == RECORD_FORGOTTEN)
        note_forgotten(all, record);
    else if (record->type == RECORD_MESSAGE)
        note_message(all, piece);
}

static void first_pass(struct inspection *all)
{
    struct reader r;
    struct piece piece;
    reader_begin(&r, all->fd, all->size);
    while (reader_next(&r, &piece) < PIECE_END) {
        all->missing += piece.missing;
        if (piece.type == PIECE_RECORD)
            note_record(all, &piece);
        else if (piece.type == PIECE_DAMAGED)
            note_damage(all, &piece);
        else
            all->torn = piece.len;
    }
    all->missing += piece.missing;
    end_reading(all, &r);
}

static void close_journal(struct inspection *all)
{
    free_rooms(all);
    buffer_free(&all->scratch);
    close(all->fd);
}

/* ==== The commands =========================================================================== */

/* Prints what was collected. */
static void flush(struct buffer *out)
{
    if (out->failed)
        log_exit(EXIT_SYSTEM, "memory: %s", strerror(errno));
    for (struct span rest = buffer_span(out); rest.len > 0;) {
        ssize_t n = write(STDOUT_FILENO, rest.at, rest.len);
        if (n < 0)
            log_exit(EXIT_SYSTEM, "standard output: %s", strerror(errno));
        rest.at += n;
        rest.len -= (size_t)n;
    }
    buffer_clear(out);
}

/* Appends a line: a word, then the id. */
static void add_id(struct buffer *out, const char *name, struct id id)
{
    buffer_printf(out, "%s ", name);
    id_add(out, id);
    buffer_add(out, SPAN("\n"));
}

static void print_facts(const struct inspection *all)
{
    struct buffer out = { 0 };
    uint64_t rooms = 0, messages = 0;
    struct id first = { UINT64_MAX, 0 }, last = { 0, 0 };
    for (struct node *n = NULL; (n = table_walk(&all->rooms, n)) != NULL;) {
        const struct seen *room = CONTAINER(n, struct seen, node);
        if (room->count == 0)
            continue;
        rooms++;
        messages += room->count;
        if (id_before(room->held[0].id, first))
            first = room->held[0].id;
        id_raise(&last, room->held[room->count - 1].id);
    }
    buffer_printf(&out, "version %llu\nbytes %llu\nrecords %llu\nrooms %llu\nmessages %llu\n",
        (unsigned long long)all->version, (unsigned long long)all->size,
        (unsigned long long)all->records, (unsigned long long)rooms, (unsigned long long)messages);
    if (messages > 0) {
        add_id(&out, "first", first);
        add_id(&out, "last", last);
    }
    buffer_printf(&out, "older %llu\nmissing %llu\ndamaged %llu\ntorn %llu\n",
        (unsigned long long)all->older, (unsigned long long)all->missing,
        (unsigned long long)all->damaged, (unsigned long long)all->torn);
    if (all->stretches > 0)
        buffer_printf(&out, "damage begins at byte %llu, in %llu places\n",
            (unsigned long long)all->first_damage, (unsigned long long)all->stretches);
    flush(&out);
    buffer_free(&out);
}

/* A torn end is normal after a crash, and while a server writes, so it is no damage. */
int inspect_check(const char *path)
{
    struct inspection all;
    open_journal(&all, path);
    first_pass(&all);
    print_facts(&all);
    close_journal(&all);
    return all.damaged > 0 || all.missing > 0 ? EXIT_SYSTEM : 0;
}

/* Returns whether this is the record of a message that its room has in the end. */
static bool is_held(struct inspection *all, const struct piece *piece)
{
    const struct seen *room = room_of(all, piece->record.message.room, all->lost);
    size_t until = count_until(room, piece->record.message.id);
    return until > 0 && room->held[until - 1].offset == piece->offset;
}

static void export_message(struct inspection *all, struct buffer *out, const struct stored *m)
{
    struct span payload = frame_renew(&all->scratch, m->payload, m->kind);
    frame_to_json(out, payload, m->kind, m->room, m->id, m->time_ms);
    buffer_add(out, SPAN("\n"));
    out->failed |= all->scratch.failed;
    if (out->len > FLUSH_BYTES || out->failed)
        flush(out);
}

int inspect_export(const char *path, const char *room)
{
    struct inspection all;
    struct buffer out = { 0 };
    struct reader r;
    struct piece piece;
    open_journal(&all, path);
    first_pass(&all);
    reader_begin(&r, all.fd, all.size);
    while (reader_next(&r, &piece) < PIECE_END) {
        const struct stored *m = &piece.record.message;
        if (piece.type == PIECE_RECORD && piece.record.type == RECORD_MESSAGE &&
            (room == NULL || span_equal(span_of(room), m->room)) && is_held(&all, &piece))
            export_message(&all, &out, m);
    }
    end_reading(&all, &r);
    flush(&out);
    buffer_free(&out);
    close_journal(&all);
    return 0;
}
