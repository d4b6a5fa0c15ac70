/* journal.c - a driver for the reader of journals (store/). It reads a journal from standard input.
 *
 *     journal read     prints `damaged` or `whole`, then the messages that were read, by room; or
 *                      `refused` if the file is not a journal, or of a newer version
 *     journal sweep    prints nothing: it tries the journal cut off everywhere, and with each byte
 *                      changed, overwritten with zeros, removed and doubled; only messages of the
 *                      intact journal may be read from any of these
 *
 * A record with the CRC 00000000 is signed first, so that a developer can write journals by hand
 * and the fuzzer gets past the CRC.
 *
 * What matters is the file that a recovery leaves. So the driver opens the journal, publishes a
 * message and closes it, then opens it again, compacts it if it was damaged, and opens it a third
 * time. Each time it must find the same rooms with the same messages and keys, and ids must grow.
 * The suites with the real server, journal.bats and crash.bats, test the order of fsync and rename,
 * and crashes in between.
 *
 * A broken promise (driver.h) calls abort. With -DFUZZ the same checks are a libFuzzer target. The
 * driver works in its own folder in memory (/dev/shm), and removes it at the end. */

#include "store/journal.h"
#include "base/crc32.h"
#include "base/log.h"
#include "base/print.h"
#include "hub/room.h"
#include "hub/rules.h"
#include "json.h"
#include "store/reader.h"
#include "utf8.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SWEEP_ZEROS = 16, /* bytes that are overwritten at a time */
};

static const uint64_t now_ms = 1800000000000; /* 2027; the hub's clock does not move */
static char folder[] = "/dev/shm/ssechat-journal-XXXXXX";
static char path[sizeof folder + 32];
static bool sweeping;

static void remove_folder(void);

/* Aborts like the check of driver.h, but leaves no folder behind. */
static void check(bool holds, const char *promise)
{
    if (holds)
        return;
    remove_folder();
    fprintf(stderr, "broken promise: %s\n", promise);
    abort();
}

/* ---- The folder --------------------------------------------------------------------------- */

/* Counts the stretches that were put aside and, if `remove`, removes all files. */
static unsigned empty_folder(bool remove)
{
    unsigned count = 0;
    DIR *d = opendir(folder);
    if (d == NULL)
        return 0;
    for (const struct dirent *entry; (entry = readdir(d)) != NULL;) {
        count += strstr(entry->d_name, ".damaged-") != NULL;
        if (remove && entry->d_name[0] != '.')
            unlinkat(dirfd(d), entry->d_name, 0);
    }
    closedir(d);
    return count;
}

static void remove_folder(void)
{
    empty_folder(true);
    rmdir(folder);
}

/* Makes the folder once per process, so that a fuzzer has one folder for all its inputs. */
static void make_folder(void)
{
    if (path[0] != '\0')
        return;
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        exit(1);
    }
    snprintf(path, sizeof path, "%s/journal", folder);
    atexit(remove_folder);
    log_start(LOG_ERROR);
}

/* ---- Signing ------------------------------------------------------------------------------ */

/* Returns the length of the record at `s`, its first empty line included; 0 if it has none. */
static size_t record_len(struct span s)
{
    const char *end = memmem(s.at, s.len, "\n\n", 2);
    return end != NULL ? (size_t)(end + 2 - s.at) : 0;
}

/* Finds each line that can begin an unsigned record, and writes the CRC of the record over its
 * zeros. */
static void sign(char *bytes, size_t len)
{
    static const char unsigned_mark[] = ":00000000 {";
    const size_t mark = sizeof unsigned_mark - 1;
    for (size_t at = 0; at + mark < len; at++) {
        size_t left = record_len((struct span) { bytes + at, len - at });
        if ((at > 0 && bytes[at - 1] != '\n') || left == 0 ||
            memcmp(bytes + at, unsigned_mark, mark) != 0)
            continue;
        char digits[9];
        snprintf(digits, sizeof digits, "%08x",
            (unsigned)crc32(0, (struct span) { bytes + at + 9, left - 9 }));
        memcpy(bytes + at + 1, digits, 8);
    }
}

/* ---- One hub ------------------------------------------------------------------------------ */

/* No stream joins in this driver, so the hub never calls these. */

static enum served no_stream(struct stream *stream)
{
    (void)stream;
    abort();
}

static void no_overrun(struct stream *stream)
{
    (void)stream;
    abort();
}

static struct receipt published;

/* Keeps the receipt of the one POST that `publish` makes. */
static void take_receipt(struct waiter *waiter, enum settled settled, const struct receipt *receipt)
{
    (void)waiter;
    check(settled == SETTLED_SAFE, "a published message is stored");
    published = *receipt;
}

/* The history is longer than any input, and rooms never expire. */
static struct hub_settings settings = {
    .history = 1 << 20,
    .room_ttl_ms = INT64_MAX / 4,
};

/* Makes a hub, and reads the journal into it. */
static struct hub *open_hub(struct keeper **journal)
{
    struct hub *hub =
        hub_new(&settings, &(struct stream_owner) { no_stream, no_overrun }, 0, now_ms);
    check(hub != NULL, "the driver can allocate memory");
    *journal = journal_open(&(struct journal_settings) { .path = path, .sync = !sweeping }, hub);
    check((*journal)->trouble(*journal) == NULL, "an opened journal is writable");
    return hub;
}

/* Waits until the keeper's descriptor is readable, and lets the keeper continue. */
static void wait_for(struct keeper *journal)
{
    struct pollfd watched = { .fd = journal->watch, .events = POLLIN };
    while (poll(&watched, 1, -1) != 1) /* the fuzzer has a timer */
        check(errno == EINTR, "the end of a sync or of a compaction's child wakes the keeper");
    journal->ready(journal);
}

static void close_hub(struct hub *hub, struct keeper *journal)
{
    journal->close(journal);
    hub_free(hub);
}

/* Checks a restored room's invariants: other code relies on them, whatever the file contains. */
static void check_room(const struct hub *hub, const struct room *room)
{
    const struct ring *ring = &room->ring;
    struct span name = room_name(room);
    check(name.len >= 1 && name.len <= ROOM_MAX_BYTES && is_utf8(name),
        "a restored room has a name that was allowed once");
    check(!ring_empty(ring), "a restored room contains a message");
    check(ring->head - ring->tail <= settings.history, "a room holds no more than its limit");
    for (uint64_t n = ring->first; n < ring->next; n++) {
        const struct entry *e = ring_entry(ring, n);
        check(n == ring->first || id_before(ring_entry(ring, n - 1)->id, e->id),
            "ids grow within a room");
        check(!id_before(hub->last, e->id), "no id is newer than the hub's last id");
        check(!id_before(hub->newest, e->id), "no id is newer than the newest");
        check(ring_end(ring, n) - e->offset > FRAME_ENVELOPE_BYTES, "no frame is empty");
        check(e->kind <= MESSAGE_JSON || e->kind == MESSAGE_OTHER, "an entry has a stored kind");
        check(e->key == NULL ||
                  (e->key->room == room && e->key->number == n && e->key->pending == NULL),
            "a key points to its message");
    }
}

static bool any_room(const void *reader, struct span room)
{
    (void)reader;
    (void)room;
    return true;
}

/* Checks all rooms, a page of each, and the list of rooms: no content of a journal may crash
 * them. */
static void check_hub(struct hub *hub)
{
    uint64_t held = 0;
    struct buffer out = { 0 };
    for (struct node *n = NULL; (n = table_walk(&hub->rooms, n)) != NULL;) {
        struct room *room = (struct room *)(void *)n;
        struct page_query q = { .room = room_name(room), .limit = HISTORY_MAX };
        check_room(hub, room);
        held += room->ring.head - room->ring.tail;
        out.len = 0;
        check(history_page(hub, &q, &out), "a restored room has a page with messages");
    }
    check(held == hub->held, "hub->held is the sum of the rings");
    out.len = 0;
    history_rooms(hub, any_room, NULL, &out);
    check(!out.failed, "the driver can allocate memory");
    buffer_free(&out);
}

/* Publishes a message, because a journal that was read must also be writable. The new id must be
 * newer than all earlier ids, even if the file has ids from the far future. */
static void publish(struct hub *hub, struct keeper *journal)
{
    struct message m = { .kind = MESSAGE_CHAT,
        .room = SPAN("lobby"),
        .name = SPAN("ann"),
        .body = SPAN("and then?"),
        .key = SPAN("and then?") };
    struct waiter waiter = { .done = take_receipt };
    struct receipt receipt;
    struct id last = hub->last, id;
    if (hub_publish(hub, &m, &waiter, &receipt) != PUBLISH_WAIT)
        return; /* the journal has the key already, with this message or another */
    journal->keep(journal, hub_take_batch(hub));
    while (waiter.publication != NULL)
        wait_for(journal);
    check(id_parse(stamp_id(&published.stamp), &id), "a new message has an id");
    check(id_before(last, id), "a new id is newer than all ids before");
    check(id.ms < 253402300800000, "a new id is not later than the year 9999");
}

/* ---- What a hub holds, as text ------------------------------------------------------------ */

/* Compares two rooms by name, because a table has no order. */
static int compare_rooms(const void *a, const void *b)
{
    struct span left = room_name(*(const struct room *const *)a);
    struct span right = room_name(*(const struct room *const *)b);
    int order = memcmp(left.at, right.at, left.len < right.len ? left.len : right.len);
    return order != 0 ? order : (left.len > right.len) - (left.len < right.len);
}

/* Appends a line per message: room, id, kind, the CRC of its frame, its key, and whose key that is.
 * These lines are printed and compared. */
static void add_room(struct buffer *out, const struct room *room)
{
    static const char *const kinds[] = { "chat", "text", "json", "binary", "other" };
    struct buffer frame = { 0 };
    for (uint64_t n = room->ring.first; n < room->ring.next; n++) {
        const struct entry *e = ring_entry(&room->ring, n);
        json_string_add(out, room_name(room));
        buffer_add(out, SPAN(" "));
        id_add(out, e->id);
        frame.len = 0;
        ring_copy(&room->ring, e->offset, ring_end(&room->ring, n), &frame);
        buffer_printf(out, " %s %08x", kinds[e->kind], (unsigned)crc32(0, buffer_span(&frame)));
        if (e->key != NULL) {
            buffer_add(out, SPAN(" "));
            json_string_add(out, (struct span) { e->key->bytes, e->key->len });
            if (e->key->scope != 0)
                buffer_printf(out, " of %016llx", (unsigned long long)e->key->scope);
        }
        buffer_add(out, SPAN("\n"));
    }
    buffer_free(&frame);
}

/* Returns all messages of a hub, sorted by room. The caller frees the buffer. */
static struct buffer messages_of(const struct hub *hub)
{
    struct buffer out = { 0 };
    size_t count = 0;
    struct room **rooms = calloc(hub->rooms.count + 1, sizeof(struct room *));
    check(rooms != NULL, "the driver can allocate memory");
    for (struct node *n = NULL; (n = table_walk(&hub->rooms, n)) != NULL;)
        rooms[count++] = (struct room *)(void *)n;
    qsort(rooms, count, sizeof(struct room *), compare_rooms);
    for (size_t i = 0; i < count; i++)
        add_room(&out, rooms[i]);
    free(rooms);
    check(!out.failed, "the driver can allocate memory");
    return out;
}

/* ---- The promises ------------------------------------------------------------------------- */

static void write_journal(struct span bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    check(fd >= 0 && write(fd, bytes.at, bytes.len) == (ssize_t)bytes.len && close(fd) == 0,
        "the driver can write the journal file");
}

/* Compacts the journal, and waits for the child process that does it, and for the syncs. */
static void compact(struct keeper *journal)
{
    struct stat before, after = { 0 };
    check(stat(path, &before) == 0, "an open journal has its name");
    journal->tick(journal, 1);
    while (stat(path, &after) < 0 || after.st_ino == before.st_ino) {
        wait_for(journal);
        journal->keep(journal, NULL);
    }
}

/* Returns whether a server reads the file: it is a journal, and nothing in it is of a newer
 * version. */
static bool is_accepted(void)
{
    struct stat st;
    struct reader r;
    struct piece piece = { 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    check(fd >= 0 && fstat(fd, &st) == 0, "the driver can read the journal file");
    reader_begin(&r, fd, (uint64_t)st.st_size);
    bool accepted = reader_is_journal(&r);
    reader_end(&r);
    reader_begin(&r, fd, (uint64_t)st.st_size);
    while (reader_next(&r, &piece) < PIECE_END)
        if (piece.type == PIECE_RECORD)
            accepted &=
                piece.record.type != RECORD_OTHER &&
                (piece.record.type != RECORD_FIRST || piece.record.version <= RECORD_VERSION);
    reader_end(&r);
    close(fd);
    return accepted;
}

/* Opens the file again, and checks that it gives the same messages as before. Returns whether it
 * was damaged. */
static bool reopen(const struct buffer *before, bool compacts)
{
    struct keeper *journal;
    struct hub *hub = open_hub(&journal);
    struct buffer now = messages_of(hub);
    bool damaged = hub->damage;
    check_hub(hub);
    check(span_equal(buffer_span(before), buffer_span(&now)),
        "the same messages are read a second time");
    if (compacts && damaged)
        compact(journal);
    close_hub(hub, journal);
    buffer_free(&now);
    return damaged;
}

/* Returns whether each line of `some` is in `all`. */
static bool has_lines(struct span all, struct span some)
{
    struct span line;
    while (span_split(&some, '\n', &line))
        if (line.len > 0 && memmem(all.at, all.len, line.at, line.len) == NULL)
            return false;
    return true;
}

/* Reads a journal and checks all promises. Unless `original` is NULL, each line that is read must
 * be one of its lines. Returns the messages that were read, after a line `damaged` or `whole`
 * unless this is a sweep. The caller frees the buffer. */
static struct buffer check_journal(struct span bytes, const struct span *original, bool compacts)
{
    struct keeper *journal;
    empty_folder(true);
    write_journal(bytes);
    if (!is_accepted()) {
        struct buffer said = { 0 };
        buffer_add_string(&said, sweeping ? "" : "refused\n");
        return said;
    }
    struct hub *hub = open_hub(&journal);
    struct buffer read = messages_of(hub);
    bool damaged = hub->damage;
    unsigned aside = empty_folder(false);
    check(damaged || aside == 0, "only a damaged stretch is put aside");
    check_hub(hub);
    check(original == NULL || has_lines(*original, buffer_span(&read)),
        "every message that is read was in the intact journal");
    publish(hub, journal);
    check_hub(hub);
    struct buffer before = messages_of(hub);
    close_hub(hub, journal);
    bool again = reopen(&before, compacts);
    check(damaged || !again, "an intact journal is intact a second time");
    /* Twice if one was at the end, which is then cut off, so that the others are fewer. */
    check(empty_folder(false) <= aside + 1, "a damaged stretch is put aside only once");
    if (compacts)
        check(!reopen(&before, false), "a compacted journal is intact");
    buffer_free(&before);
    if (!sweeping) {
        struct buffer said = { 0 };
        buffer_add_string(&said, damaged ? "damaged\n" : "whole\n");
        buffer_add(&said, buffer_span(&read));
        buffer_free(&read);
        return said;
    }
    return read;
}

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char *bytes = malloc(size + 1);
    check(bytes != NULL, "the driver can allocate memory");
    make_folder();
    sweeping = true; /* saves the time of the syncs */
    if (size > 0)
        memcpy(bytes, data, size);
    sign(bytes, size);
    /* A compaction forks, which is slow, so only one input in 16 is compacted. */
    struct buffer read = check_journal((struct span) { bytes, size }, NULL, size % 16 == 0);
    buffer_free(&read);
    free(bytes);
    return 0;
}

#else

/* ---- The sweep ---------------------------------------------------------------------------- */

/* Checks one case of the sweep. */
static void check_part(struct span bytes, const struct span *original)
{
    struct buffer read = check_journal(bytes, original, false);
    buffer_free(&read);
}

/* At each byte, checks the journal cut off, with a bit flipped, with zeros, and with the byte
 * removed or doubled. */
static void sweep(struct span whole)
{
    char *bytes = malloc(whole.len + 1);
    check(bytes != NULL && whole.len > 0, "there is a journal, and the driver can allocate memory");
    sweeping = true;
    struct buffer all = check_journal(whole, NULL, true);
    struct span original = buffer_span(&all);
    for (size_t at = 0; at < whole.len; at++) {
        size_t zeros = whole.len - at < SWEEP_ZEROS ? whole.len - at : SWEEP_ZEROS;
        check_part((struct span) { whole.at, at }, &original);
        memcpy(bytes, whole.at, whole.len);
        bytes[at] = (char)(bytes[at] ^ 1 << at % 8);
        check_part((struct span) { bytes, whole.len }, &original);
        memcpy(bytes, whole.at, whole.len);
        memset(bytes + at, 0, zeros);
        check_part((struct span) { bytes, whole.len }, &original);
        memcpy(bytes, whole.at, at);
        memcpy(bytes + at, whole.at + at + 1, whole.len - at - 1);
        check_part((struct span) { bytes, whole.len - 1 }, &original);
        memcpy(bytes, whole.at, at + 1);
        memcpy(bytes + at + 1, whole.at + at, whole.len - at);
        check_part((struct span) { bytes, whole.len + 1 }, &original);
    }
    buffer_free(&all);
    free(bytes);
}

/* Reads standard input into memory that is writable, because sign() writes into it. */
static struct span read_input(void)
{
    struct buffer in = { 0 };
    for (;;) {
        char *at = buffer_reserve(&in, 65536);
        check(at != NULL, "the driver can allocate memory");
        size_t n = fread(at, 1, 65536, stdin);
        if (n == 0)
            return (struct span) { in.at, in.len };
        in.len += n;
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc == 2 ? argv[1] : "";
    if (strcmp(mode, "read") != 0 && strcmp(mode, "sweep") != 0) {
        fputs("usage: journal read|sweep <JOURNAL\n", stderr);
        return 2;
    }
    struct span input = read_input();
    make_folder();
    sign(span_bytes(input), input.len);
    if (strcmp(mode, "read") == 0) {
        struct buffer read = check_journal(input, NULL, true);
        fwrite(read.at, 1, read.len, stdout);
        buffer_free(&read);
    } else {
        sweep(input);
    }
    free(span_bytes(input));
    return 0;
}

#endif
