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
 * copies the rest, syncs, renames, and syncs the folder. Until that is done nothing is appended, so
 * no message is acknowledged that only one of the two files has; the messages that arrive gather.
 *
 * The invariant: at every instant PATH names the old journal or the complete new one. rename(2)
 * replaces a file in one step, after the new one was synced. A failure before the rename costs only
 * the new file. If another program has put a file in the journal's place, that file is kept under
 * another name.
 *
 * A child has the only write end of a pipe. When the child exits, the kernel closes that end, and
 * the parent's loop finds the pipe readable, so this does not depend on SIGCHLD. */

#include "store/compact.h"

#include "base/child.h"
#include "base/log.h"
#include "base/scan.h"
#include "hub/room.h"
#include "store/aside.h"
#include "store/claim.h"
#include "store/record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h> /* rename(2) */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

/* A smaller file is not worth a fork and the syncs. A debug build compacts early, for its tests. */
#ifdef DEBUG
enum { COMPACT_MIN_BYTES = 65536, SHORT_MIN_BYTES = 8192 };
#else
enum { COMPACT_MIN_BYTES = 2 << 20, SHORT_MIN_BYTES = 65536 };
#endif

enum {
    /* The most that the parent copies at the end, in the loop's thread. */
    REMAINDER_BYTES = 256 << 10,

    /* A child syncs after each MiB. With one large sync at the end, the parent's own syncs would
     * have to wait for it in the disk's queue. */
    CHILD_SYNC_BYTES = 1 << 20,

    COMPACT_RETRY_MS = 60000, /* between two attempts; a file not to be trusted is retried sooner */
    COMMENT_BYTES = 64,       /* about what a record has besides its frame */

    /* The child's only descriptors besides the standard ones. */
    CHILD_JOURNAL = 3,
    CHILD_FILE = 4,
    CHILD_ALIVE = 5, /* the write end of a pipe: never written to, closed when the child exits */
};

/* ==== The child ============================================================================== */

/* A child never returns into the loop: it ends with _exit(2). Its status is 0, or the errno of what
 * has failed, which tells the parent that the file is not usable. */

/* The file that a child writes: records are collected in `bytes` and written piece by piece, so
 * that the child needs little extra memory. */
struct writer {
    struct buffer bytes;
    uint64_t offset, synced; /* where `bytes` are written next; where the synced part ends */
    uint64_t records;        /* in the snapshot so far */
    int fd;
};

/* Writes the collected bytes, and syncs if `sync` is set or a MiB was written since the last sync.
 * Exits on any error, even a lack of memory: the parent removes the file and tries again later. */
static void writer_flush(struct writer *w, bool sync)
{
    int error = w->bytes.failed ? ENOMEM : record_write(w->fd, buffer_span(&w->bytes), w->offset);
    if (error != 0)
        _exit(error);
    w->offset += w->bytes.len;
    buffer_clear(&w->bytes);
    if (!sync && w->offset - w->synced < CHILD_SYNC_BYTES)
        return;
    if (fdatasync(w->fd) < 0)
        _exit(errno);
    w->synced = w->offset;
}

/* Writes a room: first what it has lost, then its messages, oldest first. The new journal is
 * ordered by room, no longer by id. That is enough for a replay, because ids need to grow only
 * within a room. A payload is the frame in the ring without its chunk envelope. */
static void write_room(struct writer *w, const struct room *room)
{
    const struct ring *ring = &room->ring;
    const struct link *next_note = room->notes.next;
    struct buffer payload = { 0 };
    record_room(&w->bytes, 0, room);
    for (uint64_t n = ring->first; n < ring->next; n++) {
        const struct entry *e = ring_entry(ring, n);
        buffer_clear(&payload);
        ring_copy(
            ring, e->offset + FRAME_LEAD_BYTES, ring_end(ring, n) - FRAME_TRAIL_BYTES, &payload);
        w->bytes.failed |= payload.failed;
        struct stored m = { .room = room_name(room),
            .payload = buffer_span(&payload),
            .id = e->id,
            .time_ms = e->time_ms,
            .author = { e->by, e->with_token, e->by_user },
            .kind = (enum message_kind)e->kind };
        if (e->key != NULL)
            m.key = (struct span) { e->key->bytes, e->key->len };
        if (m.kind == MESSAGE_OTHER) {
            const struct note *note = CONST_CONTAINER(next_note, struct note, link);
            m.note = (struct span) { note->bytes, note->len };
            next_note = next_note->next;
        }
        record_message(&w->bytes, 0, &m);
        if (w->bytes.len > CHILD_SYNC_BYTES / 4)
            writer_flush(w, false);
    }
    w->records += 1 + (ring->next - ring->first);
    buffer_free(&payload);
}

/* Writes the hub's state first, because the rooms that later records create take over its `lost`.
 * The snapshot's end says how many records it has, and from which number the old file's records
 * follow: those after record `n`. */
static void write_snapshot(struct writer *w, const struct hub *hub, uint64_t n)
{
    record_first(&w->bytes);
    record_hub(&w->bytes, 0, hub);
    w->records = 1;
    for (struct node *node = NULL; (node = table_walk(&hub->rooms, node)) != NULL;)
        write_room(w, CONTAINER(node, struct room, node));
    record_snapshot(&w->bytes, w->records, n);
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
            _exit(n < 0 ? errno : EIO);
        w->bytes.len = (size_t)n;
        from += (uint64_t)n;
        writer_flush(w, false);
    }
}

/* Makes a forked process harmless. It dies with its parent; getppid(2) detects a parent that died
 * before the prctl(2). It keeps its two files and its end of the pipe, and closes its copies of all
 * other descriptors; otherwise a client's socket that the parent closes would stay connected, and
 * the journal locked, until the child exits. The descriptor of the old file is -1 in a child that
 * does not need it.
 *
 *      before   ... journal file alive ...     copies above 5, so that no dup2 closes one
 *      after    0 1 2 journal=3 file=4 alive=5 */
static void become_child(pid_t parent, int journal, int file, int alive)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_SYSTEM);
    if (journal >= 0)
        dup2(journal, CHILD_JOURNAL);
    else
        close(CHILD_JOURNAL);
    dup2(file, CHILD_FILE);
    dup2(alive, CHILD_ALIVE);
    int error = child_close_from(CHILD_ALIVE + 1);
    if (error != 0)
        _exit(error);
}

/* Does the child's work: writes the rings or, if `more`, appends the old journal's growth since the
 * last fork. It reads j->copied and j->size in its own memory, as they were at this fork. */
__attribute__((noreturn)) static void run_child(const struct journal *j, off_t end, bool more)
{
    struct writer w = { .fd = CHILD_FILE, .offset = (uint64_t)end, .synced = (uint64_t)end };
    if (more)
        write_range(&w, CHILD_JOURNAL, j->copied, j->size);
    else
        write_snapshot(&w, j->hub, j->n);
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

/* Opens the old file again, because a copy of our descriptor would be a copy of its lock too.
 * Returns -1 with errno set, ESTALE if its name no longer refers to it. */
static int open_again(const struct journal *j)
{
    struct stat ours, named;
    int fd = open(j->path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int copy = fd >= 0 ? copy_for_child(fd) : -1;
    if (copy >= 0 &&
        (fstat(j->fd, &ours) < 0 || fstat(fd, &named) < 0 || !claim_is_same(&ours, &named))) {
        close(copy);
        copy = -1;
        errno = ESTALE;
    }
    if (fd >= 0)
        close(fd);
    return copy;
}

/* Opens everything before the fork, while a failure still costs only this attempt. */
static struct handover prepare_child(const struct journal *j, bool more)
{
    struct handover h = { .journal = -1, .closed = { -1, -1 }, .ended = { -1, -1 } };
    bool piped = pipe2(h.closed, O_CLOEXEC) == 0 && pipe2(h.ended, O_CLOEXEC) == 0;
    h.file = copy_for_child(j->new_fd);
    h.alive = piped ? copy_for_child(h.ended[1]) : -1;
    if (more)
        h.journal = open_again(j);
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

/* Reaps the child, so that no zombie remains. Returns 0 if its file is complete, or an errno. A
 * process that exits closes its pipe shortly before it can be reaped, so this can block
 * briefly. */
static int end_child(struct journal *j)
{
    int status = child_end();
    j->child = 0;
    close(j->child_ended);
    return status >= 0 ? status : ECANCELED;
}

/* Removes and closes the new file, unless its name is another file's by now. If it cannot be
 * removed, it stays ours. */
static void drop_new(struct journal *j)
{
    j->written = false;
    if (j->new_fd < 0 || (claim_is_at(j->new_fd, j->new_path) && unlink(j->new_path) < 0))
        return;
    close(j->new_fd);
    j->new_fd = -1;
}

void compact_stop(struct journal *j)
{
    if (j->child != 0) {
        kill(j->child, SIGKILL);
        end_child(j);
    }
    drop_new(j);
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

static void log_kept(const char *path, const struct stat *st)
{
    char quoted[ASIDE_PATH_BYTES + 64];
    log_line(LOG_WARN, "journal kept=%s bytes=%llu",
        log_quote(span_of(path), quoted, sizeof quoted), (unsigned long long)st->st_size);
}

/* Makes the new file, and locks it, so that it is ours until it has the journal's name. Another
 * program's file of that name is moved aside; ours is there if it could not be removed. Returns
 * false with errno set if that is not possible. */
static bool make_new(struct journal *j)
{
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    struct stat found;
    char path[ASIDE_PATH_BYTES];
    drop_new(j);
    if (j->new_fd >= 0)
        return ftruncate(j->new_fd, 0) == 0;
    j->new_fd = open(j->new_path, flags, 0600);
    if (j->new_fd < 0 && errno == EEXIST) {
        bool moved = !claim_is_used(j, j->new_path) && lstat(j->new_path, &found) == 0 &&
                     aside_move(j, j->new_path, "found", path) == 0;
        if (moved)
            log_kept(path, &found);
        j->new_fd = open(j->new_path, flags, 0600);
    }
    return j->new_fd >= 0 && claim_lock(j->new_fd);
}

/* Forks a child that writes a new file or, if `more`, appends to it. The loop waits for the fork,
 * which takes longer the more memory the server has mapped. Returns 0 if the child is running and
 * watched; otherwise an errno, and no descriptor is left open. */
static int start_child(struct journal *j, bool more)
{
    off_t end = more || make_new(j) ? lseek(j->new_fd, 0, SEEK_END) : -1;
    struct handover h = { -1, -1, -1, { -1, -1 }, { -1, -1 } };
    if (end >= 0)
        h = prepare_child(j, more);
    bool ready = end >= 0 && (!more || h.journal >= 0) && h.file >= 0 && h.alive >= 0;
    pid_t parent = getpid(), child = ready ? child_fork() : -1;
    int error = errno;
    if (child == 0) {
        become_child(parent, h.journal, h.file, h.alive);
        run_child(j, end, more);
    }
    close_all((int[]) { h.journal, h.file, h.alive, h.closed[1], h.ended[1] }, 5);
    if (child > 0)
        await_closed(h.closed[0]);
    close_all((int[]) { h.closed[0], child < 0 ? h.ended[0] : -1 }, 2);
    if (child > 0)
        return watch_child(j, child, h.ended[0]) ? 0 : ENOMEM;
    return error;
}

/* Keeps the old file in use; it is merely larger than it should be. A file that is not to be
 * trusted is tried again after a second instead of a minute. Returns -1, for the functions that
 * return a descriptor. */
static int give_up(struct journal *j, const char *step, int error)
{
    trouble_warn(j, step, error);
    drop_new(j);
    j->compact_ms =
        j->mono_ms + (trouble_needs_rewrite(j->trouble) ? TROUBLE_RETRY_MS : COMPACT_RETRY_MS);
    return -1;
}

/* Gives up if another server has the journal's name, because its file was removed. Both would lose
 * messages if each took the name from the other. */
static bool is_taken(struct journal *j)
{
    if (!claim_is_used(j, j->path))
        return false;
    give_up(j, "another ssechat has taken its name; end that one first", EEXIST);
    return true;
}

void compact_start(struct journal *j)
{
    if (is_taken(j))
        return;
    j->from_rings = trouble_needs_rewrite(j->trouble);
    int error = start_child(j, false);
    const char *step = error == EEXIST ? "another program uses FILE.new"
                                       : "starting the process that writes the new file";
    if (error != 0)
        give_up(j, step, error);
}

void compact_continue(struct journal *j)
{
    int error = j->child != 0 ? end_child(j) : 0;
    if (error == 0 && j->size - j->copied > REMAINDER_BYTES)
        error = start_child(j, true);
    else
        j->written = error == 0;
    if (error != 0)
        give_up(j, "writing the new file", error);
}

/* ==== Replacing the file ===================================================================== */

bool compact_is_written(const struct journal *j)
{
    return j->written;
}

/* Returns whether the new file may replace the old one. If the old one must be rewritten, or
 * another program has just changed it, what was copied from it since the fork is not to be trusted:
 * only a child that was started after that has everything. */
static bool is_usable(struct journal *j)
{
    if (!trouble_needs_rewrite(j->trouble))
        trouble_look(j, j->size + j->tail);
    return !trouble_needs_rewrite(j->trouble) || j->from_rings;
}

/* Returns whether bytes of the old file are records, and not what another program has written over
 * them. */
static bool are_records(struct span bytes)
{
    size_t len = 1;
    bool more;
    for (; len > 0 && bytes.len > 0; scan_skip(&bytes, len))
        len = record_whole(bytes, &more);
    return bytes.len == 0;
}

/* Drops the new file, and starts again at once. */
static int start_again(struct journal *j)
{
    compact_stop(j);
    j->compact_ms = j->mono_ms;
    return -1;
}

/* Appends what the children have not copied. The new file gets its sync even with --sync none,
 * because the old one may have been on the disk for a long time. */
int compact_finish(struct journal *j)
{
    size_t len = (size_t)(j->size - j->copied);
    struct buffer rest = { 0 };
    int error = ENOMEM;
    if (!is_usable(j))
        return start_again(j);
    char *to = buffer_reserve(&rest, len + 1);
    j->written = false;
    off_t end = to != NULL ? lseek(j->new_fd, 0, SEEK_END) : -1;
    ssize_t n = end >= 0 ? pread(j->fd, to, len, (off_t)j->copied) : -1;
    if (n < 0)
        error = errno;
    else if ((size_t)n < len)
        error = EIO;
    else if (!are_records((struct span) { to, len })) {
        buffer_free(&rest);
        trouble_set(j, TROUBLE_GONE, "another program has written over its records");
        return start_again(j);
    } else {
        error = record_write(j->new_fd, (struct span) { to, len }, (uint64_t)end);
    }
    buffer_free(&rest);
    if (error != 0)
        return give_up(j, "finishing the new file", error);
    j->new_size = (uint64_t)end + len;
    return j->new_fd;
}

/* Keeps the file that has the journal's name if it is not the journal, or has what the new one does
 * not. Returns 0 or an errno. A file system without hard links can only rename it, which leaves an
 * instant without a journal; that is done only if the name does not lead to a good journal
 * anyway. */
static int keep_beside(struct journal *j)
{
    struct stat ours, named;
    char path[ASIDE_PATH_BYTES];
    bool there = lstat(j->path, &named) == 0, gone = j->trouble == TROUBLE_GONE;
    bool own = there && fstat(j->fd, &ours) == 0 && claim_is_same(&ours, &named);
    if (!there || (own && !gone && !j->keep_old))
        return 0;
    const char *word = own && !gone ? "old" : "found";
    int error = aside_link(j, word, path);
    if (error != 0 && (gone || !own))
        error = aside_move(j, j->path, word, path);
    if (error == 0)
        log_kept(path, &named);
    return error;
}

/* Renames. After a power cut, a rename before the sync of the new file could leave the name on an
 * empty file, and the old one would be gone. */
int compact_replace(struct journal *j, int error)
{
    if (error != 0)
        return give_up(j, "syncing the new file", error);
    if (!is_usable(j))
        return start_again(j);
    if ((error = claim_folder(j)) != 0)
        return give_up(j, "opening the folder", error);
    if (is_taken(j))
        return -1;
    if (!claim_is_at(j->new_fd, j->new_path))
        return give_up(j, "another program has taken FILE.new", EEXIST);
    if ((error = keep_beside(j)) != 0)
        return give_up(j, "keeping the old file beside the new one", error);
    if (rename(j->new_path, j->path) < 0)
        return give_up(j, "renaming the new file", errno);
    log_line(LOG_INFO, "journal compacted=1 before=%llu after=%llu messages=%llu rooms=%zu",
        (unsigned long long)j->size, (unsigned long long)j->new_size,
        (unsigned long long)j->hub->messages, j->hub->rooms.count);
    close(j->fd);
    j->fd = j->new_fd;
    j->new_fd = -1;
    j->size = j->compacted = j->new_size;
    j->damaged = j->keep_old = j->state_due = false;
    j->tail = 0;
    return j->folder;
}

/* Without the folder's sync, a power cut can bring the old file back, without later messages. So if
 * that fails, no message is accepted until another compaction has succeeded. */
void compact_end(struct journal *j, int error)
{
    if (error != 0) {
        trouble_set(j, TROUBLE_BROKEN, strerror(error));
        return;
    }
    trouble_end_warning(j);
    trouble_end(j);
    j->watch_ms = j->mono_ms; /* the old file's space is free now */
}

/* ==== When =================================================================================== */

/* Returns whether the file takes up space that is short. A rewrite needs about as much space as the
 * last one, or as the rings hold, so it must come before that is gone. What is saved must be worth
 * the work. */
static bool is_short(const struct journal *j)
{
    uint64_t needed = j->hub->held + j->hub->messages * COMMENT_BYTES;
    needed = needed > j->compacted ? needed : j->compacted;
    uint64_t saved = j->size > needed ? j->size - needed : 0;
    uint64_t slack = needed / 4 > SHORT_MIN_BYTES ? needed / 4 : SHORT_MIN_BYTES;
    return saved > SHORT_MIN_BYTES && saved > needed / 16 && j->space >= needed &&
           j->space < needed + slack;
}

/* Returns true if the file is more than twice as large as what the rings hold: at least half of it
 * is then dropped messages, so all compactions together write at most about as much as the appends
 * did. The size after the last compaction counts too: the records of short messages are longer than
 * their frames, and a file that is still large after a compaction must not be compacted again at
 * once. */
bool compact_is_due(const struct journal *j)
{
    if (j->child != 0 || j->written)
        return false;
    return trouble_needs_rewrite(j->trouble) || j->damaged || is_short(j) ||
           (j->size > COMPACT_MIN_BYTES && j->size / 2 > j->hub->held &&
               j->size / 2 > j->compacted);
}
