/* sync.c - fdatasync(2) and fsync(2) through the kernel's AIO (io_submit(2)).
 *
 * A sync takes as long as the disk needs: a fraction of a millisecond on a good SSD, hundreds on a
 * busy SD card. Only the publisher should wait for it, so it must not run in the loop's
 * thread. Linux 4.18 has IOCB_CMD_FDSYNC and IOCB_CMD_FSYNC: one of the kernel's own threads runs
 * the same function as for fdatasync, and an eventfd reports its end to epoll. That takes neither a
 * thread nor a helper process of ours, and its result is that of fdatasync.
 *
 * The system calls are made by number, because libc has no wrappers for them. The structs are part
 * of the kernel's ABI (linux/aio_abi.h), and are written out here because musl's package for Debian
 * comes without the kernel's headers. Left out: io_uring, which containers often forbid.
 *
 * The price: a process whose disk is stuck ends only when the sync in flight has ended. */

#include "store/sync.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    IOCB_CMD_FSYNC = 2,
    IOCB_CMD_FDSYNC = 3,
    IOCB_FLAG_RESFD = 1, /* report the end to `aio_resfd` */
};

struct iocb {
    uint64_t aio_data;
    uint32_t aio_key, aio_rw_flags; /* in the other order on a big-endian machine; both are 0 */
    uint16_t aio_lio_opcode;
    int16_t aio_reqprio;
    uint32_t aio_fildes;
    uint64_t aio_buf, aio_nbytes;
    int64_t aio_offset;
    uint64_t aio_reserved2;
    uint32_t aio_flags, aio_resfd;
};

struct io_event {
    uint64_t data, obj;
    int64_t res, res2; /* `res` is 0, or the negated errno */
};

/* Says once that syncs block. */
static void give_up(struct sync *s, const char *call, int error)
{
    log_line(LOG_WARN,
        "journal hint=\"the kernel refuses asynchronous syncs (%s: %s): all clients wait while the "
        "disk syncs\"",
        call, strerror(error));
    if (s->context != 0)
        syscall(SYS_io_destroy, s->context);
    s->context = 0;
    s->refused = true;
}

void sync_open(struct sync *s)
{
    *s = (struct sync) { .event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
    if (s->event < 0)
        give_up(s, "eventfd", errno);
}

/* Makes the context at the first sync, for one request at a time. Returns false if the kernel
 * refuses. */
static bool has_context(struct sync *s)
{
    if (s->context != 0 || s->refused)
        return s->context != 0;
    if (syscall(SYS_io_setup, 1L, &s->context) == 0)
        return true;
    s->context = 0;
    give_up(s, "io_setup", errno);
    return false;
}

/* The kernel waits for the requests of a context that is destroyed, and for its own housekeeping,
 * which takes some milliseconds. */
void sync_close(struct sync *s)
{
    if (s->context != 0)
        syscall(SYS_io_destroy, s->context);
    if (s->event >= 0)
        close(s->event);
}

/* Submits the request. Returns false if the kernel refuses it. */
static bool submit(const struct sync *s, int fd, bool data)
{
    struct iocb request = {
        .aio_lio_opcode = data ? IOCB_CMD_FDSYNC : IOCB_CMD_FSYNC,
        .aio_fildes = (uint32_t)fd,
        .aio_flags = IOCB_FLAG_RESFD,
        .aio_resfd = (uint32_t)s->event,
    };
    struct iocb *requests[] = { &request };
    return syscall(SYS_io_submit, s->context, 1L, requests) == 1;
}

static void measure(struct sync *s)
{
    histogram_add(&s->times, clock_now_us(CLOCK_MONOTONIC) - s->began_us);
}

bool sync_start(struct sync *s, int fd, bool data)
{
    s->began_us = clock_now_us(CLOCK_MONOTONIC);
    s->in_flight = has_context(s) && submit(s, fd, data);
    if (s->in_flight)
        return true;
    if (s->context != 0 && errno != EAGAIN) /* which may pass: then only this sync blocks */
        give_up(s, "io_submit", errno);
    s->result = (data ? fdatasync(fd) : fsync(fd)) < 0 ? errno : 0;
    measure(s);
    return false;
}

/* The eventfd is read first: it says only that there is a result, and the next one must wake the
 * loop again. */
int sync_result(struct sync *s)
{
    struct io_event event;
    uint64_t count;
    if (!s->in_flight)
        return s->result;
    if (read(s->event, &count, sizeof count) < 0 ||
        syscall(SYS_io_getevents, s->context, 0L, 1L, &event, NULL) != 1)
        return -1;
    measure(s);
    return (int)-event.res;
}
