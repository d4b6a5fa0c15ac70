/* disk.h - the control file of a server whose disk is slow or fails on demand (disk.c).
 *
 * The server maps the file when it starts, and the tools of a test map the same file: a value that
 * a tool sets counts from the server's next call on. All values are 64-bit integers, and 0 means
 * that nothing happens, so a new file changes nothing. disk_set.c sets the values for a script. */

#ifndef DISK_H
#define DISK_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A kind of call: each call fails with the errno `error`, with a probability of 1/one_in (1:
 * always; 0: never). The server counts the calls of the kind, and those that it made fail. */
struct disk_fault {
    _Atomic int64_t error, one_in, calls, failed;
};

struct disk {
    char magic[8];
    _Atomic int64_t sync_delay_us; /* a sync is reported that much later than it was done */
    _Atomic int64_t stuck;         /* while it is not 0, no sync is reported */
    _Atomic int64_t clock_ms;      /* is added to CLOCK_REALTIME */
    _Atomic int64_t pwrite_short;  /* one of so many pwrites writes only a part */
    _Atomic int64_t seed;          /* of the random decisions; every decision changes it */
    _Atomic int64_t asynchronous;  /* counts the syncs that were submitted with io_submit */
    _Atomic int64_t sync_us;       /* the time of all syncs so far, without their delays */
    struct disk_fault sync;        /* fdatasync, fsync, and a sync of io_submit at its end */
    struct disk_fault pwrite, ftruncate, rename, link, unlink;
    struct disk_fault open;   /* only of a path that contains "journal" */
    struct disk_fault setup;  /* io_setup */
    struct disk_fault submit; /* io_submit; io_getevents reports what `sync` says */
};

#define DISK_MAGIC "disk 2\n" /* changes with the struct */

/* Makes a file that was just created a control file. */
static inline bool disk_format(int fd)
{
    const struct disk new = { .magic = DISK_MAGIC };
    return write(fd, &new, sizeof new) == (ssize_t)sizeof new;
}

/* Maps a control file; with `create`, makes it first if there is none. Returns NULL and sets errno
 * on failure: EINVAL if the file is something else. The mapping lasts as long as the process. */
static inline struct disk *disk_map(const char *path, bool create)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
    if (fd < 0 || fstat(fd, &st) < 0)
        return NULL;
    if (create && st.st_size == 0 && (!disk_format(fd) || fstat(fd, &st) < 0))
        return NULL;
    errno = EINVAL;
    if (st.st_size != (off_t)sizeof(struct disk))
        return NULL;
    void *at = mmap(NULL, sizeof(struct disk), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return NULL;
    errno = EINVAL;
    return memcmp(at, DISK_MAGIC, sizeof DISK_MAGIC) == 0 ? at : NULL;
}

#endif
