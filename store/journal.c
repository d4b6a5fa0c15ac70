/* journal.c - the keeper on disk, a write-ahead journal: opens it, appends, recovers from failures.
 *
 * Write-ahead means: a message is on the disk before any stream or page sees it, and before its
 * POST is answered. So every acknowledged message is in the file, no matter when a crash happens.
 * (With --sync none it is in the kernel's page cache, which survives a crash of ssechat, but not a
 * power cut.)
 *
 *      0                                size
 *      | record | record | ... | record | record | rec
 *      '------ written and synced ------'--- a batch that is being written
 *
 * The invariant: the file is good up to `size`. Everything in this file maintains it:
 *  - A batch is written at `size` and synced; after that `size` moves and the batch is safe. All
 *    messages of a turn share one sync ("group commit"). It is written at once from one buffer: a
 *    copy costs nothing compared with a sync, and a writev of a thousand pieces would be split.
 *  - If a write fails, the file is truncated to `size`, because refused messages must not reappear.
 *  - If a sync fails, the file is broken: what is on the disk is unknown. All messages are refused
 *    until compact.c has written a new file from the rings, which contain only safe messages.
 *  - A crash in the middle of a write leaves a torn tail. replay.c recognizes it, and journal_open
 *    cuts it off.
 *
 * If a crash comes between the write and the answer, the client does not learn whether its message
 * is in the file. So clients repeat the POST with its Idempotency-Key.
 *
 * The sync runs in the loop's thread, so all clients wait while the disk works. That is the price
 * of a server with a single thread. One sync per turn keeps the wait from growing with the number
 * of messages. */

#include "store/journal.h"

#include "base/list.h"
#include "base/log.h"
#include "base/print.h"
#include "hub/room.h"
#include "store/compact.h"
#include "store/inside.h"
#include "store/record.h"
#include "store/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

/* ==== Opening ================================================================================ */

/* Aborts the startup. Later, a failing journal is a state (trouble.h), not a reason to exit. */
__attribute__((noreturn)) static void refuse_path(const char *path, const char *why)
{
    log_exit(EXIT_SYSTEM, "--journal %s: %s", path, why);
}

/* Returns PATH with a suffix, from malloc; the caller owns it. */
static char *path_with(const char *path, const char *suffix)
{
    size_t len = strlen(path) + strlen(suffix) + 1;
    char *with = malloc(len);
    if (with == NULL)
        refuse_path(path, strerror(errno));
    print_into(with, len, "%s%s", path, suffix);
    return with;
}

/* Locks the journal, because two processes that append to one file would overwrite each other's
 * records. The lock has its own file, because compaction replaces the journal, and a lock stays
 * with the file that was locked. It is a record lock (fcntl), which belongs to the process: a
 * flock(2) lock belongs to the open file, so a child that still has a copy would keep it after the
 * server was killed, and the next start would fail. The kernel drops the lock when the process
 * ends, however it ends, so no lock is ever stale. The price: closing any other descriptor of the
 * lock file would drop the lock, so no other code opens that file. */
static void take_lock(struct journal *j)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    j->lock = open(j->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->lock < 0)
        refuse_path(j->path, strerror(errno));
    if (fcntl(j->lock, F_SETLK, &lock) < 0)
        refuse_path(j->path, errno == EAGAIN || errno == EACCES
                                 ? "another ssechat uses this journal; give each one its own"
                                 : strerror(errno));
}

/* Refuses a folder, a device or a FIFO before any file is created beside it. A new path is fine. */
static void check_path(const char *path)
{
    struct stat st;
    errno = 0;
    if (stat(path, &st) < 0 ? errno != ENOENT : !S_ISREG(st.st_mode))
        refuse_path(path, errno != 0 ? strerror(errno) : "it is not a regular file");
}

/* Returns the path without symbolic links (from malloc), so that a journal has one name and one
 * lock, and a compaction renames over the file itself, not over a link to it. Creates the file if
 * it does not exist, because realpath(3) fails otherwise. */
static char *real_path(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char *real = fd >= 0 ? realpath(path, NULL) : NULL;
    if (real == NULL)
        refuse_path(path, strerror(errno));
    close(fd);
    return real;
}

/* Opens the file and its folder, once the lock is held. Even an existing file gets mode 0600,
 * because it contains what users wrote. The new file of an interrupted compaction is removed; it
 * was never renamed, so the journal itself is still intact. */
static void open_file(struct journal *j)
{
    struct stat st;
    j->fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->fd < 0 || fstat(j->fd, &st) < 0 || fchmod(j->fd, 0600) < 0)
        refuse_path(j->path, strerror(errno));
    j->size = (uint64_t)st.st_size;
    char *copy = path_with(j->path, ""); /* dirname(3) changes its argument */
    j->folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (j->folder < 0)
        refuse_path(j->path, strerror(errno));
    unlink(j->new_path);
}

/* ==== Appending ============================================================================== */

/* Returns whether the operator can end an error by making space (507 for a POST): the disk is full,
 * the quota is used up, or the file is as large as it may be (RLIMIT_FSIZE). */
static bool is_full(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

/* Appends and syncs. Returns 0, or the errno if nothing was appended; the trouble is then set.
 *
 * write(2) only copies into the page cache, which survives the end of the process but not a power
 * cut. fdatasync(2) returns after the disk has reported the bytes, and the file's new length, as
 * stored. Only then may the caller say "safe". After a short or failed write, truncating the file
 * is enough, because nothing after `size` was promised.
 *
 * A failed sync is worse. The kernel reports the error once and marks the pages clean, so a second
 * sync has nothing to write and returns 0 although the data is lost (PostgreSQL met this in 2018,
 * as "fsyncgate"). So a sync is never retried: the state is TROUBLE_BROKEN. The file is truncated
 * even then; otherwise a restart before the repair would replay the refused messages.
 *
 * The truncation itself is not synced: if the machine loses power before the next successful
 * append, a refused message can still reappear. */
static int append(struct journal *j, struct span bytes)
{
    int error = record_write(j->fd, bytes, j->size);
    bool cut_suffices = error != 0; /* true after a failed write, false after a failed sync */
    if (error == 0 && j->sync && fdatasync(j->fd) < 0)
        error = errno;
    if (error == 0) {
        j->size += bytes.len;
        trouble_set(j, TROUBLE_NONE, 0);
        return 0;
    }
    if (ftruncate(j->fd, (off_t)j->size) < 0)
        cut_suffices = false; /* refused messages are still in the file */
    trouble_set(j,
        !cut_suffices    ? TROUBLE_BROKEN
        : is_full(error) ? TROUBLE_FULL
                         : TROUBLE_WRITE,
        error);
    return error;
}

/* Numbers a batch and writes it to the file, as one unit: all of its messages are safe or all are
 * refused. Numbering comes first, because the id is part of the record; ids of a refused batch are
 * never reused, which leaves holes that no client notices. A payload is formatted here without the
 * chunk envelope, and again with it in hub_safe, which is cheap compared with a sync. If memory
 * runs out, the batch is refused and the file is left alone. */
static enum settled store(struct journal *j, struct publication *batch)
{
    struct buffer *out = &j->batch, payload = { 0 };
    buffer_clear(out);
    for (struct publication *p = batch; p != NULL; p = p->next) {
        if (p->forgets)
            continue;
        struct id id = hub_next_id(j->hub);
        hub_number(j->hub, p, id, id.ms);
        buffer_clear(&payload);
        frame_message(&payload, &p->content, &p->stamp, false);
        record_message(out, room_name(p->room), frame_stored_kind(p->content.kind), p->content.key,
            buffer_span(&payload));
        out->failed |= payload.failed;
    }
    buffer_free(&payload);
    if (out->failed)
        return SETTLED_FAILED;
    int error = append(j, buffer_span(out));
    return error == 0 ? SETTLED_SAFE : is_full(error) ? SETTLED_FULL : SETTLED_FAILED;
}

/* Settles a batch before it returns; nothing is pending between turns. Even on a full disk, each
 * batch is tried, so a journal recovers with the first POST that fits. A broken file accepts
 * nothing. */
static void keep(struct keeper *keeper, struct publication *batch)
{
    struct journal *j = CONTAINER(keeper, struct journal, keeper);
    enum settled settled = SETTLED_FAILED;
    if (batch != NULL && j->trouble != TROUBLE_BROKEN)
        settled = store(j, batch);
    for (struct publication *p = batch, *next; p != NULL; p = next) {
        next = p->next; /* settling frees p */
        if (settled == SETTLED_SAFE)
            hub_safe(j->hub, p);
        else
            hub_refused(j->hub, p, settled);
    }
}

static const char *trouble(const struct keeper *keeper)
{
    return trouble_sentence(CONST_CONTAINER(keeper, struct journal, keeper)->trouble);
}

/* ==== Time =================================================================================== */

/* Appends the state of the hub, which no message contains: at startup, and as a small write that
 * shows whether a failing disk works again. After damage it also appends what each room has lost.
 * The damaged end of a file is cut off at startup, so without these records the next start would
 * not know of the gap; a rewritten file has them. Returns false if out of memory. */
static bool probe(struct journal *j)
{
    struct buffer *out = &j->batch;
    buffer_clear(out);
    j->retry_ms = j->mono_ms + TROUBLE_RETRY_MS;
    record_hub(out, j->hub);
    for (struct node *n = NULL; j->damaged && (n = table_walk(&j->hub->rooms, n)) != NULL;)
        record_room(out, CONTAINER(n, struct room, node));
    bool whole = !out->failed;
    if (whole)
        append(j, buffer_span(out));
    return whole;
}

/* Returns whether a successful append would end the trouble. It never ends TROUBLE_BROKEN. */
static bool is_probing(const struct journal *j)
{
    return j->trouble == TROUBLE_FULL || j->trouble == TROUBLE_WRITE;
}

/* Returns when the next probe or compaction is due. A probe comes first, because on a full disk a
 * second file cannot be written either. While a child works, no compaction is due; its pipe wakes
 * the loop. */
static int64_t next_ms(const struct keeper *keeper)
{
    const struct journal *j = CONST_CONTAINER(keeper, struct journal, keeper);
    if (is_probing(j))
        return j->retry_ms;
    return j->child == 0 && compact_is_due(j) ? j->compact_ms : INT64_MAX;
}

static void tick(struct keeper *keeper, int64_t mono_ms)
{
    struct journal *j = CONTAINER(keeper, struct journal, keeper);
    j->mono_ms = mono_ms;
    if (next_ms(keeper) > mono_ms)
        return;
    if (is_probing(j))
        probe(j);
    else
        compact_start(j);
}

/* Continues a compaction: the only descriptor in the keeper's epoll set is a child's pipe. */
static void ready(struct keeper *keeper)
{
    struct journal *j = CONTAINER(keeper, struct journal, keeper);
    if (j->child != 0)
        compact_continue(j);
}

/* ==== The keeper ============================================================================= */

/* Appends nothing, because every acknowledged message is in the file: a killed server loses no more
 * than one that ends here. */
static void journal_close(struct keeper *keeper)
{
    struct journal *j = CONTAINER(keeper, struct journal, keeper);
    compact_stop(j);
    close(j->keeper.watch);
    close(j->fd);
    close(j->folder);
    close(j->lock);
    free(j->path);
    free(j->new_path);
    free(j->lock_path);
    buffer_free(&j->batch);
    free(j);
}

/* Opens the journal in an order that matters. The lock comes before the first read, because another
 * server could still be appending. The state record overwrites the beginning of a torn tail, which
 * follows `size`; the rest of the tail is then cut off (after a crash in between, by the next
 * start). Finally the folder is synced; otherwise a power cut could remove the name of a new file,
 * with every message that was acknowledged. If the state record cannot be written, append has
 * already cut off the tail, and the server starts with that trouble.
 *
 * The keeper's `watch` is its own epoll descriptor inside the loop's, because a child's pipe comes
 * and goes, but the loop relies on one descriptor. */
struct keeper *journal_open(const struct journal_settings *settings, struct hub *hub)
{
    const char *path = settings->path;
    check_path(path);
    char *real = real_path(path);
    struct journal *j = malloc(sizeof *j);
    if (j == NULL)
        refuse_path(path, strerror(errno));
    *j = (struct journal) { .hub = hub, .path = real, .sync = settings->sync };
    j->keeper = (struct keeper) { keep, tick, next_ms, epoll_create1(EPOLL_CLOEXEC), ready, trouble,
        journal_close };
    if (j->keeper.watch < 0)
        refuse_path(path, strerror(errno));
    j->new_path = path_with(j->path, ".new");
    j->lock_path = path_with(j->path, ".lock");
    take_lock(j);
    open_file(j);
    replay_load(j);
    if (!probe(j))
        refuse_path(path, "there is not enough memory");
    if (j->trouble == TROUBLE_NONE &&
        (ftruncate(j->fd, (off_t)j->size) < 0 || fsync(j->folder) < 0))
        refuse_path(path, strerror(errno));
    return &j->keeper;
}
