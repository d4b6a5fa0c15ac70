/* journal.c - the hub on disk: opens and appends, and gets out of trouble.
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
 * Reading is replay.c, the second file compact.c, the bytes of a record record.c. */

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

__attribute__((noreturn)) static void refuse_path(const char *path, const char *why)
{
    log_exit(EXIT_SYSTEM, "--journal %s: %s", path, why);
}

/* "PATH.suffix". */
static char *path_with(const char *path, const char *suffix)
{
    size_t len = strlen(path) + strlen(suffix) + 1;
    char *with = malloc(len);
    if (with == NULL)
        refuse_path(path, strerror(errno));
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
        refuse_path(j->path, strerror(errno));
    if (fcntl(j->lock, F_SETLK, &lock) < 0)
        refuse_path(j->path, errno == EAGAIN || errno == EACCES
                                 ? "another ssechat uses this journal; each needs its own"
                                 : strerror(errno));
}

/* A folder or a device is refused before anything is made beside it. */
static void check_path(const char *path)
{
    struct stat st;
    errno = 0;
    if (stat(path, &st) < 0 ? errno != ENOENT : !S_ISREG(st.st_mode))
        refuse_path(path, errno != 0 ? strerror(errno) : "it is no regular file");
}

/* The path without links, so that one journal has one name, one lock, and a compaction that puts
 * the new file where the old one is. The file is made if it is not there yet. */
static char *real_path(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char *real = fd >= 0 ? realpath(path, NULL) : NULL;
    if (real == NULL)
        refuse_path(path, strerror(errno));
    close(fd);
    return real;
}

static void open_file(struct journal *j)
{
    struct stat st;
    j->fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->fd < 0 || fstat(j->fd, &st) < 0 || fchmod(j->fd, 0600) < 0)
        refuse_path(j->path, strerror(errno));
    j->size = (uint64_t)st.st_size;
    char *copy = path_with(j->path, "");
    j->folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (j->folder < 0)
        refuse_path(j->path, strerror(errno));
    unlink(j->new_path); /* of a compaction that did not get to its end */
}

/* ==== Appending ============================================================================== */

static bool is_full(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}

/* Appends and syncs. Returns 0 or the errno, and then nothing was appended. */
static int append(struct journal *j, struct span bytes)
{
    int error = record_write(j->fd, bytes, j->size);
    bool cut = error != 0;
    if (error == 0 && j->sync && fdatasync(j->fd) < 0)
        error = errno;
    if (error == 0) {
        j->size += bytes.len;
        trouble_set(j, TROUBLE_NONE, 0);
        return 0;
    }
    if (ftruncate(j->fd, (off_t)j->size) < 0)
        cut = false; /* bytes that were refused are still in the file */
    trouble_set(j, !cut ? TROUBLE_BROKEN : is_full(error) ? TROUBLE_FULL : TROUBLE_WRITE, error);
    return error;
}

/* Numbers a batch, and puts it into the file: all of it is safe, or nothing of it happened. */
static enum settled store(struct journal *j, struct publication *batch)
{
    struct buffer *out = &j->batch, payload = { 0 };
    buffer_clear(out);
    for (struct publication *p = batch; p != NULL; p = p->next) {
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

static void keep(struct keeper *keeper, struct publication *batch)
{
    struct journal *j = CONTAINER(keeper, struct journal, keeper);
    enum settled settled = SETTLED_FAILED;
    if (batch != NULL && j->trouble != TROUBLE_BROKEN)
        settled = store(j, batch);
    for (struct publication *p = batch, *next; p != NULL; p = next) {
        next = p->next;
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

/* Appends what the rings cannot tell: after a start, and to try a disk that was full. After damage
 * it is also what each room has lost, until the file is written anew. False without memory. */
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

static bool is_probing(const struct journal *j)
{
    return j->trouble == TROUBLE_FULL || j->trouble == TROUBLE_WRITE;
}

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

/* The only descriptor that is watched is the pipe of a compaction's child. */
static void ready(struct keeper *keeper)
{
    struct journal *j = CONTAINER(keeper, struct journal, keeper);
    if (j->child != 0)
        compact_continue(j);
}

/* ==== The keeper ============================================================================= */

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

struct keeper *journal_open(const struct journal_settings *settings, struct hub *hub)
{
    const char *path = settings->path;
    struct journal *j = malloc(sizeof *j);
    if (j == NULL)
        refuse_path(path, strerror(errno));
    check_path(path);
    *j = (struct journal) { .hub = hub, .path = real_path(path), .sync = settings->sync };
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
