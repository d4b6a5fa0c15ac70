/* claim.c - opens and locks the journal's file at startup.
 *
 * Two processes that append to one file would overwrite each other's records. Two locks prevent
 * that. One is on the file itself, which may have several names (hard links). The other is on
 * PATH.lock, because compaction replaces the file, and a lock stays with the file that was locked.
 *
 * They are locks of the open file (F_OFD_SETLK, fcntl(2)). A plain record lock would go as soon as
 * any descriptor of the file was closed, even one that was opened only to read it. The kernel drops
 * the locks when the last copy of the descriptor is closed, however the process ends, so no lock is
 * ever stale; no child keeps a copy (compact.c).
 *
 * Nothing is changed before it is certain that the file is ours: the name of another file, given by
 * mistake, must not cost its owner that file. */

#include "store/claim.h"

#include "base/log.h"
#include "base/print.h"
#include "store/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    /* A predecessor that is just ending still has the lock, and service managers do not wait for
     * every process of a service. */
    LOCK_WAIT_MS = 5000,
    LOCK_PAUSE_MS = 50,
};

void claim_refuse(const char *path, const char *why)
{
    log_exit(EXIT_SYSTEM, "--journal %s: %s", path, why);
}

void claim_refuse_newer(const char *path, uint64_t version)
{
    log_exit(EXIT_SYSTEM,
        "--journal %s: the file has version %llu of the format, and this ssechat reads versions up "
        "to %d; start the version of ssechat that wrote it, or a newer one",
        path, (unsigned long long)version, RECORD_VERSION);
}

bool claim_is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Returns PATH with a suffix, from malloc; the caller owns it. */
static char *path_with(const char *path, const char *suffix)
{
    size_t len = strlen(path) + strlen(suffix) + 1;
    char *with = malloc(len);
    if (with == NULL)
        claim_refuse(path, strerror(errno));
    print_into(with, len, "%s%s", path, suffix);
    return with;
}

/* Refuses a folder, a device or a FIFO before any file is created beside it. A new path is fine. */
static void check_path(const char *path)
{
    struct stat st;
    errno = 0;
    if (stat(path, &st) < 0 ? errno != ENOENT : !S_ISREG(st.st_mode))
        claim_refuse(path, errno != 0 ? strerror(errno) : "it is not a regular file");
}

/* Opens the file, which is created if `flags` is O_CREAT and it does not exist, and refuses one
 * that is no journal. The file may be one that another server is writing. */
static int open_file(const char *path, int flags, uint64_t *size)
{
    struct stat st;
    struct reader r;
    int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
    if (fd < 0 || fstat(fd, &st) < 0)
        claim_refuse(path, strerror(errno));
    *size = (uint64_t)st.st_size;
    reader_begin(&r, fd, *size);
    bool ours = reader_is_journal(&r);
    const char *error = reader_error(&r);
    reader_end(&r);
    if (r.version > RECORD_VERSION)
        claim_refuse_newer(path, r.version);
    if (!ours)
        claim_refuse(path,
            error != NULL ? error
                          : "it is not a journal of ssechat, and is left as it is; choose another "
                            "name, or move it away");
    return fd;
}

/* Returns the path without symbolic links (from malloc), so that a journal has one name and one
 * lock, and a compaction renames over the file itself, not over a link to it. */
static char *real_path(const char *path)
{
    char *real = realpath(path, NULL);
    if (real == NULL)
        claim_refuse(path, strerror(errno));
    return real;
}

bool claim_lock(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool claim_is_at(int fd, const char *path)
{
    struct stat open_file, named;
    return fstat(fd, &open_file) == 0 && stat(path, &named) == 0 &&
           claim_is_same(&open_file, &named);
}

/* Takes both locks, and waits for them for a while. A predecessor may have replaced the file
 * meanwhile, so the file is opened again if the path no longer refers to it. */
static void take_locks(struct journal *j)
{
    const struct timespec pause = { 0, LOCK_PAUSE_MS * 1000000 };
    j->lock = open(j->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (j->lock < 0)
        claim_refuse(j->path, strerror(errno));
    for (int waited_ms = 0;; waited_ms += LOCK_PAUSE_MS) {
        bool locked = claim_lock(j->lock) && claim_lock(j->fd);
        if (locked && claim_is_at(j->fd, j->path))
            return;
        if (!locked && errno != EAGAIN && errno != EACCES)
            claim_refuse(j->path, strerror(errno));
        if (waited_ms >= LOCK_WAIT_MS)
            claim_refuse(j->path, "another ssechat uses this journal; give each one its own");
        nanosleep(&pause, NULL);
        if (!claim_is_at(j->fd, j->path)) {
            close(j->fd);
            j->fd = open_file(j->path, O_CREAT, &j->size);
        }
    }
}

/* Warns if the file itself is a mount point, as in a container that was given only the file: it can
 * be appended to, but not replaced. statx(2) is called by number, because older versions of musl
 * lack it; the second word of its result has the attributes. */
static void check_mount(const char *path)
{
#ifdef SYS_statx
    const uint64_t mount_root = 0x2000; /* STATX_ATTR_MOUNT_ROOT, Linux 5.8 */
    uint64_t result[64] = { 0 };
    if (syscall(SYS_statx, AT_FDCWD, path, 0, 0, result) == 0 && (result[1] & mount_root) != 0)
        log_line(LOG_WARN, "journal hint=\"only the file is mounted, so it cannot be rewritten and "
                           "will grow; mount the journal's folder\"");
#endif
}

bool claim_is_used(const struct journal *j, const char *path)
{
    if (claim_is_at(j->fd, path))
        return false;
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool refused = (fd < 0 || !claim_lock(fd)) && (errno == EAGAIN || errno == EACCES);
    if (fd >= 0)
        close(fd);
    return refused;
}

/* Another server's journal of that name has a lock beside it. What is left must go now: on a small
 * disk there is no space for a compaction beside it. */
void claim_clear(const struct journal *j)
{
    struct stat st;
    struct reader r;
    char *lock = path_with(j->new_path, ".lock");
    int fd = open(j->new_path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && access(lock, F_OK) < 0) {
        reader_begin(&r, fd, (uint64_t)st.st_size);
        if (reader_is_journal(&r))
            unlink(j->new_path);
        reader_end(&r);
    }
    if (fd >= 0)
        close(fd);
    free(lock);
}

int claim_folder(struct journal *j)
{
    int folder = open(j->folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return errno;
    if (j->folder >= 0)
        close(j->folder);
    j->folder = folder;
    return 0;
}

void claim_file(struct journal *j, const char *path)
{
    struct stat st;
    check_path(path);
    j->fd = open_file(path, O_CREAT, &j->size);
    j->path = real_path(path);
    j->new_path = path_with(j->path, ".new");
    j->lock_path = path_with(j->path, ".lock");
    take_locks(j);
    char *copy = path_with(j->path, ""); /* dirname(3) changes its argument */
    j->folder_path = path_with(dirname(copy), "");
    free(copy);
    int error = fstat(j->fd, &st) < 0 ? errno : claim_folder(j);
    if (error != 0)
        claim_refuse(path, strerror(error));
    j->size = (uint64_t)st.st_size;
    check_mount(j->path);
}

/* Needs the lock, which is beside the file that a link leads to, or a folder where it can be
 * created. */
void claim_check(const char *path)
{
    uint64_t size;
    check_path(path);
    if (access(path, F_OK) == 0)
        close(open_file(path, 0, &size));
    char *real = access(path, F_OK) == 0 ? real_path(path) : path_with(path, "");
    char *lock = path_with(real, ".lock");
    if (access(access(lock, F_OK) == 0 ? lock : dirname(real), W_OK) < 0)
        claim_refuse(path, strerror(errno));
    free(real);
    free(lock);
}
