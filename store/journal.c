/* journal.c - the keeper on disk, a write-ahead journal: appends batches, and recovers from
 * failures.
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
 * The sync does not run in the loop (sync.c), so that only the publishers wait for the disk. While
 * one batch settles, the next one gathers:
 *
 *      turns    1        2        3        4        5
 *      POSTs    a b      c        d e      f
 *      batch    a b: written, syncing ...  safe
 *               c d e:   gathering         written, syncing ...
 *
 * The invariant: the file is good up to `size`. Everything in this file maintains it:
 *  - A batch is written at `size` and synced; after that `size` moves and the batch is safe. All of
 *    its messages share one sync ("group commit"). It is written at once from one buffer: a copy
 *    costs nothing compared with a sync, and a writev of a thousand pieces would be split.
 *  - If a write fails, the file is truncated to `size`, because refused messages must not reappear.
 *  - If a sync fails, the file is broken: what is on the disk is unknown. All messages are refused
 *    until compact.c has written a new file from the rings, which contain only safe messages.
 *  - If another program has removed or changed the file, the same is done. So the file is looked at
 *    before each write, before a batch is called safe, and once a second.
 *  - A crash in the middle of a write leaves a torn end, which the next start cuts off.
 *
 * If a crash comes between the write and the answer, the client does not learn whether its message
 * is in the file. So clients repeat the POST with its Idempotency-Key. */

#include "store/journal.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "hub/room.h"
#include "store/claim.h"
#include "store/compact.h"
#include "store/inside.h"
#include "store/record.h"
#include "store/replay.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    WATCH_MS = 1000,         /* between two looks at the file's name */
    BATCH_KEPT_BYTES = 65536 /* a buffer that a large batch has grown beyond this is freed */
};

/* ==== Queues ================================================================================= */

/* Appends a batch to the queue. */
static void push(struct queue *q, struct publication *batch)
{
    *q->end = batch;
    while (*q->end != NULL)
        q->end = &(*q->end)->next;
}

static void make_empty(struct queue *q)
{
    q->first = NULL;
    q->end = &q->first;
}

/* Settles all messages of a queue. The queue is empty before the first waiter is told, and the next
 * message is found before hub_safe frees this one. */
static void settle_all(struct journal *j, struct queue *q, enum settled settled)
{
    struct publication *p = q->first, *next;
    make_empty(q);
    for (; p != NULL; p = next) {
        next = p->next;
        if (settled == SETTLED_SAFE)
            hub_safe(j->hub, p);
        else
            hub_refused(j->hub, p, settled);
    }
}

/* ==== Trouble ================================================================================ */

/* Truncates the file to what is good, and enters the state that follows from the error. A failed
 * sync is worse than a failed write. The kernel reports the error once and marks the pages clean,
 * so a second sync has nothing to write and returns 0 although the data is lost (PostgreSQL met
 * this in 2018, as "fsyncgate"). So a sync is never retried. The file is truncated even then;
 * otherwise a restart before the repair would replay the refused messages.
 *
 * The truncation itself is not synced: if the machine loses power before the next successful
 * append, a refused message can still reappear. If another program has changed the file, what it
 * has written is left alone. */
static void cut_back(struct journal *j, int error, bool cut_suffices)
{
    struct stat st;
    bool ours = j->trouble != TROUBLE_GONE ||
                (fstat(j->fd, &st) == 0 && (uint64_t)st.st_size == j->size + j->batch.len);
    int cut_error = ours && ftruncate(j->fd, (off_t)(j->size + j->tail)) < 0 ? errno : 0;
    j->forgot_rooms = 0;
    if (j->trouble == TROUBLE_GONE)
        return;
    if (!cut_suffices || cut_error != 0)
        trouble_set(j, TROUBLE_BROKEN, strerror(cut_suffices ? cut_error : error));
    else
        trouble_set(j, trouble_is_full(error) ? TROUBLE_FULL : TROUBLE_WRITE, strerror(error));
}

/* Returns the sentence for /healthz, which trouble_set has made. */
static const char *trouble(const struct keeper *keeper)
{
    const struct journal *j = CONST_CONTAINER(keeper, struct journal, keeper);
    return j->trouble != TROUBLE_NONE ? j->sentence : NULL;
}

static const char *warning(const struct keeper *keeper)
{
    const struct journal *j = CONST_CONTAINER(keeper, struct journal, keeper);
    return j->warning[0] != '\0' ? j->warning : NULL;
}

/* ==== Syncs ================================================================================== */

/* Ends a batch, whose sync has ended with `error`. All of its messages are safe or all are refused;
 * the record numbers of a refused batch are used again, its ids are not, which leaves holes that no
 * client notices. The file may have been removed during the sync: then the messages would not be
 * found. */
static void settle(struct journal *j, int error)
{
    if (error != 0 || !trouble_look(j, j->size + j->batch.len)) {
        cut_back(j, error, false);
        settle_all(j, &j->settling, SETTLED_FAILED);
        return;
    }
    j->size += j->batch.len;
    j->space -= j->space > j->batch.len ? j->batch.len : j->space;
    j->n = j->batch_n;
    j->state_due = false;
    trouble_end(j);
    if (j->forgot_rooms > 0)
        log_line(LOG_INFO, "journal forgot=%llu rooms=%llu", (unsigned long long)j->forgot,
            (unsigned long long)j->forgot_rooms);
    j->forgot_rooms = 0;
    settle_all(j, &j->settling, SETTLED_SAFE);
    if (j->batch.capacity > BATCH_KEPT_BYTES)
        buffer_free(&j->batch);
}

static void begin_sync(struct journal *j, int fd, enum phase phase);

/* Does what the end of a sync is for. A new file that cannot be synced does the old one no harm. */
static void end_sync(struct journal *j, int error)
{
    enum phase phase = j->phase;
    j->phase = PHASE_IDLE;
    if (j->trouble == TROUBLE_STUCK && (error == 0 || phase == PHASE_SYNC_NEW))
        trouble_end(j);
    if (phase == PHASE_SETTLE)
        settle(j, error);
    else if (phase == PHASE_SYNC_NEW)
        begin_sync(j, compact_replace(j, error), PHASE_SYNC_FOLDER);
    else if (phase == PHASE_SYNC_FOLDER)
        compact_end(j, error);
}

/* Begins a sync of `fd`; if it is -1, there is nothing to sync. If the kernel refuses to do it in
 * the background, it has ended already. */
static void begin_sync(struct journal *j, int fd, enum phase phase)
{
    if (fd < 0)
        return;
    j->phase = phase;
    j->sync_ms = clock_mono_ms();
    if (!sync_start(&j->sync, fd, phase != PHASE_SYNC_FOLDER))
        end_sync(j, sync_result(&j->sync));
}

/* ==== Appending ============================================================================== */

/* Makes records of the hub's state, which no message contains: at startup, and as a small write
 * that shows whether a failing disk works again. A new file begins with its first record. After
 * damage, what each room has lost follows: the damaged end of a file is cut off at startup, so
 * without these records the next start would not know of the gap; a rewritten file has them. */
static void make_state(struct journal *j)
{
    struct buffer *out = &j->batch;
    buffer_clear(out);
    j->batch_n = j->n;
    j->forgot_rooms = j->forgot = 0;
    if (j->size == 0)
        record_first(out);
    record_hub(out, ++j->batch_n, j->hub);
    for (struct node *n = NULL; j->hub->damage && (n = table_walk(&j->hub->rooms, n)) != NULL;)
        record_room(out, ++j->batch_n, CONTAINER(n, struct room, node));
}

/* Makes the records of all messages that have gathered, and numbers them: first the ids, because
 * they are part of the records. The state comes first if it could not be written at startup. A
 * payload is formatted here without the chunk envelope, and again with it in hub_safe, which is
 * cheap compared with a sync. */
static void make_records(struct journal *j)
{
    struct buffer *out = &j->batch, payload = { 0 };
    make_state(j);
    if (!j->state_due) {
        buffer_clear(out);
        j->batch_n = j->n;
    }
    for (struct publication *p = j->gathering.first; p != NULL; p = p->next) {
        if (p->forgets) {
            record_forgotten(out, ++j->batch_n, p->room);
            j->forgot_rooms++;
            j->forgot += p->room->ring.next - p->room->ring.first;
            continue;
        }
        hub_number(j->hub, p, hub_next_id(j->hub), hub_time(j->hub));
        buffer_clear(&payload);
        frame_message(&payload, &p->content, &p->stamp, false);
        struct stored m = { .room = room_name(p->room),
            .key = p->content.key,
            .payload = buffer_span(&payload),
            .id = p->id,
            .time_ms = p->time_ms,
            .author = p->content.author,
            .kind = frame_stored_kind(p->content.kind) };
        record_message(out, ++j->batch_n, &m);
        out->failed |= payload.failed;
    }
    buffer_free(&payload);
}

/* Writes j->batch, with the messages in `settling`, and begins its sync. write(2) only copies into
 * the page cache, which survives the end of the process but not a power cut. fdatasync(2) returns
 * after the disk has reported the bytes, and the file's new length, as stored. */
static void write_batch(struct journal *j)
{
    int error = record_write(j->fd, buffer_span(&j->batch), j->size);
    if (error == 0 && j->tail > 0) {
        error = ftruncate(j->fd, (off_t)(j->size + j->batch.len)) < 0 ? errno : 0;
        j->tail = error == 0 ? 0 : j->tail;
    }
    if (error != 0) {
        cut_back(j, error, true);
        settle_all(j, &j->settling, trouble_is_full(error) ? SETTLED_FULL : SETTLED_FAILED);
    } else if (j->sync_always) {
        begin_sync(j, j->fd, PHASE_SETTLE);
    } else {
        settle(j, 0);
    }
}

/* Writes the messages that have gathered, as one unit. If memory runs out, they are refused, and
 * the file is left alone. Even on a full disk, each batch is tried, so a journal recovers with the
 * first POST that fits. */
static void store(struct journal *j)
{
    make_records(j);
    push(&j->settling, j->gathering.first);
    make_empty(&j->gathering);
    if (j->batch.failed)
        settle_all(j, &j->settling, SETTLED_FAILED);
    else
        write_batch(j);
}

/* Does what can be done once no sync is in flight. A compaction comes before the next batch, which
 * can then be written to the new file. A file that must be rewritten accepts nothing. */
static void advance(struct journal *j)
{
    bool waits = j->gathering.first != NULL;
    if (j->phase == PHASE_IDLE && compact_is_written(j))
        begin_sync(j, compact_finish(j), PHASE_SYNC_NEW);
    if (j->phase == PHASE_IDLE && waits && !trouble_needs_rewrite(j->trouble) &&
        trouble_look(j, j->size + j->tail))
        store(j);
    if (trouble_needs_rewrite(j->trouble) || j->trouble == TROUBLE_STUCK)
        settle_all(j, &j->gathering, SETTLED_FAILED);
}

/* In a turn in which a batch has settled, only gathers. The answers cause new POSTs, many of which
 * arrive while the others are still being sent; the next turn reads them, and they share the next
 * sync. Otherwise two groups of publishers would take turns, each with half of the messages. */
static void keep(struct keeper *keeper, struct publication *batch)
{
    struct journal *j = CONTAINER(keeper, struct journal, keeper);
    push(&j->gathering, batch);
    if (!j->has_settled)
        advance(j);
    j->has_settled = false;
}

/* ==== Time =================================================================================== */

/* Returns whether a successful append would end the trouble. */
static bool is_probing(const struct journal *j)
{
    return j->trouble == TROUBLE_FULL || j->trouble == TROUBLE_WRITE;
}

static bool may_get_stuck(const struct journal *j)
{
    return j->trouble != TROUBLE_STUCK && !trouble_needs_rewrite(j->trouble);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Returns when something is due: now if messages wait for the next turn. While a sync is in flight,
 * that is only the moment from which it counts as stuck. While a child works, no compaction is due;
 * its pipe wakes the loop. */
static int64_t next_ms(const struct keeper *keeper)
{
    const struct journal *j = CONST_CONTAINER(keeper, struct journal, keeper);
    if (j->phase != PHASE_IDLE)
        return may_get_stuck(j) ? j->sync_ms + TROUBLE_STUCK_MS : INT64_MAX;
    int64_t next = j->gathering.first != NULL ? 0 : j->watch_ms;
    if (is_probing(j))
        next = earlier(next, j->retry_ms);
    if (compact_is_due(j))
        next = earlier(next, j->compact_ms);
    return next;
}

/* Looks at the file and at the disk's free space. */
static void watch(struct journal *j)
{
    struct statvfs fs;
    j->watch_ms = j->mono_ms + WATCH_MS;
    if (!trouble_needs_rewrite(j->trouble))
        trouble_look(j, j->size + j->tail);
    j->space = UINT64_MAX;
    if (fstatvfs(j->fd, &fs) == 0)
        j->space = (uint64_t)fs.f_bavail * fs.f_frsize;
}

static void tick(struct keeper *keeper, int64_t mono_ms)
{
    struct journal *j = CONTAINER(keeper, struct journal, keeper);
    j->mono_ms = mono_ms;
    if (next_ms(keeper) > mono_ms)
        return;
    if (j->phase != PHASE_IDLE) {
        trouble_set(j, TROUBLE_STUCK, "it has taken over 5 seconds");
        settle_all(j, &j->gathering, SETTLED_FAILED);
        return;
    }
    if (j->watch_ms <= mono_ms)
        watch(j);
    if (compact_is_due(j) && j->compact_ms <= mono_ms)
        compact_start(j);
    if (is_probing(j) && j->retry_ms <= mono_ms) {
        j->retry_ms = mono_ms + TROUBLE_RETRY_MS;
        make_state(j);
        if (!j->batch.failed)
            write_batch(j);
    }
}

/* Handles what is ready in the keeper's own epoll set: a sync that has ended, or the pipe of a
 * child. */
static void ready(struct keeper *keeper)
{
    struct journal *j = CONTAINER(keeper, struct journal, keeper);
    struct epoll_event events[2];
    int count = epoll_wait(j->keeper.watch, events, 2, 0);
    for (int i = 0; i < count; i++) {
        if (events[i].data.fd != j->sync.event) {
            compact_continue(j);
            continue;
        }
        int error = sync_result(&j->sync);
        if (error < 0 || j->phase == PHASE_IDLE)
            continue;
        j->has_settled = j->phase == PHASE_SETTLE;
        end_sync(j, error);
    }
}

static uint64_t measure(const struct keeper *keeper, const struct histogram **syncs)
{
    const struct journal *j = CONST_CONTAINER(keeper, struct journal, keeper);
    *syncs = &j->sync.times;
    return j->size;
}

/* ==== The keeper ============================================================================= */

/* Writes the file again, if another program has changed it or it is not to be trusted: at the end,
 * when nothing else has to go on. Says so if that fails, because then messages are lost. */
static void rewrite_at_end(struct journal *j)
{
    if (!trouble_needs_rewrite(j->trouble))
        trouble_look(j, j->size + j->tail);
    if (!trouble_needs_rewrite(j->trouble))
        return;
    compact_start(j);
    if (j->child != 0)
        compact_continue(j); /* waits for the child */
    int fd = compact_is_written(j) ? compact_finish(j) : -1;
    if (fd >= 0)
        fd = compact_replace(j, fdatasync(fd) < 0 ? errno : 0);
    if (fd >= 0)
        compact_end(j, fsync(fd) < 0 ? errno : 0);
    if (j->trouble != TROUBLE_NONE)
        log_line(LOG_ERROR, "journal lost messages=%llu bytes=%llu reason=\"%s\"",
            (unsigned long long)j->hub->messages, (unsigned long long)j->hub->held, j->warning);
}

/* Appends nothing, because every acknowledged message is in the file: a killed server loses no more
 * than one that ends here, unless the file must be rewritten. */
static void journal_close(struct keeper *keeper)
{
    struct journal *j = CONTAINER(keeper, struct journal, keeper);
    compact_stop(j);
    sync_close(&j->sync);
    if (j->phase == PHASE_SETTLE && ftruncate(j->fd, (off_t)j->size) < 0)
        trouble_set(j, TROUBLE_BROKEN, strerror(errno));
    rewrite_at_end(j);
    settle_all(j, &j->settling, SETTLED_FAILED);
    settle_all(j, &j->gathering, SETTLED_FAILED);
    close(j->keeper.watch);
    close(j->fd);
    close(j->folder);
    close(j->lock);
    free(j->path);
    free(j->new_path);
    free(j->lock_path);
    free(j->folder_path);
    buffer_free(&j->batch);
    free(j);
}

/* Appends the state, and cuts off a torn end, which the state overwrites: so the end of the file is
 * gone only when the state says what that means for readers. The syncs block, because the server
 * does not serve yet. The folder is synced too; otherwise a power cut could remove the name of a
 * new file, with every message that was acknowledged. If the state cannot be written, the server
 * starts with that trouble; the end of the file stays, and the state precedes the next batch. */
static void begin_file(struct journal *j)
{
    struct stat st;
    claim_clear(j);
    if (fstat(j->fd, &st) < 0 || fchmod(j->fd, 0600) < 0 || fsync(j->folder) < 0)
        claim_refuse(j->path, strerror(errno));
    j->tail = (uint64_t)st.st_size - j->size;
    j->state_due = true;
    make_state(j);
    if (j->batch.failed)
        claim_refuse(j->path, "there is not enough memory");
    int error = record_write(j->fd, buffer_span(&j->batch), j->size);
    if (error != 0) {
        cut_back(j, error, true);
        return;
    }
    if (ftruncate(j->fd, (off_t)(j->size + j->batch.len)) < 0)
        claim_refuse(j->path, strerror(errno));
    j->tail = 0;
    if (j->sync_always && fdatasync(j->fd) < 0) {
        cut_back(j, errno, false);
        return;
    }
    j->size += j->batch.len;
    j->n = j->batch_n;
    j->state_due = false;
}

void journal_check(const struct journal_settings *settings)
{
    if (settings->path != NULL)
        claim_check(settings->path);
}

/* The keeper's `watch` is its own epoll descriptor inside the loop's, because a child's pipe comes
 * and goes, but the loop relies on one descriptor. */
struct keeper *journal_open(const struct journal_settings *settings, struct hub *hub)
{
    struct epoll_event event = { .events = EPOLLIN };
    struct journal *j = malloc(sizeof *j);
    if (j == NULL)
        claim_refuse(settings->path, strerror(errno));
    *j = (struct journal) { .hub = hub, .sync_always = settings->sync, .folder = -1, .new_fd = -1 };
    j->keeper = (struct keeper) { keep, tick, next_ms, epoll_create1(EPOLL_CLOEXEC), ready, trouble,
        warning, measure, journal_close };
    make_empty(&j->gathering);
    make_empty(&j->settling);
    claim_file(j, settings->path);
    replay_load(j);
    begin_file(j);
    sync_open(&j->sync);
    event.data.fd = j->sync.event;
    if (j->keeper.watch < 0 || (j->sync.event >= 0 && epoll_ctl(j->keeper.watch, EPOLL_CTL_ADD,
                                                          j->sync.event, &event) < 0))
        claim_refuse(settings->path, strerror(errno));
    return &j->keeper;
}
