/* disk.c - a disk that is slow or fails on demand, in a special build of the server.
 *
 *     DISK=FILE  the control file, which disk_set creates; without this variable nothing changes
 *
 * disk.h lists what the control file can ask for. This is fault injection by the linker: -Wl,--wrap
 * redirects the server's calls to this file, whichever libc or sanitizer provides the real
 * functions. A forked child has the same mapping, so its calls are slow and fail in the same way.
 *
 * A sync that a call waits for (fdatasync, fsync) sleeps in that call, after the real sync. A sync
 * by the kernel's AIO (io_submit) must not make the caller wait, so a thread reports it:
 *
 *      io_submit    ── the real request, but it signals this file's eventfd, `finished`
 *      the thread   ── takes the real event, sleeps, then signals the server's eventfd
 *      io_getevents ── gives the server the events that the thread has reported, and no others
 *
 * The thread starts with the first request, so a server that does not use AIO has no thread. A
 * child cannot use AIO, because the thread is not in it; the kernel's AIO contexts are not, either.
 *
 * The off_t of the real functions must have 64 bits: glibc has two of each for 32-bit machines. */

#include "disk.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>

_Static_assert(sizeof(off_t) == 8 && sizeof(long) == 8, "this file is for 64-bit machines");

enum {
    REQUESTS_MAX = 64, /* AIO requests in flight; io_submit then fails with EAGAIN */
    POLL_US = 500,     /* how often a wait looks at the control file again */
};

int __real_clock_gettime(clockid_t id, struct timespec *time);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_ftruncate(int fd, off_t size);
int __real_link(const char *from, const char *to);
int __real_open(const char *path, int flags, ...);
ssize_t __real_pwrite(int fd, const void *bytes, size_t len, off_t offset);
int __real_rename(const char *from, const char *to);
long __real_syscall(long number, ...);
int __real_unlink(const char *path);
int __wrap_clock_gettime(clockid_t id, struct timespec *time);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_ftruncate64(int fd, off_t size);
int __wrap_link(const char *from, const char *to);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t len, off_t offset);
int __wrap_rename(const char *from, const char *to);
long __wrap_syscall(long number, ...);
int __wrap_unlink(const char *path);

static struct disk nothing;          /* the settings without a control file */
static struct disk *disk = &nothing; /* the mapped control file */

/* Ends the process, because a test whose faults are not injected would pass for the wrong reason.
 */
__attribute__((noreturn)) static void give_up(const char *what)
{
    fprintf(stderr, "disk: %s: %s\n", what, strerror(errno));
    _exit(1);
}

/* Maps the control file before main, so that even the first call can fail. */
__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("DISK");
    struct disk *mapped = path != NULL ? disk_map(path, false) : &nothing;
    if (mapped == NULL)
        give_up(path);
    disk = mapped;
}

/* ==== Chance and time ======================================================================== */

/* Returns true once in `one_in` calls on average. The state is splitmix64's, and is shared by all
 * processes that map the control file, so that a child does not repeat its parent's decisions. */
static bool happens(int64_t one_in)
{
    if (one_in <= 1)
        return one_in == 1;
    uint64_t z = (uint64_t)atomic_fetch_add(&disk->seed, (int64_t)0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (z ^ z >> 31) % (uint64_t)one_in == 0;
}

/* Counts a call, and returns whether it must fail; errno is then set. */
static bool fails(struct disk_fault *fault)
{
    int64_t error = fault->error;
    fault->calls++;
    if (error == 0 || !happens(fault->one_in))
        return false;
    fault->failed++;
    errno = (int)error;
    return true;
}

/* Returns the monotonic time. */
static int64_t now_us(void)
{
    struct timespec now;
    __real_clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Sleeps, and returns whether no signal has interrupted it. */
static bool rest(int64_t us)
{
    struct timespec time = { .tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000 * 1000) };
    return nanosleep(&time, NULL) == 0;
}

/* Reads a clock; the real-time clock is off by `clock_ms`. */
int __wrap_clock_gettime(clockid_t id, struct timespec *time)
{
    int64_t shift_ms = disk->clock_ms;
    if (__real_clock_gettime(id, time) < 0)
        return -1;
    if (id != CLOCK_REALTIME || shift_ms == 0)
        return 0;
    int64_t ns = time->tv_nsec + shift_ms % 1000 * 1000000;
    int64_t carry = ns < 0 ? -1 : ns >= 1000000000;
    time->tv_sec += shift_ms / 1000 + carry;
    time->tv_nsec = (long)(ns - carry * 1000000000);
    return 0;
}

/* ==== Calls that do their work at once ======================================================= */

/* Waits until a sync may be reported that the disk did just now. As with a real sync, a signal does
 * not end the wait. */
static void wait_for_sync(void)
{
    int64_t due_us = now_us() + disk->sync_delay_us, left;
    while ((left = due_us - now_us()) > 0)
        rest(left);
    while (disk->stuck != 0)
        rest(POLL_US);
}

/* Returns what a sync reports that began then and has this real result. */
static int end_sync(int64_t begin_us, int result)
{
    int error = errno;
    disk->sync_us += now_us() - begin_us;
    wait_for_sync();
    errno = error;
    return fails(&disk->sync) ? -1 : result;
}

/* Syncs a file's content. The result comes late, or is an error. */
int __wrap_fdatasync(int fd)
{
    int64_t begin_us = now_us();
    return end_sync(begin_us, __real_fdatasync(fd));
}

/* Syncs a file or a folder in the same way. */
int __wrap_fsync(int fd)
{
    int64_t begin_us = now_us();
    return end_sync(begin_us, __real_fsync(fd));
}

/* Writes everything, about a half, or nothing. */
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    if (fails(&disk->pwrite))
        return -1;
    if (len > 1 && happens(disk->pwrite_short))
        len = (len + 1) / 2;
    return __real_pwrite(fd, bytes, len, offset);
}

/* Does the same under glibc's name. */
ssize_t __wrap_pwrite64(int fd, const void *bytes, size_t len, off_t offset)
{
    return __wrap_pwrite(fd, bytes, len, offset);
}

/* Truncates a file, or fails. */
int __wrap_ftruncate(int fd, off_t size)
{
    return fails(&disk->ftruncate) ? -1 : __real_ftruncate(fd, size);
}

/* Does the same under glibc's name. */
int __wrap_ftruncate64(int fd, off_t size)
{
    return __wrap_ftruncate(fd, size);
}

/* Renames a file, or fails. */
int __wrap_rename(const char *from, const char *to)
{
    return fails(&disk->rename) ? -1 : __real_rename(from, to);
}

/* Links a file, or fails. */
int __wrap_link(const char *from, const char *to)
{
    return fails(&disk->link) ? -1 : __real_link(from, to);
}

/* Removes a name, or fails. */
int __wrap_unlink(const char *path)
{
    return fails(&disk->unlink) ? -1 : __real_unlink(path);
}

/* Opens a file, or fails. */
static int open_with(const char *path, int flags, mode_t mode)
{
    if (strstr(path, "journal") != NULL && fails(&disk->open))
        return -1;
    return __real_open(path, flags, mode);
}

/* Reads the mode, which is an argument only if a file may be created. */
int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_with(path, flags, mode);
}

/* Does the same under glibc's name. */
int __wrap_open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_with(path, flags, mode);
}

/* ==== AIO ==================================================================================== */

/* The structs of <linux/aio_abi.h>, which Debian's musl package does not contain. */
struct iocb {
    uint64_t data;
    uint32_t key, rw_flags;
    uint16_t opcode;
    int16_t priority;
    uint32_t fd;
    uint64_t buffer, len;
    int64_t offset;
    uint64_t reserved;
    uint32_t flags, result_fd;
};

struct io_event {
    uint64_t data, iocb;
    int64_t result, result2;
};

_Static_assert(sizeof(struct iocb) == 64 && sizeof(struct io_event) == 32, "the kernel's layout");

enum { OPCODE_FSYNC = 2, OPCODE_FDSYNC = 3, FLAG_RESULT_FD = 1 };

/* A request in flight. The kernel has the request's number as its `data`, and `finished` as its
 * eventfd; the server's own are here. The server must not close its eventfd while a request is in
 * flight, because the thread knows only its number. */
struct request {
    enum { FREE, SUBMITTED, FINISHED, REPORTED } state;
    unsigned long context;
    uint64_t data;
    int result_fd; /* the server's eventfd, or -1 */
    int64_t begin_us, due_us;
    struct io_event event; /* from FINISHED on */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects the requests */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct request requests[REQUESTS_MAX];
static int finished;

/* Takes the real events of a context. */
static void take_events(unsigned long context)
{
    struct io_event events[REQUESTS_MAX];
    long count = __real_syscall(SYS_io_getevents, context, 0L, (long)REQUESTS_MAX, events, NULL);
    for (long i = 0; i < count; i++) {
        struct request *r = &requests[events[i].data];
        int64_t now = now_us();
        disk->sync_us += now - r->begin_us;
        r->state = FINISHED;
        r->due_us = now + disk->sync_delay_us;
        r->event = events[i];
        r->event.data = r->data;
    }
}

/* Reports a finished request if it is due. Returns how long to wait for it otherwise, or 0. */
static int64_t report(struct request *r)
{
    static const uint64_t one = 1;
    int64_t left = r->due_us - now_us();
    if (left <= 0 && disk->stuck != 0)
        left = POLL_US;
    if (left > 0)
        return left;
    r->state = REPORTED;
    if (r->result_fd >= 0 && write(r->result_fd, &one, sizeof one) != (ssize_t)sizeof one)
        give_up("the eventfd of a request");
    return 0;
}

/* Takes and reports what can be. Returns how long to wait for the next report, or -1. */
static int64_t report_all(void)
{
    int64_t least = -1, left;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < REQUESTS_MAX; i++)
        if (requests[i].state == SUBMITTED)
            take_events(requests[i].context);
    for (int i = 0; i < REQUESTS_MAX; i++)
        if (requests[i].state == FINISHED && (left = report(&requests[i])) > 0)
            least = least < 0 || left < least ? left : least;
    pthread_mutex_unlock(&lock);
    return least;
}

/* Runs the thread. */
static void *report_forever(void *unused)
{
    (void)unused;
    for (;;) {
        struct pollfd event = { .fd = finished, .events = POLLIN };
        uint64_t count;
        int64_t us = report_all();
        struct timespec limit = { .tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000 * 1000) };
        if (ppoll(&event, 1, us < 0 ? NULL : &limit, NULL) > 0 &&
            read(finished, &count, sizeof count) < 0)
            give_up("the eventfd of the thread");
    }
    return NULL;
}

/* Starts the thread, with all signals blocked: they are for the server's own thread. */
static void start_thread(void)
{
    pthread_t thread;
    sigset_t all, before;
    finished = eventfd(0, EFD_CLOEXEC);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (finished < 0 || (errno = pthread_create(&thread, NULL, report_forever, NULL)) != 0)
        give_up("the thread");
    pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Returns a request that is not in use, or NULL. */
static struct request *find_free(void)
{
    for (int i = 0; i < REQUESTS_MAX; i++)
        if (requests[i].state == FREE)
            return &requests[i];
    return NULL;
}

/* Submits a request that signals `finished`. The server's iocb is changed only during the call, so
 * the event that the server gets points to it. */
static bool submit_one(unsigned long context, struct iocb *iocb)
{
    struct iocb before = *iocb;
    if (iocb->opcode != OPCODE_FSYNC && iocb->opcode != OPCODE_FDSYNC)
        give_up("a request that is not a sync");
    pthread_mutex_lock(&lock);
    struct request *r = find_free();
    bool submitted = false;
    errno = EAGAIN;
    if (r != NULL) {
        iocb->data = (uint64_t)(r - requests);
        iocb->flags |= FLAG_RESULT_FD;
        iocb->result_fd = (uint32_t)finished;
        submitted = __real_syscall(SYS_io_submit, context, 1L, &iocb) == 1;
        iocb->data = before.data;
        iocb->flags = before.flags;
        iocb->result_fd = before.result_fd;
    }
    if (submitted) {
        bool signals = (before.flags & FLAG_RESULT_FD) != 0;
        *r = (struct request) { .state = SUBMITTED,
            .context = context,
            .data = before.data,
            .result_fd = signals ? (int)before.result_fd : -1,
            .begin_us = now_us() };
        disk->asynchronous++;
    }
    pthread_mutex_unlock(&lock);
    return submitted;
}

/* Does io_submit: returns how many requests were submitted, or -1 if the first was not. */
static long submit(unsigned long context, long count, struct iocb **iocbs)
{
    pthread_once(&once, start_thread);
    for (long i = 0; i < count; i++)
        if (fails(&disk->submit) || !submit_one(context, iocbs[i]))
            return i > 0 ? i : -1;
    return count;
}

/* Takes reported events of a context, at most `most`, and returns how many there were. */
static long take_reported(unsigned long context, long most, struct io_event *events)
{
    long count = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < REQUESTS_MAX && count < most; i++) {
        struct request *r = &requests[i];
        if (r->state != REPORTED || r->context != context)
            continue;
        r->state = FREE;
        if (fails(&disk->sync))
            r->event.result = -errno;
        events[count++] = r->event;
    }
    pthread_mutex_unlock(&lock);
    return count;
}

/* Does io_getevents: waits until there are `least` events or the time is over. */
static long get_events(unsigned long context, long least, long most, struct io_event *events,
    const struct timespec *limit)
{
    int64_t end_us = limit == NULL
                         ? INT64_MAX
                         : now_us() + (int64_t)limit->tv_sec * 1000000 + limit->tv_nsec / 1000;
    long count = take_reported(context, most, events);
    while (count < least && now_us() < end_us) {
        if (!rest(POLL_US) && count == 0)
            return -1;
        count += take_reported(context, most - count, events + count);
    }
    return count;
}

/* Does io_destroy: waits until all requests of the context have been reported, and drops them. */
static long destroy(unsigned long context)
{
    for (bool busy = true; busy;) {
        busy = false;
        pthread_mutex_lock(&lock);
        for (int i = 0; i < REQUESTS_MAX; i++) {
            if (requests[i].context != context || requests[i].state == FREE)
                continue;
            busy |= requests[i].state != REPORTED;
            if (requests[i].state == REPORTED)
                requests[i].state = FREE;
        }
        pthread_mutex_unlock(&lock);
        if (busy)
            rest(POLL_US);
    }
    return __real_syscall(SYS_io_destroy, context);
}

/* Forwards six arguments, as libc does: the kernel ignores those that a call does not have. Where
 * the caller passed fewer, this reads what its registers and stack contain, which a sanitizer must
 * not mistake for an error. */
__attribute__((no_sanitize("address", "undefined"))) long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    if (disk == &nothing)
        return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    switch (number) {
    case SYS_io_setup:
        return fails(&disk->setup) ? -1 : __real_syscall(number, a[0], a[1]);
    case SYS_io_submit:
        return submit((unsigned long)a[0], a[1], (struct iocb **)a[2]);
    case SYS_io_getevents:
        return get_events((unsigned long)a[0], a[1], a[2], (struct io_event *)a[3],
            (const struct timespec *)a[4]);
    case SYS_io_destroy:
        return destroy((unsigned long)a[0]);
    default:
        return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
}
