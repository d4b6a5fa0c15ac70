/* aside.c - nothing that may be of value is thrown away: damaged stretches, a file that another
 * program has put in the journal's place, a file with messages that no longer fit.
 *
 * The names tell the files apart: a stretch has its CRC in its name, so that a server that is
 * started again and again keeps it once; a whole file has the time. Nobody removes these files but
 * the operator. */

#include "store/aside.h"

#include "base/crc32.h"
#include "base/date.h"
#include "base/print.h"
#include "store/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h> /* rename(2) */
#include <sys/stat.h>
#include <unistd.h>

enum {
    PIECE_BYTES = 16 << 10, /* how much is copied at a time */
    NAMES_MAX = 100,        /* how many names are tried if there are files with the same time */
};

/* Reads stretches one after the other, in pieces, and hands each piece to `take`. Returns 0 or an
 * errno. */
static int each_piece(int fd, const struct stretch *stretches, size_t count,
    int (*take)(void *context, struct span piece), void *context)
{
    static char bytes[PIECE_BYTES];
    for (size_t i = 0; i < count; i++) {
        uint64_t at = stretches[i].offset, end = at + stretches[i].len;
        while (at < end) {
            size_t want = end - at < sizeof bytes ? (size_t)(end - at) : sizeof bytes;
            ssize_t n = pread(fd, bytes, want, (off_t)at);
            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                return n < 0 ? errno : EIO;
            int error = take(context, (struct span) { bytes, (size_t)n });
            if (error != 0)
                return error;
            at += (uint64_t)n;
        }
    }
    return 0;
}

static int add_to_crc(void *context, struct span piece)
{
    uint32_t *crc = context;
    *crc = crc32(*crc, piece);
    return 0;
}

/* A file that a copy is written to. */
struct copy {
    int fd;
    uint64_t len;
};

static int write_piece(void *context, struct span piece)
{
    struct copy *copy = context;
    int error = record_write(copy->fd, piece, copy->len);
    copy->len += piece.len;
    return error;
}

/* Reads the stretches twice: for the name, and to copy them. A file of that name but another length
 * is what an earlier attempt could write; it is written again. The copy is synced, because the next
 * compaction removes the original. */
int aside_stretches(
    const struct journal *j, const struct stretch *stretches, size_t count, char *path)
{
    struct stat st;
    struct copy copy = { 0 };
    uint32_t crc = 0;
    uint64_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += stretches[i].len;
    int error = each_piece(j->fd, stretches, count, add_to_crc, &crc);
    print_into(path, ASIDE_PATH_BYTES, "%s.damaged-%08x", j->path, (unsigned)crc);
    if (error != 0 || (stat(path, &st) == 0 && (uint64_t)st.st_size == len))
        return error;
    copy.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (copy.fd < 0)
        return errno;
    error = each_piece(j->fd, stretches, count, write_piece, &copy);
    if (error == 0 && (fdatasync(copy.fd) < 0 || fsync(j->folder) < 0))
        error = errno;
    close(copy.fd);
    if (error != 0)
        unlink(path);
    return error;
}

/* Tries names until one is free: PATH.WORD-20261126T144031Z, then the same with -2, -3 and so on.
 */
static int new_name(const struct journal *j, const char *from, const char *word, char *path,
    int (*give)(const char *from, const char *to))
{
    char rest[16] = "";
    struct date d = date_of(j->hub->unix_ms / 1000);
    for (int i = 2; i < NAMES_MAX; i++) {
        print_into(path, ASIDE_PATH_BYTES, "%s.%s-%04u%02u%02uT%02u%02u%02uZ%s", j->path, word,
            d.year, d.month, d.day, d.hour, d.minute, d.second, rest);
        if (give(from, path) == 0)
            return 0;
        if (errno != EEXIST)
            return errno;
        print_into(rest, sizeof rest, "-%d", i);
    }
    return EEXIST;
}

int aside_link(const struct journal *j, const char *word, char *path)
{
    return new_name(j, j->path, word, path, link);
}

/* Renames, unless that would replace a file. */
static int rename_to_new(const char *from, const char *to)
{
    struct stat st;
    if (lstat(to, &st) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename(from, to);
}

int aside_move(const struct journal *j, const char *from, const char *word, char *path)
{
    return new_name(j, from, word, path, rename_to_new);
}
