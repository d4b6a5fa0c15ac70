/* inspect.c - `ssechat journal check` and `ssechat journal export`.
 *
 * A journal says in its order what happened: a room that was forgotten can have messages again, a
 * file that was joined with another can repeat messages. So the file is read twice: the first pass
 * notes up to which message each room is forgotten, the second takes the messages that are left.
 * Memory is needed for the rooms, not for the messages. */

#include "host/inspect.h"

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

/* A room of the file. */
struct seen {
    struct node node;
    struct id forgotten; /* messages up to this one are forgotten */
    bool has_messages;
    struct id newest; /* of the messages that were taken so far; 0-0 if none */
    size_t len;
    char name[];
};

/* What both commands find out. */
struct inspection {
    const char *path;
    int fd;
    uint64_t size;
    struct table rooms;
    uint64_t version, records, messages, older, missing, rooms_used;
    uint64_t damaged, stretches, first_damage, torn;
    struct id first, last; /* the smallest and the greatest id of a message */
};

/* Ends the command. */
__attribute__((noreturn)) static void refuse(const struct inspection *all, const char *why)
{
    log_exit(EXIT_SYSTEM, "%s: %s", all->path, why);
}

/* ==== Rooms ================================================================================== */

/* Finds a room, or adds it. */
static struct seen *room_of(struct inspection *all, struct span name)
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
    *room = (struct seen) { .node.hash = table_hash(name, 0), .len = name.len };
    memcpy(room->name, name.at, name.len);
    if (!table_add(&all->rooms, &room->node))
        refuse(all, strerror(errno));
    return room;
}

static void free_rooms(struct inspection *all)
{
    for (struct node *n; (n = table_walk(&all->rooms, NULL)) != NULL;) {
        table_remove(&all->rooms, n);
        free(CONTAINER(n, struct seen, node));
    }
    table_free(&all->rooms);
}

/* ==== The two passes ========================================================================= */

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
    if (reader_error(&r) != NULL)
        refuse(all, reader_error(&r));
    reader_end(&r);
    if (!ours)
        refuse(all, "it is not a journal of ssechat");
}

/* Notes the first pass' facts of a record. */
static void note_record(struct inspection *all, const struct piece *piece)
{
    const struct record *record = &piece->record;
    all->records++;
    if (record->type == RECORD_FIRST && record->version > all->version)
        all->version = record->version;
    if (record->type == RECORD_OTHER || all->version > RECORD_VERSION)
        refuse(all, "a newer version of ssechat wrote it; use that version");
    if (record->type == RECORD_FORGOTTEN)
        id_raise(&room_of(all, record->message.room)->forgotten, record->lost);
}

static void note_damage(struct inspection *all, const struct piece *piece)
{
    if (all->stretches == 0)
        all->first_damage = piece->offset;
    all->stretches++;
    all->damaged += piece->len;
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
    if (reader_error(&r) != NULL)
        refuse(all, reader_error(&r));
    reader_end(&r);
}

/* Returns whether a message is left: its room was not forgotten after it, and it is not repeated.
 */
static bool is_left(struct inspection *all, const struct piece *piece)
{
    struct seen *room = room_of(all, piece->record.message.room);
    struct id id = piece->record.message.id;
    if (!id_before(room->forgotten, id))
        return false;
    if (!id_before(room->newest, id)) {
        all->older++;
        return false;
    }
    all->rooms_used += !room->has_messages;
    room->has_messages = true;
    room->newest = id;
    if (all->messages == 0 || id_before(id, all->first))
        all->first = id;
    id_raise(&all->last, id);
    all->messages++;
    return true;
}

/* Calls `take`, unless it is NULL, for each message that is left. */
static void second_pass(struct inspection *all,
    void (*take)(struct inspection *, const struct stored *m, void *context), void *context)
{
    struct reader r;
    struct piece piece;
    reader_begin(&r, all->fd, all->size);
    while (reader_next(&r, &piece) < PIECE_END)
        if (piece.type == PIECE_RECORD && piece.record.type == RECORD_MESSAGE &&
            is_left(all, &piece) && take != NULL)
            take(all, &piece.record.message, context);
    if (reader_error(&r) != NULL)
        refuse(all, reader_error(&r));
    reader_end(&r);
}

static void close_journal(struct inspection *all)
{
    free_rooms(all);
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

/* Appends a line: a word, then its value. */
static void add_fact(struct buffer *out, const char *name, uint64_t value)
{
    buffer_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

static void add_id(struct buffer *out, const char *name, struct id id)
{
    buffer_printf(out, "%s ", name);
    id_add(out, id);
    buffer_add(out, SPAN("\n"));
}

static void print_facts(const struct inspection *all)
{
    struct buffer out = { 0 };
    add_fact(&out, "version", all->version);
    add_fact(&out, "bytes", all->size);
    add_fact(&out, "records", all->records);
    add_fact(&out, "rooms", all->rooms_used);
    add_fact(&out, "messages", all->messages);
    if (all->messages > 0) {
        add_id(&out, "first", all->first);
        add_id(&out, "last", all->last);
    }
    add_fact(&out, "older", all->older);
    add_fact(&out, "missing", all->missing);
    add_fact(&out, "damaged", all->damaged);
    add_fact(&out, "torn", all->torn);
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
    second_pass(&all, NULL, NULL);
    print_facts(&all);
    close_journal(&all);
    return all.damaged > 0 || all.missing > 0 ? EXIT_SYSTEM : 0;
}

/* What inspect_export prints. */
struct export
{
    const char *room;
    struct buffer out, scratch;
};

static void export_message(struct inspection *all, const struct stored *m, void *context)
{
    struct export *e = context;
    (void)all;
    if (e->room != NULL && !span_equal(span_of(e->room), m->room))
        return;
    struct span payload = frame_renew(&e->scratch, m->payload, m->kind);
    frame_to_json(&e->out, payload, m->kind, m->room, m->id, m->time_ms);
    buffer_add(&e->out, SPAN("\n"));
    e->out.failed |= e->scratch.failed;
    if (e->out.len > FLUSH_BYTES || e->out.failed)
        flush(&e->out);
}

int inspect_export(const char *path, const char *room)
{
    struct inspection all;
    struct export e = { .room = room };
    open_journal(&all, path);
    first_pass(&all);
    second_pass(&all, export_message, &e);
    flush(&e.out);
    buffer_free(&e.out);
    buffer_free(&e.scratch);
    close_journal(&all);
    return 0;
}
