/* page.c - answers GET / and the paths below it with files: the chat page in the binary, or the
 * folder of --www.
 *
 * How a browser's copy stays fresh: each file has an entity tag and `Cache-Control: no-cache`,
 * which means "keep it, but ask before you use it". The browser asks with If-None-Match and, while
 * the tag is the same, gets a 304 without a body (RFC 9110 13.1.2). So a second visit costs only
 * heads, and a new version appears at once. The page in the binary has two forms, plain and gzip.
 * Accept-Encoding decides which form a client gets; Vary tells caches about this choice, and each
 * form has its own tag.
 *
 * files.c finds the file that a path names, and explains why no path leads out of the folder. */

#include "api/page.h"

#include "api/answer.h"
#include "api/files.h"
#include "api/parameters.h"
#include "api/values.h"
#include "base/log.h"
#include "base/print.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int www = -1; /* the folder of --www, opened once; -1: the page in the binary */

void page_start(const char *folder)
{
    if (folder == NULL) {
        if (!files_start())
            log_exit(EXIT_SYSTEM, "out of memory while listing the page's files");
        return;
    }
    www = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (www < 0)
        log_exit(EXIT_SYSTEM, "--www %s: %s", folder, strerror(errno));
}

/* Decodes the request's path in place; call this only once per request. Returns false if the path
 * cannot name a file, because its percent-encoding is broken or it contains an encoded slash or
 * NUL. An encoded slash is not a separator (RFC 3986 2.2) but looks like one after decoding: a
 * proxy that guards some paths could then read the path differently. So the slashes are counted
 * before and after decoding. */
static bool read_path(const struct client *c, struct span *path)
{
    *path = http_span(exchange_request(c)->path, exchange_bytes(c));
    size_t slashes = 0;
    for (size_t i = 0; i < path->len; i++)
        slashes += path->at[i] == '/';
    if (!parameters_decode(path, false))
        return false;
    for (size_t i = 0; i < path->len; i++)
        slashes -= path->at[i] == '/';
    return slashes == 0 && memchr(path->at, '\0', path->len) == NULL;
}

static bool has_current_copy(const struct client *c, const char *etag)
{
    return values_etag_matches(exchange_request(c), exchange_bytes(c), span_of(etag));
}

/* Begins the answer for a file, 200 or 206, with the fields that these share with 304; a 304 must
 * repeat ETag, Cache-Control and Vary (RFC 9110 15.4.5). Returns NULL if the client's copy is
 * current; then the 304 has already been sent. */
static struct buffer *begin_file(struct client *c, int status, const char *etag, const char *fields)
{
    bool unchanged = has_current_copy(c, etag);
    struct buffer *out = answer_begin(c, unchanged ? 304 : status);
    buffer_printf(out,
        "ETag: %s\r\nCache-Control: no-cache\r\nX-Content-Type-Options: nosniff\r\n"
        "Referrer-Policy: no-referrer\r\n%s",
        etag, fields);
    if (!unchanged)
        return out;
    buffer_add(out, SPAN("\r\n"));
    answer_send(c, (struct span) { NULL, 0 });
    return NULL;
}

/* Answers with a file of the chat page. The Content-Security-Policy allows only the page's own
 * files: even if a message got into the page as markup, a script in it would not run. With trusted
 * types, a string cannot even become markup or a script's address: the browser throws, except for
 * the one policy `worker`, with which the page names its shared worker. frame-ancestors keeps other
 * sites from showing the page in a frame, where they could steal clicks.
 * Cross-Origin-Opener-Policy takes the handle of the page's window away from a site that opened it,
 * which could otherwise change the address while the user reads. The body stays valid, in the
 * binary or in files.c, so it is sent without a copy. */
static void answer_page_file(struct client *c, const struct page_file *file, bool gzip)
{
    struct span body = gzip ? file->gzip : file->plain;
    const char *fields = "Vary: Accept-Encoding\r\n"
                         "Cross-Origin-Resource-Policy: same-origin\r\n"
                         "Cross-Origin-Opener-Policy: same-origin\r\n"
                         "Content-Security-Policy: default-src 'none'; script-src 'self'; "
                         "style-src 'self'; img-src 'self'; connect-src 'self'; "
                         "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
                         "require-trusted-types-for 'script'; trusted-types worker\r\n";
    struct buffer *out = begin_file(c, 200, gzip ? file->gzip_etag : file->etag, fields);
    if (out == NULL)
        return;
    buffer_printf(out, "Content-Type: %s\r\n%sContent-Length: %zu\r\n\r\n", files_type(file->path),
        gzip ? "Content-Encoding: gzip\r\n" : "", body.len);
    answer_send(c, answer_is_head(c) ? (struct span) { NULL, 0 } : body);
}

/* Finds the part of a file of --www that a request asks for; by default `*part` is the complete
 * file. Range counts only in a GET (RFC 9110 14.2), and only after If-None-Match (13.2.2). With
 * If-Range it counts only if the file is still the one of which the client has the other parts:
 * the comparison is strong, and a date never matches, because no file has a Last-Modified
 * (13.1.5). A server may ignore any Range (14.2), and so it does if one of the two is repeated. */
static enum values_range find_part(
    const struct client *c, const char *etag, struct values_part *part)
{
    struct span range = answer_field(c, HTTP_RANGE), condition = answer_field(c, HTTP_IF_RANGE);
    if (answer_is_head(c) || range.at == NULL || answer_repeats(c, HTTP_RANGE) ||
        answer_repeats(c, HTTP_IF_RANGE) || has_current_copy(c, etag) ||
        (condition.at != NULL && !span_equal(condition, span_of(etag))))
        return RANGE_NONE;
    return values_range(range, part->len, part);
}

/* Answers 416. Content-Range tells the client how long the file is (RFC 9110 15.5.17). */
static void refuse_range(struct client *c, unsigned long long size)
{
    char fields[64];
    print_into(fields, sizeof fields, "Content-Range: bytes */%llu\r\n", size);
    answer_problem_with(c, 416, fields,
        "The file has none of the bytes that Range asks for; ask for a range that begins before "
        "the length in Content-Range.");
}

/* Sends the part of a file that the head announces, and closes `file` or lets net/ close it after
 * sending. net/ sends from the descriptor's offset on. */
static void send_part(struct client *c, int file, const struct values_part *part)
{
    if (answer_is_head(c)) {
        close(file);
        answer_send(c, (struct span) { NULL, 0 });
        return;
    }
    if (part->from > 0 && lseek(file, (off_t)part->from, SEEK_SET) < 0) {
        close(file);
        client_fail(c); /* a file of a special filesystem, which can be read only from its start */
        return;
    }
    answer_send_file(c, file, part->len);
}

/* Answers with a file of --www, or with a part of it: a browser plays a video, and goes to another
 * place in it, by ranges. Takes over `file`. There is no Content-Security-Policy and no
 * Cross-Origin-Opener-Policy, because the author of the pages decides what they may run and which
 * windows they open. --cors invites other sites, so it also lets them embed the files. If the file
 * shrinks while it is being sent, the connection is closed, so that the client notices that bytes
 * are missing. */
static void answer_www_file(struct client *c, int file, struct span path, const struct stat *st)
{
    char etag[96];
    unsigned long long size = (unsigned long long)st->st_size;
    struct values_part part = { 0, size };
    files_etag(st, etag, sizeof etag);
    enum values_range range = find_part(c, etag, &part);
    const char *policy = access_shares() ? "Cross-Origin-Resource-Policy: cross-origin\r\n"
                                         : "Cross-Origin-Resource-Policy: same-origin\r\n";
    if (range == RANGE_BEYOND) {
        close(file);
        refuse_range(c, size);
        return;
    }
    struct buffer *out = begin_file(c, range == RANGE_PART ? 206 : 200, etag, policy);
    if (out == NULL) {
        close(file);
        return;
    }
    if (range == RANGE_PART)
        buffer_printf(out, "Content-Range: bytes %llu-%llu/%llu\r\n", part.from,
            part.from + part.len - 1, size);
    buffer_printf(out, "Accept-Ranges: bytes\r\nContent-Type: %s\r\nContent-Length: %llu\r\n\r\n",
        files_type(path), part.len);
    send_part(c, file, &part);
}

/* Answers without a token, because the page is where a user enters one. A file that cannot be
 * opened or unpacked for lack of descriptors or memory gets a 503, because it may well exist. */
void page_get(struct client *c, const struct token *token)
{
    struct span path;
    struct stat st;
    const struct page_file *page = NULL;
    (void)token;
    bool gzip = values_accepts_gzip(exchange_request(c), exchange_bytes(c));
    int file = FILES_NONE;
    if (read_path(c, &path)) {
        if (www >= 0)
            file = files_open(www, path, &st);
        else if ((page = files_find(path, !gzip)) != NULL && !gzip && page->plain.at == NULL)
            file = FILES_SHORTAGE;
    }
    if (file >= 0)
        answer_www_file(c, file, path, &st);
    else if (file == FILES_NONE && page != NULL)
        answer_page_file(c, page, gzip);
    else if (file == FILES_SHORTAGE)
        answer_problem(c, 503, "The server cannot open the file now; try again later.");
    else
        answer_problem(c, 404,
            "Nothing exists at this path. Streams are at /events, messages at /messages, rooms at "
            "/rooms.");
}

/* Treats a shortage as "no"; called only for methods that no file supports. */
bool page_has(struct client *c)
{
    struct span path;
    struct stat st;
    if (!read_path(c, &path))
        return false;
    if (www < 0)
        return files_find(path, false) != NULL;
    int file = files_open(www, path, &st);
    if (file >= 0)
        close(file);
    return file >= 0;
}
