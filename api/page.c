/* page.c - the chat page's files, or those of --www. */

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

static int www = -1; /* the folder of --www */

void page_start(const char *folder)
{
    if (folder == NULL)
        return;
    www = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (www < 0)
        log_exit(EXIT_SYSTEM, "--www %s: %s", folder, strerror(errno));
}

/* The request's path, decoded. A slash or a NUL that was encoded is in no file's name. */
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

/* Begins the answer for a file. When the client has the file already, that is all, and NULL is
 * returned. */
static struct buffer *begin_file(struct client *c, const char *etag, const char *fields)
{
    bool unchanged = values_etag_matches(exchange_request(c), exchange_bytes(c), span_of(etag));
    struct buffer *out = answer_begin(c, unchanged ? 304 : 200);
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

static void answer_page_file(struct client *c, const struct page_file *file, bool gzip)
{
    struct span body = gzip ? file->gzip : file->plain;
    const char *fields = "Vary: Accept-Encoding\r\n"
                         "Cross-Origin-Resource-Policy: same-origin\r\n"
                         "Content-Security-Policy: default-src 'none'; script-src 'self'; "
                         "style-src 'self'; img-src 'self'; connect-src 'self'; "
                         "form-action 'self'; base-uri 'none'; frame-ancestors 'none'\r\n";
    struct buffer *out = begin_file(c, gzip ? file->gzip_etag : file->etag, fields);
    if (out == NULL)
        return;
    buffer_printf(out, "Content-Type: %s\r\n%sContent-Length: %zu\r\n\r\n", file->type,
        gzip ? "Content-Encoding: gzip\r\n" : "", body.len);
    answer_send(c, answer_is_head(c) ? (struct span) { NULL, 0 } : body);
}

/* A file of --www. No Content-Security-Policy: what its pages may run is for their author. With
 * --cors other sites are invited, and may show what is here. */
static void answer_www_file(struct client *c, int file, struct span path, const struct stat *st)
{
    char etag[96];
    files_etag(st, etag, sizeof etag);
    const char *policy = access_shares() ? "Cross-Origin-Resource-Policy: cross-origin\r\n"
                                         : "Cross-Origin-Resource-Policy: same-origin\r\n";
    struct buffer *out = begin_file(c, etag, policy);
    if (out == NULL) {
        close(file);
        return;
    }
    buffer_printf(out, "Content-Type: %s\r\nContent-Length: %llu\r\n\r\n", files_type(path),
        (unsigned long long)st->st_size);
    if (!answer_is_head(c)) {
        answer_send_file(c, file, (uint64_t)st->st_size);
        return;
    }
    close(file);
    answer_send(c, (struct span) { NULL, 0 });
}

void page_get(struct client *c, const struct token *token)
{
    struct span path;
    struct stat st;
    const struct page_file *page = NULL;
    (void)token; /* anybody may have it */
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
        answer_problem(c, 503, "The server cannot open files now; try again.");
    else
        answer_problem(c, 404,
            "There is nothing at this path. Streams are at /events, messages at "
            "/messages, rooms at /rooms.");
}

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
