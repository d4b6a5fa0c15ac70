/* files.c - finds the file that a path names: in the binary, or in a folder (--www).
 *
 * The binary contains the page only gzipped, because nearly every browser asks for that form; for
 * other clients, a file is unpacked once and kept.
 *
 * In a folder, the danger is path traversal: "/../etc/passwd", an encoded spelling of it, or a link
 * that leads out of the folder. Two checks keep a request inside:
 *
 * - is_plain accepts a path only if each part is a name: not "..", not ".", not a hidden file.
 *
 * - The kernel resolves the path with openat2(2) and RESOLVE_BENEATH, which refuses everything that
 *   leads out of the folder, including links. A check of the path before open(2) could not do that,
 *   because a link can be replaced between the check and the use (TOCTOU). Kernels before 5.6 do
 *   not have openat2, and some seccomp filters block it; then no link is followed at all.
 *
 * Listings of folders, and compression of a folder's files, are not supported. */

#include "api/files.h"

#include "base/inflate.h"
#include "base/print.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ==== The page in the binary ================================================================= */

/* The paths of the page's files, where each file ends, and their bytes: see www/www.S. */
extern const char page_paths[], page_bytes[];
extern const uint32_t page_ends[];

static struct page_file *files; /* in the order of page_paths; never freed */
static size_t count;

/* Makes an entity tag with FNV-1a, a hash function that takes a few lines of code. The same bytes
 * give the same tag in every process, so that a browser's copy stays valid across restarts. The
 * hash is not collision-resistant, and need not be, because the files are our own. */
static void tag(struct span bytes, const char *form, char *etag, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (unsigned char)bytes.at[i]) * 0x100000001b3;
    print_into(etag, size, "\"%016llx%s\"", (unsigned long long)hash, form);
}

/* Lists the files, but does not read them: until the first request for a file, its bytes need not
 * be in memory. */
bool files_start(void)
{
    const char *path = page_paths;
    for (; *path != '\0'; path += strlen(path) + 1)
        count++;
    files = calloc(count, sizeof *files);
    path = page_paths;
    for (size_t i = 0; files != NULL && i < count; i++, path += strlen(path) + 1) {
        uint32_t begin = i > 0 ? page_ends[i - 1] : 0;
        files[i].path = span_of(path);
        files[i].gzip = (struct span) { page_bytes + begin, page_ends[i] - begin };
    }
    return files != NULL;
}

/* Makes both tags when a file is first requested. The two forms need different strong tags, because
 * their bytes differ (RFC 9110 8.8.3.3); a cache that mixed them up would send gzip to a client
 * that cannot read it. */
static void make_tags(struct page_file *file)
{
    tag(file->gzip, "", file->etag, sizeof file->etag);
    tag(file->gzip, "-gz", file->gzip_etag, sizeof file->gzip_etag);
}

/* Makes the plain form, which is kept until the process ends. If out of memory, the file stays
 * packed, and the next request tries again. */
static void unpack(struct page_file *file)
{
    size_t size = inflate_size(file->gzip);
    char *plain = malloc(size);
    if (plain == NULL)
        return;
    must(inflate(file->gzip, plain, size));
    file->plain = (struct span) { plain, size };
}

/* Searches linearly, because there are only some twenty files. Browsers ask for /favicon.ico, also
 * for documents that name another icon or none. */
const struct page_file *files_find(struct span path, bool plain)
{
    if (span_equal(path, SPAN("/")))
        path = SPAN("/index.html");
    else if (span_equal(path, SPAN("/favicon.ico")))
        path = SPAN("/icon.svg");
    for (size_t i = 0; i < count; i++) {
        struct page_file *file = &files[i];
        if (!span_equal(path, file->path))
            continue;
        if (file->etag[0] == '\0')
            make_tags(file);
        if (plain && file->plain.at == NULL)
            unpack(file);
        return file;
    }
    return NULL;
}

/* ==== A folder =============================================================================== */

/* Declares what is needed from linux/openat2.h (Linux 5.6), which not every libc has. The call has
 * the number 437 on all architectures except Alpha and MIPS. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
struct open_how {
    uint64_t flags, mode, resolve;
};
/* Magic links are links like those in /proc/PID/fd, which can lead anywhere. */
enum { RESOLVE_NO_MAGICLINKS = 0x02, RESOLVE_BENEATH = 0x08 };

/* Opens a path without openat2: one folder after the other, and never through a link. `path` has no
 * ".." in it (is_plain), so each step leads down. Costs two system calls per folder. Returns a
 * descriptor or -1. */
static int open_without_links(int root, const char *path)
{
    int folder = root;
    for (;;) {
        const char *slash = strchr(path, '/');
        int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
        char name[256];
        size_t len = slash != NULL ? (size_t)(slash - path) : strlen(path);
        if (len >= sizeof name)
            break;
        memcpy(name, path, len);
        name[len] = '\0';
        int fd = openat(folder, name, slash != NULL ? flags | O_DIRECTORY : flags);
        int error = errno; /* close may change it */
        if (folder != root)
            close(folder);
        errno = error;
        if (fd < 0 || slash == NULL)
            return fd;
        folder = fd;
        path = slash + 1;
    }
    if (folder != root)
        close(folder);
    return -1;
}

/* Opens a path below `root`, and follows links that stay below it. EPERM can come from a seccomp
 * filter that does not know openat2; if the file itself is the reason, trying again fails too. */
static int open_beneath(int root, const char *path)
{
    /* Without O_NONBLOCK, opening a FIFO would wait for a writer and stop the whole server. */
    struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return open_without_links(root, path);
    return (int)fd;
}

/* Returns whether every part of a decoded path is a name that does not begin with a dot. That
 * excludes ".", "..", and hidden files, which are often secrets (.git, .env). A NUL is refused
 * because the kernel would take it for the end of the name. */
static bool is_plain(struct span path)
{
    struct span part;
    while (span_split(&path, '/', &part))
        if (part.len == 0 || part.at[0] == '.' || memchr(part.at, '\0', part.len) != NULL)
            return false;
    return true;
}

/* Checks the type of the open file (fstat), because by now its name could lead to another file.
 * Sends only regular files: a device or a FIFO has no size, and could block the loop. */
int files_open(int root, struct span path, struct stat *st)
{
    static const char index[] = "index.html";
    char name[4096];
    if (path.len == 0 || path.at[0] != '/' || path.len + sizeof index > sizeof name)
        return FILES_NONE;
    path.at++, path.len--;
    bool folder = path.len == 0 || path.at[path.len - 1] == '/';
    memcpy(name, path.at, path.len);
    memcpy(name + path.len, folder ? index : "", folder ? sizeof index : 1);
    if (!is_plain((struct span) { name, path.len + (folder ? sizeof index - 1 : 0) }))
        return FILES_NONE;
    int fd = open_beneath(root, name);
    /* EAGAIN: a rename raced with the kernel's walk, and the kernel cannot tell whether ".." in a
     * link led out. All other errors are "not found": the reason is not the client's business. */
    if (fd < 0)
        return errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EIO ||
                       errno == EAGAIN
                   ? FILES_SHORTAGE
                   : FILES_NONE;
    if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode)) {
        close(fd);
        return FILES_NONE;
    }
    return fd;
}

/* Searches linearly through some 30 extensions. A file without a known extension is sent as
 * application/octet-stream, and because of `nosniff` (page.c) no browser runs it. */
const char *files_type(struct span path)
{
    static const char *const types[][2] = {
        { "html", "text/html; charset=utf-8" },
        { "htm", "text/html; charset=utf-8" },
        { "css", "text/css; charset=utf-8" },
        { "js", "text/javascript; charset=utf-8" },
        { "mjs", "text/javascript; charset=utf-8" },
        { "json", "application/json" },
        { "map", "application/json" },
        { "txt", "text/plain; charset=utf-8" },
        { "md", "text/plain; charset=utf-8" },
        { "xml", "application/xml" },
        { "svg", "image/svg+xml" },
        { "png", "image/png" },
        { "jpg", "image/jpeg" },
        { "jpeg", "image/jpeg" },
        { "gif", "image/gif" },
        { "webp", "image/webp" },
        { "avif", "image/avif" },
        { "ico", "image/x-icon" },
        { "woff", "font/woff" },
        { "woff2", "font/woff2" },
        { "ttf", "font/ttf" },
        { "wasm", "application/wasm" },
        { "webmanifest", "application/manifest+json" },
        { "pdf", "application/pdf" },
        { "mp3", "audio/mpeg" },
        { "m4a", "audio/mp4" },
        { "ogg", "audio/ogg" },
        { "wav", "audio/wav" },
        { "mp4", "video/mp4" },
        { "mov", "video/quicktime" },
        { "webm", "video/webm" },
        { "vtt", "text/vtt; charset=utf-8" },
    };
    struct span ending = { NULL, 0 }, rest = path, part;
    while (span_split(&rest, '.', &part))
        ending = part;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (span_equal_nocase(span_of(types[i][0]), ending))
            return types[i][1];
    bool folder = path.at[path.len - 1] == '/'; /* its index.html */
    return folder ? types[0][1] : "application/octet-stream";
}

/* Makes the tag from the inode, the size and the time of the last change, because a hash would have
 * to read the whole file for each request. That time is the ctime, because a program can set the
 * mtime back, and a client would then join parts of two files (If-Range). The price: a file that is
 * overwritten with the same number of bytes within one tick of the filesystem's clock keeps its
 * tag. Renaming a new file into place is safe. */
void files_etag(const struct stat *st, char *etag, size_t size)
{
    print_into(etag, size, "\"%llx-%llx-%llx.%lx\"", (unsigned long long)st->st_ino,
        (unsigned long long)st->st_size, (unsigned long long)st->st_ctim.tv_sec,
        (unsigned long)st->st_ctim.tv_nsec);
}
