/* request_log.c - gathers what the line of a request says, and writes it.
 *
 * What is gathered is in a table by descriptor, not in struct client: a server without --access-log
 * pays no byte for it. With it, the table grows with the largest descriptor that was used, by 128
 * bytes for each; the limit of descriptors can be a thousand million in a container.
 *
 * A line has nothing that could be a secret: no query (which can carry a token), no field of a
 * head, no text. The path is quoted and cut. The address is complete; the limits count the /64 of
 * an IPv6 address. A `-` stands for what is not known: the method and the path of a request that
 * could not be read, the status if the connection ended before the answer began, the address of a
 * client of a unix socket, or behind a trusted proxy that does not name it.
 *
 * Left out: connections without a request, and connections that are refused without an answer (they
 * are counted in the metrics and, once a minute, logged); formats that can be configured; a file of
 * its own, because the supervisor can sort lines by their first word. */

#include "net/request_log.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/print.h"
#include "net/output.h"

#include <stdlib.h>

enum { METHOD_BYTES = 8, PATH_BYTES = 80, FIRST_ENTRIES = 64 };

struct entry {
    int64_t begin_us;
    uint64_t bytes;
    struct address address;
    bool has_address;
    bool has_head;
    uint8_t path_len;
    char status[3];            /* its digits; a NUL before the answer */
    char method[METHOD_BYTES]; /* with a NUL; "-" if it is unknown */
    char path[PATH_BYTES];
};

static bool on;
static struct entry *entries; /* by descriptor */
static unsigned count;        /* 0 without --access-log */

void request_log_start(void)
{
    on = true;
    output_log();
}

/* Makes the table large enough for a descriptor. If there is no memory, it stays as it is. */
static void grow(unsigned fd)
{
    unsigned larger = count > 0 ? count : FIRST_ENTRIES;
    while (larger <= fd)
        larger *= 2;
    struct entry *grown = realloc(entries, larger * sizeof *entries);
    if (grown == NULL)
        return;
    memset(grown + count, 0, (larger - count) * sizeof *entries);
    entries = grown;
    count = larger;
}

/* Returns the entry of a descriptor; NULL without --access-log, or if there was no memory. */
static struct entry *find(int fd)
{
    return (unsigned)fd < count ? &entries[fd] : NULL;
}

void request_log_connect(int fd, const struct sockaddr *socket)
{
    if (on && (unsigned)fd >= count)
        grow((unsigned)fd);
    struct entry *e = find(fd);
    if (e == NULL)
        return;
    *e = (struct entry) { 0 };
    e->has_address = address_of(socket, &e->address);
}

void request_log_address(const struct client *c, const struct address *address)
{
    struct entry *e = find(c->fd);
    if (e == NULL)
        return;
    e->address = *address;
    e->has_address = true;
}

/* Forgets the address if each request can be from another client. */
void request_log_begin(const struct client *c)
{
    struct entry *e = find(c->fd);
    if (e == NULL)
        return;
    e->begin_us = clock_now_us(CLOCK_MONOTONIC);
    e->bytes = 0;
    e->has_address &= !c->proxied;
}

/* A head can be complete and refused. Reads the method again, because the parser keeps only its
 * class. An unknown one is not shown: it is any word that the client likes. */
void request_log_head(const struct client *c)
{
    struct entry *e = find(c->fd);
    const struct http_request *r = &c->in->request;
    if (e == NULL || !r->has_head)
        return;
    const char *line = c->in->bytes + strspn(c->in->bytes, "\r\n");
    struct span path = r->asterisk ? SPAN("*") : http_span(r->path, c->in->bytes);
    bool known = r->method != HTTP_UNKNOWN_METHOD;
    print_into(
        e->method, METHOD_BYTES, "%.*s", known ? (int)strcspn(line, " ") : 1, known ? line : "-");
    e->path_len = (uint8_t)(path.len < PATH_BYTES ? path.len : PATH_BYTES);
    if (path.len > 0)
        memcpy(e->path, path.at, e->path_len);
    e->has_head = true;
}

/* Also gets a stream's last words, which are no head. */
void request_log_status(const struct client *c, struct span head)
{
    struct entry *e = find(c->fd);
    size_t before = sizeof "HTTP/1.1 " - 1;
    if (e != NULL && e->status[0] == '\0' && head.len > before + sizeof e->status)
        memcpy(e->status, head.at + before, sizeof e->status);
}

void request_log_sent(int fd, size_t bytes)
{
    struct entry *e = find(fd);
    if (e != NULL)
        e->bytes += bytes;
}

void request_log_end(const struct client *c)
{
    struct entry *e = find(c->fd);
    char address[ADDRESS_TEXT_BYTES] = "-", path[LOG_QUOTED_BYTES(PATH_BYTES)] = "-";
    if (e == NULL || (!e->has_head && e->status[0] == '\0'))
        return;
    if (e->has_address)
        address_print(&e->address, address);
    if (e->path_len > 0)
        log_quote((struct span) { e->path, e->path_len }, path, sizeof path);
    log_line(LOG_INFO, "access address=%s method=%s path=%s status=%.*s bytes=%llu us=%lld",
        address, e->has_head ? e->method : "-", path,
        e->status[0] != '\0' ? (int)sizeof e->status : 1, e->status[0] != '\0' ? e->status : "-",
        (unsigned long long)e->bytes, (long long)(clock_now_us(CLOCK_MONOTONIC) - e->begin_us));
    e->has_head = false;
    e->path_len = 0;
    e->status[0] = '\0';
}
