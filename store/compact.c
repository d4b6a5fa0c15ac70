/* compact.c - writes a journal again from the rings, and puts it in the place of the old one.
 *
 * That is done by forked children, which see the rings as they were at the fork:
 *
 *      parent   ── fork ────────────── fork ──────── rename
 *      journal  ==========|===========|======|         the parent goes on appending
 *      child 1            rings ─► .new
 *      child 2                        what was appended since ─► .new
 *
 * When so little is missing that it costs nothing, the parent adds it itself and renames.
 *
 * A child holds the only write end of a pipe; its end closes the pipe, and that is how the parent's
 * loop hears of it. */

#include "store/compact.h"

#include "base/log.h"
#include "hub/room.h"
#include "store/record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h> /* rename(2) */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436 /* the same on every architecture; for headers before Linux 5.9 */
#endif

#ifdef DEBUG
enum { COMPACT_MIN_BYTES = 65536 };
#else
enum { COMPACT_MIN_BYTES = 2 << 20 };
#endif

enum {
    REMAINDER_BYTES = 256 << 10, /* what the parent copies by itself at the end */
    CHILD_SYNC_BYTES = 1 << 20,  /* a child syncs so often: a long queue would delay the parent's */
    COMPACT_RETRY_MS = 60000,    /* after a compaction that failed */
    CHILD_JOURNAL = 3,           /* the child's only descriptors but the standard ones */
    CHILD_FILE = 4,
    CHILD_ALIVE = 5,
};

/* ==== The child ============================================================================== */

/* What a child has to say: written piece by piece, synced now and then. */
struct writer {
    struct buffer bytes;
    uint64_t offset, synced;
    int fd;
};

/* Exits on an error: the parent removes the file and tries again later. */
static void writer_flush(struct writer *w, bool sync)
{
    if (w->bytes.failed || record_write(w->fd, buffer_span(&w->bytes), w->offset) != 0)
        _exit(EXIT_SYSTEM);
    w->offset += w->bytes.len;
    buffer_clear(&w->bytes);
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
    record_room(&w->bytes, room);
    for (uint64_t n = ring->first; n < ring->next; n++) {
        const struct entry *e = ring_entry(ring, n);
        struct span key = { NULL, 0 };
        if (e->key != NULL)
            key = (struct span) { e->key->bytes, e->key->len };
        buffer_clear(&payload);
        ring_copy(
            ring, e->offset + FRAME_LEAD_BYTES, ring_end(ring, n) - FRAME_TRAIL_BYTES, &payload);
        w->bytes.failed |= payload.failed;
        record_message(
            &w->bytes, room_name(room), (enum message_kind)e->kind, key, buffer_span(&payload));
        if (w->bytes.len > CHILD_SYNC_BYTES / 4)
            writer_flush(w, false);
    }
    buffer_free(&payload);
}

static void write_hub(struct writer *w, const struct hub *hub)
{
    record_hub(&w->bytes, hub);
    for (struct node *n = NULL; (n = table_walk(&hub->rooms, n)) != NULL;)
        write_room(w, CONTAINER(n, struct room, node));
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

/* A child keeps no descriptor but its two files and its end of the pipe, and ends with its parent.
 */
static void become_child(pid_t parent, int journal, int file, int alive)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_SYSTEM);
    dup2(journal, CHILD_JOURNAL);
    dup2(file, CHILD_FILE);
    dup2(alive, CHILD_ALIVE);
    if (syscall(SYS_close_range, CHILD_ALIVE + 1U, ~0U, 0U) < 0)
        for (int fd = CHILD_ALIVE + 1; fd < getdtablesize(); fd++)
            close(fd);
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

/* ==== The parent ============================================================================= */

/* Descriptors for a child: -1 for what could not be had. */
struct handover {
    int journal, file, alive; /* above the numbers that the child puts them at */
    int closed[2];            /* a pipe: the child has no copies of other descriptors any more */
    int ended[2];             /* a pipe: the child has ended */
};

static int copy_for_child(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, CHILD_ALIVE + 1);
}

static struct handover prepare_child(const struct journal *j, int file)
{
    struct handover h = { .closed = { -1, -1 }, .ended = { -1, -1 } };
    bool piped = pipe2(h.closed, O_CLOEXEC) == 0 && pipe2(h.ended, O_CLOEXEC) == 0;
    h.journal = copy_for_child(j->fd);
    h.file = copy_for_child(file);
    h.alive = piped ? copy_for_child(h.ended[1]) : -1;
    return h;
}

static void close_all(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

/* Waits until the child has closed its copies of the parent's descriptors: a socket that the parent
 * closes while a child has a copy would stay in the epoll set, and be reported for a client that is
 * gone. It takes as long as the fork itself. */
static void await_closed(int pipe_end)
{
    char byte;
    while (read(pipe_end, &byte, 1) < 0 && errno == EINTR)
        continue;
}

/* The pipe is closed before a process can be waited for, but not much before. */
static bool end_child(struct journal *j)
{
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(j->child, &status, 0)) < 0 && errno == EINTR)
        continue;
    j->child = 0;
    close(j->child_ended);
    return ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void compact_stop(struct journal *j)
{
    if (j->child == 0)
        return;
    kill(j->child, SIGKILL);
    end_child(j);
    unlink(j->new_path);
}

static bool watch_child(struct journal *j, pid_t child, int ended)
{
    struct epoll_event event = { .events = EPOLLIN };
    j->child = child;
    j->child_ended = ended;
    j->copied = j->size;
    if (epoll_ctl(j->keeper.watch, EPOLL_CTL_ADD, ended, &event) == 0)
        return true;
    compact_stop(j);
    return false;
}

static bool start_child(struct journal *j, bool more)
{
    int file = open(j->new_path, O_RDWR | O_CREAT | O_CLOEXEC | (more ? 0 : O_TRUNC), 0600);
    off_t end = file >= 0 ? lseek(file, 0, SEEK_END) : -1;
    struct handover h = prepare_child(j, file);
    bool ready = end >= 0 && h.journal >= 0 && h.file >= 0 && h.alive >= 0;
    pid_t parent = getpid(), child = ready ? fork() : -1;
    if (child == 0) {
        become_child(parent, h.journal, h.file, h.alive);
        run_child(j, end, more);
    }
    close_all((int[]) { file, h.journal, h.file, h.alive, h.closed[1], h.ended[1] }, 6);
    if (child > 0)
        await_closed(h.closed[0]);
    close_all((int[]) { h.closed[0], child < 0 ? h.ended[0] : -1 }, 2);
    return child > 0 && watch_child(j, child, h.ended[0]);
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
                record_write(w.fd, (struct span) { rest, len }, (uint64_t)end) == 0 &&
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
    trouble_set(j, error != 0 ? TROUBLE_BROKEN : TROUBLE_NONE, error);
    return true;
}

static void give_up(struct journal *j)
{
    log_line(LOG_WARN, "journal compacted=0 reason=\"%s\"", "the new file could not be written");
    unlink(j->new_path);
    j->compact_ms =
        j->mono_ms + (j->trouble == TROUBLE_BROKEN ? TROUBLE_RETRY_MS : COMPACT_RETRY_MS);
}

void compact_start(struct journal *j)
{
    if (!start_child(j, false))
        give_up(j);
}

void compact_continue(struct journal *j)
{
    bool good = end_child(j);
    if (good && j->size - j->copied > REMAINDER_BYTES)
        good = start_child(j, true);
    else if (good)
        good = replace(j);
    if (!good)
        give_up(j);
}

bool compact_is_due(const struct journal *j)
{
    return j->trouble == TROUBLE_BROKEN || j->damaged ||
           (j->size > COMPACT_MIN_BYTES && j->size / 2 > j->hub->held &&
               j->size / 2 > j->compacted);
}
