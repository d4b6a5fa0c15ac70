/* journal.c - a driver for the reader of journals (store/): a journal comes on standard input.
 *
 *     journal read     prints what is read from it: `damaged` or `whole`, then each room with its
 *                      messages
 *     journal sweep    prints nothing: the same journal cut everywhere, with each byte changed,
 *                      overwritten with zeros, taken out and doubled; only messages of the whole
 *                      journal may be read from any of these
 *
 * A record whose CRC stands as 00000000 is signed first, so that journals can be written by hand
 * and the fuzzer gets past the CRC.
 *
 * What matters is the file that a recovery leaves behind. So the journal is opened, a message is
 * published, and it is closed; then it is opened again, compacted if it was damaged, and opened a
 * third time. Each time there must be the same rooms with the same messages and keys, ids must
 * grow, and a damaged stretch is put aside only once. The order of fsync and rename, and crashes in
 * between, are for the suites with the real server: journal.bats and crash.bats.
 *
 * A broken promise ends in abort. With -DFUZZ the same is a libFuzzer target. Everything happens in
 * a folder of its own in memory (/dev/shm), which is removed at the end. */

#include "store/journal.h"
#include "base/crc32.h"
#include "base/log.h"
#include "base/print.h"
#include "hub/room.h"
#include "hub/rules.h"
#include "json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    NOW_MS_STEP = 1000, /* the most rounds that a compaction may take */
    SWEEP_ZEROS = 16,   /* bytes that are overwritten at a time */
};

static const uint64_t now_ms = 1800000000000; /* 2027: the hub's clock stands still */
static char folder[] = "/dev/shm/ssechat-journal-XXXXXX";
static char path[sizeof folder + 32];
static bool sweeping;

static void remove_folder(void);

/* Not driver.h's: this one leaves no folder behind. */
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

/* Once for a process, so that a fuzzer makes one folder for all its inputs. */
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

/* Where the record at `s` ends: behind its first empty line. 0 when it has none. */
static size_t record_len(struct span s)
{
    const char *end = memmem(s.at, s.len, "\n\n", 2);
    return end != NULL ? (size_t)(end + 2 - s.at) : 0;
}

/* Finds the places at a beginning of a line where an unsigned record may stand, and writes the CRC
 * of the record into its digits. */
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

/* No stream ever joins here, so these are never called. */

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

/* The callback of the one POST that `publish` makes. */
static void take_receipt(struct waiter *waiter, enum settled settled, const struct receipt *receipt)
{
    (void)waiter;
    check(settled == SETTLED_SAFE, "a published message is stored");
    published = *receipt;
}

/* A history longer than the inputs here, and rooms that never expire. */
static struct hub_settings settings = {
    .history = 1 << 20,
    .room_ttl_ms = INT64_MAX / 4,
};

/* A new hub that has read the journal. */
static struct hub *open_hub(struct keeper **journal)
{
    struct hub *hub =
        hub_new(&settings, &(struct stream_owner) { no_stream, no_overrun }, 0, now_ms);
    check(hub != NULL, "the driver can allocate memory");
    *journal = journal_open(&(struct journal_settings) { .path = path }, hub);
    check((*journal)->trouble(*journal) == NULL, "an opened journal can be written");
    return hub;
}

static void close_hub(struct hub *hub, struct keeper *journal)
{
    journal->close(journal);
    hub_free(hub);
}

/* The invariants of a restored room: what all other code relies on, whatever the file says. */
static void check_room(const struct hub *hub, const struct room *room)
{
    const struct ring *ring = &room->ring;
    check(rule_room(room_name(room)) == NULL, "a restored room has an allowed name");
    check(!ring_empty(ring), "a restored room holds a message");
    check(ring->head - ring->tail <= settings.history, "a room holds no more than it may");
    for (uint64_t n = ring->first; n < ring->next; n++) {
        const struct entry *e = ring_entry(ring, n);
        check(n == ring->first || id_before(ring_entry(ring, n - 1)->id, e->id),
            "ids grow within a room");
        check(!id_before(hub->last, e->id), "no id is newer than the last one given");
        check(!id_before(hub->newest, e->id), "no id is newer than the newest");
        check(ring_end(ring, n) - e->offset > FRAME_ENVELOPE_BYTES, "no frame is empty");
        check(e->kind <= MESSAGE_JSON, "an entry has a kind of message");
        check(e->key == NULL ||
                  (e->key->room == room && e->key->number == n && e->key->pending == NULL),
            "a key leads to its message");
    }
}

static bool any_room(const void *reader, struct span room)
{
    (void)reader;
    (void)room;
    return true;
}

/* All rooms, a page of each, and the list of them: nothing that a journal holds may make these
 * crash. */
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

/* A journal that was read must also be writable. The new message's id must be newer than all
 * before, even if the file has ids of the far future. */
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
        return; /* its key is there already, with another message or with this one */
    journal->keep(journal, hub_take_batch(hub));
    check(id_parse(stamp_id(&published.stamp), &id), "a new message has an id");
    check(id_before(last, id), "a new id is newer than all ids before");
    check(id.ms < 253402300800000, "a new id is not later than the year 9999");
}

/* ---- What a hub holds, as text ------------------------------------------------------------ */

/* By name, because a table has no order. */
static int compare_rooms(const void *a, const void *b)
{
    struct span left = room_name(*(const struct room *const *)a);
    struct span right = room_name(*(const struct room *const *)b);
    int order = memcmp(left.at, right.at, left.len < right.len ? left.len : right.len);
    return order != 0 ? order : (left.len > right.len) - (left.len < right.len);
}

/* A line for each message: room, id, kind, the CRC of its frame, and its key. What is printed and
 * what is compared is this. */
static void add_room(struct buffer *out, const struct room *room)
{
    static const char *const kinds[] = { "chat", "text", "json" };
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
        }
        buffer_add(out, SPAN("\n"));
    }
    buffer_free(&frame);
}

/* All messages of a hub, by room. The caller frees it. */
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

/* Has the journal written again, and waits for the child that does it. */
static void compact(struct keeper *journal)
{
    int64_t now = 0;
    while (journal->next_ms(journal) != INT64_MAX) {
        struct pollfd watched = { .fd = journal->watch, .events = POLLIN };
        check(++now < NOW_MS_STEP, "a compaction ends after a bounded number of rounds");
        journal->tick(journal, now);
        check(poll(&watched, 1, -1) == 1, "the end of a compaction's child wakes the keeper");
        journal->ready(journal);
    }
}

/* Opens the file that was left, from which the same must be read as before. Returns whether it was
 * damaged. */
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

/* Whether each line of `some` is in `all`. */
static bool has_lines(struct span all, struct span some)
{
    struct span line;
    while (span_split(&some, '\n', &line))
        if (line.len > 0 && memmem(all.at, all.len, line.at, line.len) == NULL)
            return false;
    return true;
}

/* Reads a journal and checks all promises. With `original` it must not read any line that is not
 * one of those. Returns the messages that were read; in front of them a line that says `damaged` or
 * `whole`, except in a sweep, which compares. The caller frees it. */
static struct buffer check_journal(struct span bytes, const struct span *original, bool compacts)
{
    struct keeper *journal;
    empty_folder(true);
    write_journal(bytes);
    struct hub *hub = open_hub(&journal);
    struct buffer read = messages_of(hub);
    bool damaged = hub->damage;
    unsigned aside = empty_folder(false);
    check(damaged == (aside > 0), "a damaged stretch, and nothing else, is put aside");
    check_hub(hub);
    check(original == NULL || has_lines(*original, buffer_span(&read)),
        "every message that is read was in the whole journal");
    publish(hub, journal);
    check_hub(hub);
    struct buffer before = messages_of(hub);
    close_hub(hub, journal);
    bool again = reopen(&before, compacts);
    check(damaged || !again, "a whole journal is whole a second time");
    check(empty_folder(false) == aside, "a damaged stretch is put aside only once");
    if (compacts)
        check(!reopen(&before, false), "a compacted journal is whole");
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
    if (size > 0)
        memcpy(bytes, data, size);
    sign(bytes, size);
    /* A compaction forks, which is slow: one input in 16 has it. */
    struct buffer read = check_journal((struct span) { bytes, size }, NULL, size % 16 == 0);
    buffer_free(&read);
    free(bytes);
    return 0;
}

#else

/* ---- The sweep ---------------------------------------------------------------------------- */

/* One case of the sweep. */
static void check_part(struct span bytes, const struct span *original)
{
    struct buffer read = check_journal(bytes, original, false);
    buffer_free(&read);
}

/* Each byte, in turn: cut off there, one bit changed, zeros, taken out, doubled. */
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

/* Everything on standard input. It must be writable, because sign() writes into it. */
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
