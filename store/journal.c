/* journal.c - the hub on disk: append, replay, recover, compact.
 *
 * The file is good up to `size`; everything this file does keeps that true:
 *  - A batch is written at `size` and synced, and only then counts. (One write from one buffer: a
 *    copy costs nothing beside a sync, and a writev of a thousand pieces would come in parts.)
 *  - If that fails, the file is cut back to `size`: what was refused must not come back.
 *  - After a failed sync nobody knows what is on the disk, and a second sync may falsely succeed
 *    (the kernel has dropped the pages). The file is then broken: no message is taken until it has
 *    been written anew from the rings.
 *  - Compaction writes a second file and renames it over the first when both say the same.
 *
 * Writing anew is done by forked children, which see the rings as they were at the fork:
 *
 *      parent   ── fork ────────────── fork ──────── rename
 *      journal  ==========|===========|======|         the parent goes on appending
 *      child 1            rings ─► .new
 *      child 2                        what was appended since ─► .new
 *
 * When so little is missing that it costs nothing, the parent adds it itself and renames. */

#include "store/journal.h"

#include "base/crc32.h"
#include "base/log.h"
#include "base/print.h"
#include "host/options.h"
#include "hub/room.h"
#include "hub/rules.h"
#include "json.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h> /* rename(2) */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef DEBUG
enum { COMPACT_MIN_BYTES = 65536 };
#else
enum { COMPACT_MIN_BYTES = 2 << 20 };
#endif

enum {
    REMAINDER_BYTES = 256 << 10, /* what the parent copies by itself at the end of a compaction */
    CHILD_SYNC_BYTES = 1 << 20,  /* a child syncs so often: a long queue would delay the parent's */
    RETRY_MS = 1000,             /* between two attempts to get out of trouble */
    COMPACT_RETRY_MS = 60000,    /* after a compaction that failed */
    CRC_DIGITS = 8,
    CHILD_JOURNAL = 3, /* the child's only descriptors but the standard ones */
    CHILD_FILE = 4,
};

enum trouble { TROUBLE_NONE, TROUBLE_FULL, TROUBLE_WRITE, TROUBLE_BROKEN };

struct journal {
    struct hub *hub;
    char *path, *new_path, *lock_path;
    int fd, lock, folder;
    bool sync;
    enum trouble trouble;
    uint64_t size;      /* up to here the file is good */
    uint64_t compacted; /* what it had after the last compaction */
    bool damaged;       /* there is a bad stretch in it: to be written anew */
    pid_t child;        /* writes the new file; 0: none */
    uint64_t copied;    /* up to here the journal is in the new file, when the child is done */
    int64_t mono_ms;
    int64_t retry_ms;   /* when to try a disk that was full again */
    int64_t compact_ms; /* when to try a compaction that failed again */
    struct buffer batch;
};

/* ==== Records ================================================================================ */

static const char *const kind_names[] = { "chat", "text", "json" };

/* Begins a record; record_end fills in its CRC. */
static size_t record_begin(struct buffer *out)
{
    size_t begin = out->len;
    buffer_add(out, SPAN(":00000000 {"));
    return begin;
}

static void record_end(struct buffer *out, size_t begin)
{
    size_t covered = begin + 1 + CRC_DIGITS;
    if (out->failed)
        return;
    uint32_t crc = crc32(0, (struct span) { out->at + covered, out->len - covered });
    for (size_t i = CRC_DIGITS; i > 0; i--, crc >>= 4)
        out->at[begin + i] = "0123456789abcdef"[crc & 15];
}

static void add_message(struct buffer *out, struct span room, enum message_kind kind,
    struct span key, struct span payload)
{
    size_t begin = record_begin(out);
    buffer_add(out, SPAN("\"room\":"));
    json_string_add(out, room);
    buffer_printf(out, ",\"kind\":\"%s\"", kind_names[kind]);
    if (key.len > 0) {
        buffer_add(out, SPAN(",\"key\":"));
        json_string_add(out, key);
    }
    buffer_add(out, SPAN("}\n"));
    buffer_add(out, payload);
    record_end(out, begin);
}

static void add_hub_state(struct buffer *out, const struct hub *hub)
{
    size_t begin = record_begin(out);
    buffer_add(out, SPAN("\"start\":"));
    id_add_json(out, &hub->start);
    buffer_add(out, SPAN(",\"last\":"));
    id_add_json(out, &hub->last);
    buffer_add(out, SPAN(",\"lost\":"));
    id_add_json(out, &hub->lost);
    buffer_add(out, SPAN("}\n\n"));
    record_end(out, begin);
}

static void add_room_state(struct buffer *out, const struct room *room)
{
    size_t begin = record_begin(out);
    buffer_add(out, SPAN("\"room\":"));
    json_string_add(out, room_name(room));
    buffer_add(out, SPAN(",\"lost\":"));
    id_add_json(out, &room->lost);
    buffer_add(out, SPAN("}\n\n"));
    record_end(out, begin);
}

/* The empty line that ends the record at `s`: its first LF. Only the first line of a record begins
 * with a colon, so the search ends at the next one that does; NULL then. */
static const char *record_end_of(struct span s)
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

/* Where the record that begins at `s` ends, when it is whole and its CRC is right; else 0. */
static size_t whole_record(struct span s)
{
    static const char digits[] = "0123456789abcdef";
    uint32_t crc = 0;
    if (s.len < 1 + CRC_DIGITS + 2 || s.at[0] != ':' || s.at[1 + CRC_DIGITS + 1] != '{')
        return 0;
    for (size_t i = 1; i <= CRC_DIGITS; i++) {
        const char *digit = s.at[i] != '\0' ? strchr(digits, s.at[i]) : NULL;
        if (digit == NULL)
            return 0;
        crc = crc << 4 | (uint32_t)(digit - digits);
    }
    const char *end = record_end_of(s);
    if (end == NULL)
        return 0;
    const char *covered = s.at + 1 + CRC_DIGITS;
    return crc32(0, (struct span) { covered, (size_t)(end + 2 - covered) }) == crc
               ? (size_t)(end + 2 - s.at)
               : 0;
}

/* Writes all of it at `offset`. Returns 0 or the errno. */
static int write_all(int fd, struct span bytes, uint64_t offset)
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

__attribute__((noreturn)) static void fail(const char *path, const char *why)
{
    print_line(STDERR_FILENO, "ssechat: --journal %s: %s\n", path, why);
    exit(EXIT_SYSTEM);
}

/* ==== Replay ================================================================================= */

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

static bool id_of(const struct json_field *field, struct id *id)
{
    return field->type == JSON_STRING &&
           id_parse((struct span) { field->raw.at + 1, field->raw.len - 2 }, id) &&
           is_possible(*id);
}

/* The kind that a name stands for; -1 when it is none. */
static int kind_of(const struct json_field *field)
{
    for (int kind = 0; kind <= MESSAGE_JSON && field->type == JSON_STRING; kind++)
        if (span_equal(
                (struct span) { field->raw.at + 1, field->raw.len - 2 }, span_of(kind_names[kind])))
            return kind;
    return -1;
}

/* Puts what a whole record says into the hub. False when it makes no sense, or there is no memory:
 * *message tells whether it was one. */
static bool replay_record(struct hub *hub, struct span record, bool *message)
{
    enum { START, LAST, LOST, ROOM, KIND, KEY, COUNT };
    struct json_field f[COUNT] = { { .name = SPAN("start") }, { .name = SPAN("last") },
        { .name = SPAN("lost") }, { .name = SPAN("room") }, { .name = SPAN("kind") },
        { .name = SPAN("key") } };
    char room_bytes[JSON_ESCAPED_MAX(ROOM_MAX_BYTES)], key_bytes[JSON_ESCAPED_MAX(KEY_MAX_BYTES)];
    struct span comment, id_line, payload = record;
    struct id start, last, lost, id;
    span_split(&payload, '\n', &comment);
    comment.at += 1 + CRC_DIGITS + 1;
    comment.len -= 1 + CRC_DIGITS + 1;
    if (json_find(comment, f, COUNT) != NULL)
        return false;
    struct span room = text_of(&f[ROOM], room_bytes, sizeof room_bytes);
    *message = f[KIND].type != JSON_ABSENT;
    if (id_of(&f[START], &start) && id_of(&f[LAST], &last) && id_of(&f[LOST], &lost)) {
        hub_restore_state(hub, start, last, lost);
        return true;
    }
    if (rule_room(room) != NULL)
        return false;
    if (!*message) {
        if (!id_of(&f[LOST], &lost))
            return false;
        hub_restore_lost(hub, room, lost);
        return true;
    }
    struct span rest = payload, key = text_of(&f[KEY], key_bytes, sizeof key_bytes);
    int kind = kind_of(&f[KIND]);
    if (kind < 0 || !span_split(&rest, '\n', &id_line) || id_line.len < 4 ||
        memcmp(id_line.at, "id: ", 4) != 0 ||
        !id_parse((struct span) { id_line.at + 4, id_line.len - 4 }, &id) || !is_possible(id))
        return false;
    return hub_restore(hub, room, id, (enum message_kind)kind, key, payload);
}

/* Where, after `from`, the next whole record begins; s.len when there is none. A record begins a
 * line, or stands one byte into it, when the line end in front of it was the byte that was hit. It
 * is not looked for anywhere else: what people wrote into a message must never be taken for one. */
static size_t next_record(struct span s, size_t from)
{
    while (from < s.len) {
        const char *line_end = memchr(s.at + from, '\n', s.len - from);
        if (line_end == NULL)
            break;
        from = (size_t)(line_end + 1 - s.at);
        for (size_t begin = from; begin < from + 2 && begin < s.len; begin++)
            if (whole_record((struct span) { s.at + begin, s.len - begin }) > 0)
                return begin;
    }
    return s.len;
}

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
        kept = write_all(fd, stretch, 0) == 0 && fdatasync(fd) == 0;
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
        size_t len = whole_record((struct span) { s.at + at, s.len - at });
        bool message = false;
        if (len > 0 && replay_record(j->hub, (struct span) { s.at + at, len }, &message)) {
            *messages += message;
            at += len;
            continue;
        }
        size_t next = len > 0 ? at + len : next_record(s, at);
        bool torn = next == s.len && !has_end((struct span) { s.at + at, s.len - at });
        if (torn)
            return at;
        bool kept = keep_aside(j, (struct span) { s.at + at, next - at }, at);
        if (!kept && next == s.len)
            fail(j->path, "its end is damaged, and there is no room to put that aside");
        hub_restore_damage(j->hub);
        j->damaged |= kept; /* else it stays where it is */
        if (next == s.len)
            return at;
        at = next;
    }
    return at;
}

/* ==== Opening ================================================================================ */

/* "PATH.suffix". */
static char *path_with(const char *path, const char *suffix)
{
    size_t len = strlen(path) + strlen(suffix) + 1;
    char *with = malloc(len);
    if (with == NULL)
        fail(path, strerror(errno));
    print_into(with, len, "%s%s", path, suffix);
    return with;
}

/* The lock has a file of its own: compaction puts another file in the journal's place. It is a
 * record lock (fcntl), because a child does not inherit those: were the parent killed, a child
 * could hold any other a moment longer, and the next start would fail. */
static void take_lock(struct journal *j)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    j->lock = open(j->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->lock < 0)
        fail(j->path, strerror(errno));
    if (fcntl(j->lock, F_SETLK, &lock) < 0)
        fail(j->path, errno == EAGAIN || errno == EACCES
                          ? "another ssechat uses this journal; each needs its own"
                          : strerror(errno));
}

/* A folder or a device is refused before anything is made beside it. */
static void check_path(const char *path)
{
    struct stat st;
    errno = 0;
    if (stat(path, &st) < 0 ? errno != ENOENT : !S_ISREG(st.st_mode))
        fail(path, errno != 0 ? strerror(errno) : "it is no regular file");
}

/* The path without links, so that one journal has one name, one lock, and a compaction that puts
 * the new file where the old one is. The file is made if it is not there yet. */
static char *real_path(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char *real = fd >= 0 ? realpath(path, NULL) : NULL;
    if (real == NULL)
        fail(path, strerror(errno));
    close(fd);
    return real;
}

static void open_file(struct journal *j)
{
    struct stat st;
    j->fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->fd < 0 || fstat(j->fd, &st) < 0 || fchmod(j->fd, 0600) < 0)
        fail(j->path, strerror(errno));
    j->size = (uint64_t)st.st_size;
    char *copy = path_with(j->path, "");
    j->folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (j->folder < 0)
        fail(j->path, strerror(errno));
    unlink(j->new_path); /* of a compaction that did not get to its end */
}

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Reads the file into the hub. What is torn at its end is written over. */
static void load(struct journal *j)
{
    unsigned long long messages = 0;
    int64_t begin_ms = clock_ms();
    hub_restore_begin(j->hub);
    if (j->size > 0) {
        void *bytes = mmap(NULL, j->size, PROT_READ, MAP_PRIVATE, j->fd, 0);
        if (bytes == MAP_FAILED)
            fail(j->path, strerror(errno));
        size_t good = replay(j, (struct span) { bytes, j->size }, &messages);
        munmap(bytes, j->size);
        if (good < j->size)
            log_line(LOG_WARN, "journal cut=%llu offset=%zu reason=\"torn at the end\"",
                (unsigned long long)(j->size - good), good);
        j->size = good;
    }
    if (!hub_restored(j->hub))
        fail(j->path, "there is not enough memory for what it holds");
    log_line(LOG_INFO, "journal messages=%llu bytes=%llu ms=%lld", messages,
        (unsigned long long)j->size, (long long)(clock_ms() - begin_ms));
}

/* ==== Writing ================================================================================ */

static bool is_full(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

static void set_trouble(struct journal *j, enum trouble trouble, int error)
{
    if (trouble != j->trouble && trouble != TROUBLE_NONE)
        log_line(LOG_ERROR, "journal trouble=\"%s\" reason=\"%s\"",
            trouble == TROUBLE_FULL     ? "full"
            : trouble == TROUBLE_BROKEN ? "sync failed"
                                        : "write failed",
            strerror(error));
    if (trouble == TROUBLE_NONE && j->trouble != TROUBLE_NONE)
        log_line(LOG_INFO, "journal recovered=1");
    if (trouble != TROUBLE_NONE)
        j->retry_ms = j->mono_ms + RETRY_MS;
    if (trouble ==
        TROUBLE_BROKEN) /* nobody can post: a compaction that failed may have set it later */
        j->compact_ms = j->mono_ms + RETRY_MS;
    j->trouble = trouble;
}

/* Appends and syncs. Returns 0 or the errno, and then nothing was appended. */
static int append(struct journal *j, struct span bytes)
{
    int error = write_all(j->fd, bytes, j->size);
    bool cut = error != 0;
    if (error == 0 && j->sync && fdatasync(j->fd) < 0)
        error = errno;
    if (error == 0) {
        j->size += bytes.len;
        set_trouble(j, TROUBLE_NONE, 0);
        return 0;
    }
    if (ftruncate(j->fd, (off_t)j->size) < 0)
        cut = false; /* bytes that were refused are still in the file */
    set_trouble(j, !cut ? TROUBLE_BROKEN : is_full(error) ? TROUBLE_FULL : TROUBLE_WRITE, error);
    return error;
}

enum stored journal_store(struct journal *j, const struct publication *batch)
{
    if (j->trouble == TROUBLE_BROKEN)
        return STORED_FAILED;
    struct buffer *out = &j->batch;
    out->len = 0;
    for (const struct publication *p = batch; p != NULL; p = p->next) {
        struct span key = { NULL, 0 };
        if (p->key != NULL)
            key = (struct span) { p->key->bytes, p->key->len };
        add_message(out, room_name(p->room), p->kind, key,
            (struct span) { p->frame + FRAME_LEAD_BYTES, p->len - FRAME_ENVELOPE_BYTES });
    }
    if (out->failed) {
        out->failed = false;
        return STORED_FAILED;
    }
    int error = append(j, buffer_span(out));
    return error == 0 ? STORED : is_full(error) ? STORED_FULL : STORED_FAILED;
}

const char *journal_trouble(const struct journal *j)
{
    switch (j->trouble) {
    case TROUBLE_FULL:
        return "the journal's disk is full";
    case TROUBLE_WRITE:
        return "the journal cannot be written";
    case TROUBLE_BROKEN:
        return "the journal failed and is being written anew";
    case TROUBLE_NONE:
        break;
    }
    return NULL;
}

/* ==== Compaction ============================================================================= */

/* What a child has to say: written piece by piece, synced now and then. */
struct writer {
    struct buffer bytes;
    uint64_t offset, synced;
    int fd;
};

/* Exits on an error: the parent removes the file and tries again later. */
static void writer_flush(struct writer *w, bool sync)
{
    if (w->bytes.failed || write_all(w->fd, buffer_span(&w->bytes), w->offset) != 0)
        _exit(EXIT_SYSTEM);
    w->offset += w->bytes.len;
    w->bytes.len = 0;
    if (!sync && w->offset - w->synced < CHILD_SYNC_BYTES)
        return;
    if (fdatasync(w->fd) < 0)
        _exit(EXIT_SYSTEM);
    w->synced = w->offset;
}

static void write_room(struct writer *w, const struct room *room)
{
    const struct ring *ring = &room->ring;
    struct buffer payload = { 0 };
    add_room_state(&w->bytes, room);
    for (uint64_t n = ring->first; n < ring->next; n++) {
        const struct entry *e = ring_entry(ring, n);
        struct span key = { NULL, 0 };
        if (e->key != NULL)
            key = (struct span) { e->key->bytes, e->key->len };
        payload.len = 0;
        ring_copy(
            ring, e->offset + FRAME_LEAD_BYTES, ring_end(ring, n) - FRAME_TRAIL_BYTES, &payload);
        w->bytes.failed |= payload.failed;
        add_message(
            &w->bytes, room_name(room), (enum message_kind)e->kind, key, buffer_span(&payload));
        if (w->bytes.len > CHILD_SYNC_BYTES / 4)
            writer_flush(w, false);
    }
    buffer_free(&payload);
}

static void write_hub(struct writer *w, const struct hub *hub)
{
    add_hub_state(&w->bytes, hub);
    for (struct node *n = NULL; (n = table_walk(&hub->rooms, n)) != NULL;)
        write_room(w, (struct room *)(void *)n);
}

/* Copies the journal from `from` to `to`. */
static void write_range(struct writer *w, int fd, uint64_t from, uint64_t to)
{
    while (from < to) {
        size_t want = to - from < CHILD_SYNC_BYTES / 4 ? (size_t)(to - from) : CHILD_SYNC_BYTES / 4;
        char *at = buffer_reserve(&w->bytes, want);
        ssize_t n = at != NULL ? pread(fd, at, want, (off_t)from) : -1;
        if (n <= 0)
            _exit(EXIT_SYSTEM);
        w->bytes.len = (size_t)n;
        from += (uint64_t)n;
        writer_flush(w, false);
    }
}

/* A child keeps no descriptor but its two files, and ends with its parent. */
static void become_child(pid_t parent, int journal, int file)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_SYSTEM);
    dup2(journal, CHILD_JOURNAL);
    dup2(file, CHILD_FILE);
    if (syscall(SYS_close_range, CHILD_FILE + 1U, ~0U, 0U) < 0)
        for (int fd = CHILD_FILE + 1; fd < getdtablesize(); fd++)
            close(fd);
}

/* Waits until the child has closed its copies of our descriptors, the pipe's among them: a socket
 * that we close while somebody still has a copy would stay in the epoll set, and be reported for a
 * client that is gone. It takes as long as the fork itself. */
static void await_closed(int pipe_end)
{
    char byte;
    while (read(pipe_end, &byte, 1) < 0 && errno == EINTR)
        continue;
}

/* What the child does: writes the rings, or (`more`) adds what the journal got since. */
__attribute__((noreturn)) static void run_child(const struct journal *j, off_t end, bool more)
{
    struct writer w = { .fd = CHILD_FILE, .offset = (uint64_t)end, .synced = (uint64_t)end };
    if (more)
        write_range(&w, CHILD_JOURNAL, j->copied, j->size);
    else
        write_hub(&w, j->hub);
    writer_flush(&w, true);
    _exit(0);
}

static bool start_child(struct journal *j, bool more)
{
    int flags = O_RDWR | O_CREAT | O_CLOEXEC | (more ? 0 : O_TRUNC), ends[2] = { -1, -1 };
    int file = open(j->new_path, flags, 0600);
    off_t end = file >= 0 ? lseek(file, 0, SEEK_END) : -1;
    /* Copies above the two numbers that the child puts them at. */
    int journal = fcntl(j->fd, F_DUPFD_CLOEXEC, CHILD_FILE + 1);
    int target = fcntl(file, F_DUPFD_CLOEXEC, CHILD_FILE + 1);
    bool ready = end >= 0 && journal >= 0 && target >= 0 && pipe2(ends, O_CLOEXEC) == 0;
    pid_t parent = getpid(), child = ready ? fork() : -1;
    if (child == 0) {
        become_child(parent, journal, target);
        run_child(j, end, more);
    }
    int copies[] = { ends[1], file, journal, target };
    for (size_t i = 0; i < sizeof copies / sizeof copies[0]; i++)
        if (copies[i] >= 0)
            close(copies[i]);
    if (child > 0)
        await_closed(ends[0]);
    if (ends[0] >= 0)
        close(ends[0]);
    if (child < 0)
        return false;
    j->child = child;
    j->copied = j->size;
    return true;
}

/* The last step: adds the rest and puts the new file in the place of the old one. */
static bool replace(struct journal *j)
{
    struct writer w = { .fd = open(j->new_path, O_RDWR | O_CLOEXEC) };
    off_t end = w.fd >= 0 ? lseek(w.fd, 0, SEEK_END) : -1;
    char *rest = malloc(REMAINDER_BYTES);
    size_t len = (size_t)(j->size - j->copied);
    must(len <= REMAINDER_BYTES);
    bool good = end >= 0 && rest != NULL &&
                pread(j->fd, rest, len, (off_t)j->copied) == (ssize_t)len &&
                write_all(w.fd, (struct span) { rest, len }, (uint64_t)end) == 0 &&
                fdatasync(w.fd) == 0 && rename(j->new_path, j->path) == 0;
    free(rest);
    if (!good) {
        if (w.fd >= 0)
            close(w.fd);
        return false;
    }
    uint64_t size = (uint64_t)end + len;
    int error = fsync(j->folder) < 0 ? errno : 0;
    log_line(LOG_INFO, "journal compacted=1 before=%llu after=%llu", (unsigned long long)j->size,
        (unsigned long long)size);
    close(j->fd);
    j->fd = w.fd;
    j->size = size;
    j->compacted = j->size;
    j->damaged = false;
    /* Without the folder's sync a power cut may bring the old file back: once more, then. */
    set_trouble(j, error != 0 ? TROUBLE_BROKEN : TROUBLE_NONE, error);
    return true;
}

static void give_up(struct journal *j)
{
    log_line(LOG_WARN, "journal compacted=0 reason=\"%s\"", "the new file could not be written");
    unlink(j->new_path);
    j->compact_ms = j->mono_ms + (j->trouble == TROUBLE_BROKEN ? RETRY_MS : COMPACT_RETRY_MS);
}

void journal_reap(struct journal *j)
{
    int status;
    pid_t ended = j->child != 0 ? waitpid(j->child, &status, WNOHANG) : 0;
    if (ended == 0)
        return;
    j->child = 0;
    bool good = ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (good && j->size - j->copied > REMAINDER_BYTES)
        good = start_child(j, true);
    else if (good)
        good = replace(j);
    if (!good)
        give_up(j);
}

static bool wants_compaction(const struct journal *j)
{
    return j->trouble == TROUBLE_BROKEN || j->damaged ||
           (j->size > COMPACT_MIN_BYTES && j->size / 2 > j->hub->held &&
               j->size / 2 > j->compacted);
}

/* Appends what the rings cannot tell: after a start, and to try a disk that was full. After damage
 * it is also what each room has lost, until the file is written anew. False without memory. */
static bool probe(struct journal *j)
{
    struct buffer *out = &j->batch;
    out->len = 0;
    j->retry_ms = j->mono_ms + RETRY_MS;
    add_hub_state(out, j->hub);
    for (struct node *n = NULL; j->damaged && (n = table_walk(&j->hub->rooms, n)) != NULL;)
        add_room_state(out, (struct room *)(void *)n);
    bool whole = !out->failed;
    if (whole)
        append(j, buffer_span(out));
    out->failed = false;
    return whole;
}

static bool is_probing(const struct journal *j)
{
    return j->trouble == TROUBLE_FULL || j->trouble == TROUBLE_WRITE;
}

int64_t journal_next_ms(const struct journal *j)
{
    if (is_probing(j))
        return j->retry_ms;
    return j->child == 0 && wants_compaction(j) ? j->compact_ms : INT64_MAX;
}

void journal_tick(struct journal *j, int64_t mono_ms)
{
    j->mono_ms = mono_ms;
    if (journal_next_ms(j) > mono_ms)
        return;
    if (is_probing(j))
        probe(j);
    else if (!start_child(j, false))
        give_up(j);
}

struct journal *journal_open(const char *path, bool sync, struct hub *hub)
{
    struct journal *j = malloc(sizeof *j);
    if (j == NULL)
        fail(path, strerror(errno));
    check_path(path);
    *j = (struct journal) { .hub = hub, .path = real_path(path), .sync = sync };
    j->new_path = path_with(j->path, ".new");
    j->lock_path = path_with(j->path, ".lock");
    take_lock(j);
    open_file(j);
    load(j);
    if (!probe(j))
        fail(path, "there is not enough memory");
    if (j->trouble == TROUBLE_NONE &&
        (ftruncate(j->fd, (off_t)j->size) < 0 || fsync(j->folder) < 0))
        fail(path, strerror(errno));
    return j;
}

void journal_close(struct journal *j)
{
    if (j->child != 0) {
        kill(j->child, SIGKILL);
        waitpid(j->child, NULL, 0);
        unlink(j->new_path);
    }
    close(j->fd);
    close(j->folder);
    close(j->lock);
    free(j->path);
    free(j->new_path);
    free(j->lock_path);
    buffer_free(&j->batch);
    free(j);
}
