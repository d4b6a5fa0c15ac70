/* control.c - sets what goes wrong with the server's disk and clock, in the control file of disk.h.
 *
 * Every fault ends by itself (disk_tick), or with disk_mend. Several can be present at a time. The
 * control file outlives the server, so a fault can begin before a start. */

#include "test/tools/disk.h"

#include "test/tools/havoc/havoc.h"

enum { BURST_MS = 3000 }; /* the longest burst of errors */

static struct disk *disk;
static struct disk_fault *fault;           /* the call that fails now; NULL if none does */
static int64_t fault_until_us, fault_most; /* and until how many calls have failed */
static int64_t short_until_us, slow_until_us, stuck_until_us; /* 0: not now */
static int64_t stuck_since_us, mended_us;
static int64_t refused_before; /* background syncs that were refused before this life */
static int64_t ahead_ms;       /* of the server's clock */
static uint64_t shown_ms;      /* the latest time that its clock has shown, before the last step */

/* The calls that can fail, and the errors that they can have. */
static const struct {
    const char *name;
    size_t offset;
    int errors[3];
} calls[] = {
    { "sync", offsetof(struct disk, sync), { EIO, EIO, ENOSPC } },
    { "pwrite", offsetof(struct disk, pwrite), { EIO, ENOSPC, EDQUOT } },
    { "ftruncate", offsetof(struct disk, ftruncate), { EIO, EIO, EROFS } },
    { "rename", offsetof(struct disk, rename), { EIO, ENOSPC, EBUSY } },
    { "link", offsetof(struct disk, link), { EIO, ENOSPC, EPERM } },
    { "unlink", offsetof(struct disk, unlink), { EIO, EROFS, EBUSY } },
    { "open", offsetof(struct disk, open), { EIO, EMFILE, ENOSPC } },
    { "setup", offsetof(struct disk, setup), { EAGAIN, ENOSYS, ENOMEM } },
    { "submit", offsetof(struct disk, submit), { EAGAIN, EIO, EINVAL } },
};

/* The first calls are those that a journal needs all the time. */
enum { CALL_PWRITE = 1, CALL_FREQUENT = 4, CALL_COUNT = sizeof calls / sizeof *calls };

/* Returns a call's part of the control file. */
static struct disk_fault *fault_of(size_t call)
{
    return (struct disk_fault *)(void *)((char *)disk + calls[call].offset);
}

void disk_prepare(void)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/control", folder);
    disk = disk_map(path, true);
    if (disk == NULL)
        fail("%s: %s", path, strerror(errno));
    disk->seed = (int64_t)seed;
    setenv("DISK", path, 1);
}

/* Returns a random time from now, at most `most_ms`. */
static int64_t soon_us(uint64_t *random, unsigned most_ms)
{
    return now_us() + 1000 * (1 + (int64_t)below(random, most_ms));
}

/* Lets a few calls fail, or one in a few, or all of them for a while. */
void disk_break(uint64_t *random, bool full)
{
    size_t call = below(random, below(random, 4) != 0 ? CALL_FREQUENT : CALL_COUNT);
    unsigned pattern = full ? 2 : below(random, 3);
    int error = full ? ENOSPC : calls[call].errors[below(random, 3)];
    if (full)
        call = CALL_PWRITE;
    if (fault != NULL)
        fault->one_in = 0;
    fault = fault_of(call);
    fault_most = pattern == 0 ? fault->failed + 1 + below(random, 4) : INT64_MAX;
    fault_until_us = soon_us(random, pattern == 2 ? 1500 : BURST_MS);
    fault->error = error;
    fault->one_in = pattern == 1 ? 2 + below(random, 8) : 1;
    counts[full ? COUNT_FULL : COUNT_ERRORS]++;
    note("%s fails with %s: %s, for at most %lld ms", calls[call].name, strerror(error),
        pattern == 0   ? "a few calls"
        : pattern == 1 ? "some calls"
                       : "all calls",
        (long long)(fault_until_us - now_us()) / 1000);
}

void disk_write_short(int64_t until_us)
{
    disk->pwrite_short = 2;
    short_until_us = until_us;
    counts[COUNT_SHORT]++;
    note("short writes");
}

void disk_slow(int64_t delay_us, int64_t until_us)
{
    disk->sync_delay_us = delay_us;
    slow_until_us = until_us;
    counts[COUNT_SLOW]++;
    note("syncs take %lld ms longer", (long long)delay_us / 1000);
}

void disk_stick(int64_t until_us)
{
    if (stuck_since_us == 0)
        stuck_since_us = now_us();
    disk->stuck = 1;
    if (until_us > stuck_until_us)
        stuck_until_us = until_us;
    counts[COUNT_STUCK]++;
    note("syncs are stuck for %lld ms", (long long)(stuck_until_us - now_us()) / 1000);
}

/* Ends a fault: clears its value and its time. */
static void end(_Atomic int64_t *value, int64_t *until_us, const char *what)
{
    *value = 0;
    *until_us = 0;
    note("%s end", what);
}

void disk_tick(void)
{
    int64_t now = now_us();
    if (fault != NULL && (now >= fault_until_us || fault->failed >= fault_most)) {
        end(&fault->one_in, &fault_until_us, "errors");
        fault = NULL;
        mended_us = now;
    }
    if (short_until_us != 0 && now >= short_until_us)
        end(&disk->pwrite_short, &short_until_us, "short writes");
    if (slow_until_us != 0 && now >= slow_until_us)
        end(&disk->sync_delay_us, &slow_until_us, "slow syncs");
    if (stuck_until_us != 0 && now >= stuck_until_us) {
        end(&disk->stuck, &stuck_until_us, "stuck syncs");
        stuck_since_us = 0;
        mended_us = now;
    }
}

/* Lets the time of each fault that is present be over: 1 is long ago. */
void disk_mend(void)
{
    fault_until_us = fault_until_us != 0;
    short_until_us = short_until_us != 0;
    slow_until_us = slow_until_us != 0;
    stuck_until_us = stuck_until_us != 0;
    disk_tick();
}

/* Returns how many background syncs, or preparations for them, were refused so far. */
static int64_t count_refused(void)
{
    return disk->setup.failed + disk->submit.failed;
}

void disk_begin_life(void)
{
    refused_before = count_refused();
}

int64_t disk_blocked_us(int64_t since_us)
{
    if (count_refused() == refused_before)
        return since_us;
    if (stuck_since_us != 0)
        return now_us();
    return mended_us > since_us ? mended_us : since_us;
}

/* A slow disk or a short write is no reason to refuse anything. */
bool disk_is_broken(void)
{
    return fault != NULL || stuck_until_us != 0;
}

int64_t disk_stuck_since_us(void)
{
    return stuck_since_us;
}

int64_t disk_mended_us(void)
{
    return mended_us;
}

/* ==== The clock ============================================================================== */

/* Returns what the server's clock shows. */
static uint64_t shows_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 + ahead_ms);
}

void clock_step(int64_t ms)
{
    if (shows_ms() > shown_ms)
        shown_ms = shows_ms();
    ahead_ms = ms;
    disk->clock_ms = ms;
}

uint64_t clock_force(void)
{
    clock_step(ahead_ms); /* brings shown_ms up to date */
    clock_step(ahead_ms + (int64_t)(shown_ms + 5 - shows_ms()));
    return shows_ms();
}

int64_t clock_ahead_ms(void)
{
    return ahead_ms;
}

/* Prints how many calls failed. A server that does not use the control file is not one whose disk
 * can fail, and a run with it shows nothing. */
void disk_report(void)
{
    if (disk->pwrite.calls == 0)
        broken("the server made no call that disk.c counts: --server must be "
               "build/debug/disk/ssechat");
    printf("havoc: failed of all calls:");
    for (size_t i = 0; i < CALL_COUNT; i++)
        printf(" %s %lld of %lld%s", calls[i].name, (long long)fault_of(i)->failed,
            (long long)fault_of(i)->calls, i + 1 < CALL_COUNT ? "," : "\n");
}
