/* compact.c - log compaction: rewrites a journal from the rings, and replaces the old file.
 *
 * An append-only file grows forever, while the rings drop old messages. Writing the rings to a new
 * file takes time, and the loop must not wait for it, so forked children do it (as in Redis's
 * BGREWRITEAOF). A fork copies page tables, not memory: the child sees the rings as they were at
 * the fork, and the kernel copies a page only when the parent writes to it.
 *
 *      parent   ── fork ────────────── fork ──────── rename
 *      journal  ==========|===========|======|         the parent keeps appending
 *      child 1            rings ─► .new
 *      child 2                        what was appended since ─► .new
 *      parent                                the last 256 KiB or less ─► .new
 *
 * Messages that arrive in the meantime are appended to the old file as usual, and synced, so they
 * are safe however the compaction ends. Whatever was appended since the fork is then copied. If it
 * is large, another child copies it, and so on until the rest is small. (Each child has less to
 * copy than the one before, unless messages arrive faster than the disk copies them.) The parent
 * copies the rest and renames in one go, while nothing can be appended.
 *
 * The invariant: at every instant PATH names the old journal or the complete new one. rename(2)
 * replaces a file in one step, after the new one was synced. A failure before the rename costs only
 * the new file.
 *
 * A child has the only write end of a pipe. When the child exits, the kernel closes that end, and
 * the parent's loop finds the pipe readable, so no handler for SIGCHLD is needed. */

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

/* A smaller file is not worth a fork and the syncs. A debug build compacts early, for its tests. */
#ifdef DEBUG
enum { COMPACT_MIN_BYTES = 65536 };
#else
enum { COMPACT_MIN_BYTES = 2 << 20 };
#endif

enum {
    /* The most that the parent copies and syncs at the end, in the loop's thread. */
    REMAINDER_BYTES = 256 << 10,

    /* A child syncs after each MiB. With one large sync at the end, the parent's own syncs would
     * have to wait for it in the disk's queue. */
    CHILD_SYNC_BYTES = 1 << 20,

    COMPACT_RETRY_MS = 60000, /* between two attempts; a broken journal retries sooner */

    /* The child's only descriptors besides the standard ones. */
    CHILD_JOURNAL = 3,
    CHILD_FILE = 4,
    CHILD_ALIVE = 5, /* the write end of a pipe: never written to, closed when the child exits */
};

/* ==== The child ============================================================================== */

/* A child never returns into the loop: it ends with _exit(2). A status other than 0 tells the
 * parent that the file is not usable. */

/* The file that a child writes: records are collected in `bytes` and written piece by piece, so
 * that the child needs little extra memory. */
struct writer {
    struct buffer bytes;
    uint64_t offset, synced; /* where `bytes` are written next; where the synced part ends */
    int fd;
};

/* Writes the collected bytes, and syncs if `sync` is set or a MiB was written since the last sync.
 * Exits on any error, even a lack of memory: the parent removes the file and tries again later. */
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

/* Writes a room: first what it has lost, then its messages, oldest first. The new journal is
 * ordered by room, no longer by id. That is enough for a replay, because ids need to grow only
 * within a room. A payload is the frame in the ring without its chunk envelope. */
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

/* Writes the hub's state first, as in every journal, because the rooms that later records create
 * take over its `lost`. */
static void write_hub(struct writer *w, const struct hub *hub)
{
    record_hub(&w->bytes, hub);
    for (struct node *n = NULL; (n = table_walk(&hub->rooms, n)) != NULL;)
        write_room(w, CONTAINER(n, struct room, node));
}

/* Copies the old journal's bytes from `from` to `to`. They are complete records, because `size`
 * only moves by complete batches, so they are not parsed. */
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

/* Makes a forked process harmless. It dies with its parent; getppid(2) detects a parent that died
 * before the prctl(2). It keeps its two files and its end of the pipe, and closes its copies of all
 * other descriptors; otherwise a client's socket that the parent closes would stay connected until
 * the child exits.
 *
 *      before   ... journal file alive ...     copies above 5, so that no dup2 closes one
 *      after    0 1 2 journal=3 file=4 alive=5
 *
 * Without close_range(2) (Linux 5.9) it tries every number, which is slow if the limit is high. */
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

/* Does the child's work: writes the rings or, if `more`, appends the old journal's growth since the
 * last fork. It reads j->copied and j->size in its own memory, as they were at this fork. */
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

/* Descriptors for a child; -1 for each that the system refused. The parent closes all but
 * `ended[0]` after the fork. */
struct handover {
    int journal, file, alive; /* copies above the numbers that the child moves them to */
    int closed[2];            /* a pipe: reports that the child has closed its other descriptors */
    int ended[2];             /* a pipe: reports that the child has exited */
};

static int copy_for_child(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, CHILD_ALIVE + 1);
}

/* Opens everything before the fork, while a failure still costs only this attempt. */
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

/* Waits until the child has closed its copies of the parent's descriptors. epoll(7) watches open
 * files, not descriptors: if the parent closes a socket while a child has a copy, the socket stays
 * in the epoll set, and an event for it would carry the pointer of a freed client. This blocks the
 * loop for about as long as the fork itself. If the child dies, the pipe closes too. */
static void await_closed(int pipe_end)
{
    char byte;
    while (read(pipe_end, &byte, 1) < 0 && errno == EINTR)
        continue;
}

/* Reaps the child, so that no zombie remains. Returns whether its file is complete. A process that
 * exits closes its pipe shortly before waitpid(2) can return, so this can block briefly. */
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

/* Notes the child, and adds the pipe to the keeper's epoll set. Closing the pipe's only descriptor
 * removes the pipe from the set. A child that cannot be watched is killed. */
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

/* Forks a child that writes a new file or, if `more`, appends to it. The loop waits for the fork,
 * which takes longer the more memory the server has mapped. Returns whether the child is running
 * and watched; if not, no descriptor is left open. */
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

/* Finishes a compaction: appends the rest, syncs, renames, syncs the folder, in this order. After a
 * power cut, a rename before the sync could leave the name on an empty file, and the old file would
 * be gone. The new file is synced even with --sync none, because the old one may have been on the
 * disk for a long time. Returns false if a step up to the rename failed; the old journal then stays
 * in use. */
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
    /* Without the folder's sync, a power cut can bring the old file back, without later messages.
     * So no message is accepted until another compaction has succeeded. */
    trouble_set(j, error != 0 ? TROUBLE_BROKEN : TROUBLE_NONE, error);
    return true;
}

/* Keeps the old file in use; it is merely larger than it should be. A broken journal accepts no
 * messages until a compaction succeeds, so it tries again after a second instead of a minute. */
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

/* Returns true if the file is more than twice as large as what the rings hold: at least half of it
 * is then dropped messages, so all compactions together write at most about as much as the appends
 * did. The size after the last compaction counts too: the records of short messages are longer than
 * their frames, and a file that is still large after a compaction must not be compacted again at
 * once. */
bool compact_is_due(const struct journal *j)
{
    return j->trouble == TROUBLE_BROKEN || j->damaged ||
           (j->size > COMPACT_MIN_BYTES && j->size / 2 > j->hub->held &&
               j->size / 2 > j->compacted);
}
