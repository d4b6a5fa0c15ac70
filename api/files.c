/* files.c - finds what a path names, in the binary or in a folder.
 *
 * In the binary the page is compressed, as nearly every browser wants it. Who wants it plain has it
 * unpacked, once.
 *
 * In the folder the kernel does the guarding: openat2(2) with RESOLVE_BENEATH follows no link and
 * no ".." out of it. Where the kernel does not know openat2 (before 5.6), or a filter forbids it,
 * links are not followed at all. */

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

/* Where www.S has put a file, compressed. */
#define PAGE(name) extern const char page_##name[], page_##name##_end[];
PAGE(index)
PAGE(style)
PAGE(chat)
PAGE(icon)
#undef PAGE

/* FNV-1a (Fowler, Noll, Vo): the tag must be the same in every process that has the same bytes. */
static void tag(struct span bytes, const char *form, char *etag, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ (unsigned char)bytes.at[i]) * 0x100000001b3;
    print_into(etag, size, "\"%016llx%s\"", (unsigned long long)hash, form);
}

/* What is kept of a file since it was asked for first. */
static void read_page(struct page_file *file, const char *begin, const char *end)
{
    file->gzip = (struct span) { begin, (size_t)(end - begin) };
    tag(file->gzip, "", file->etag, sizeof file->etag);
    tag(file->gzip, "-gz", file->gzip_etag, sizeof file->gzip_etag);
}

/* Without memory it stays packed; the next one who asks may have more luck. */
static void unpack(struct page_file *file)
{
    size_t size = inflate_size(file->gzip);
    char *plain = malloc(size);
    if (plain == NULL)
        return;
    must(inflate(file->gzip, plain, size));
    file->plain = (struct span) { plain, size };
}

const struct page_file *files_find(struct span path, bool plain)
{
    static const struct {
        const char *path, *other_path, *type, *begin, *end;
    } pages[] = {
        { "/", "/index.html", "text/html; charset=utf-8", page_index, page_index_end },
        { "/style.css", "/style.css", "text/css; charset=utf-8", page_style, page_style_end },
        { "/chat.js", "/chat.js", "text/javascript; charset=utf-8", page_chat, page_chat_end },
        { "/icon.svg", "/favicon.ico", "image/svg+xml", page_icon, page_icon_end },
    };
    enum { COUNT = sizeof pages / sizeof pages[0] };
    static struct page_file files[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        struct page_file *file = &files[i];
        if (!span_equal(span_of(pages[i].path), path) &&
            !span_equal(span_of(pages[i].other_path), path))
            continue;
        if (file->type == NULL)
            read_page(file, pages[i].begin, pages[i].end);
        file->type = pages[i].type;
        if (plain && file->plain.at == NULL)
            unpack(file);
        return file;
    }
    return NULL;
}

/* ==== A folder =============================================================================== */

/* linux/openat2.h is not among the headers of every libc, and before Linux 5.6 they do not know the
 * call; its number is the same on every architecture here. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
struct open_how {
    uint64_t flags, mode, resolve;
};
enum { RESOLVE_NO_MAGICLINKS = 0x02, RESOLVE_BENEATH = 0x08 };

/* Step by step, without following a link. */
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
        int error = errno;
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

static int open_beneath(int root, const char *path)
{
    /* O_NONBLOCK: opening a FIFO must not wait for somebody to write into it. */
    struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return open_without_links(root, path);
    return (int)fd;
}

/* Every part of the path is a name: none is empty, none begins with a dot. */
static bool is_plain(struct span path)
{
    struct span part;
    while (span_split(&path, '/', &part))
        if (part.len == 0 || part.at[0] == '.' || memchr(part.at, '\0', part.len) != NULL)
            return false;
    return true;
}

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
        { "mp4", "video/mp4" },
        { "webm", "video/webm" },
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

void files_etag(const struct stat *st, char *etag, size_t size)
{
    print_into(etag, size, "\"%llx-%llx-%llx.%lx\"", (unsigned long long)st->st_ino,
        (unsigned long long)st->st_size, (unsigned long long)st->st_mtim.tv_sec,
        (unsigned long)st->st_mtim.tv_nsec);
}
