/* probe.c - `ssechat probe` asks a server whether it is well: for the health check of a container,
 * which contains no other program, and for scripts.
 *
 * It is one request over one connection, with one deadline for all of it, so a server that is
 * silent or never ends its answer cannot hold it up. The status line decides. The body is read only
 * to say why a server is not well.
 *
 * Left out: TLS, because the proxy speaks it and not the server; and the lookup of names, because a
 * health check that fails when DNS does would say nothing about the server. */

#include "host/probe.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/print.h"
#include "base/scan.h"
#include "base/uri.h"
#include "json.h"
#include "net/endpoint.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ANSWER_MAX_BYTES = 16384, /* a longer answer is read no further */
    STATUS_BYTES = 12,        /* of "HTTP/1.1 200" */
};

/* What to ask. The spans borrow from the URL. */
struct target {
    const char *url; /* as given */
    struct endpoint endpoint;
    struct span host, path;
};

/* ==== The URL ================================================================================ */

/* Reads the host and the port, which is 80 if it is left out (RFC 9110 4.2.1). */
static bool read_authority(struct target *t, struct span authority)
{
    char text[64];
    bool bare =
        authority.at[authority.len - 1] == ']' || memchr(authority.at, ':', authority.len) == NULL;
    size_t len = print_into(
        text, sizeof text, "%.*s%s", (int)authority.len, authority.at, bare ? ":80" : "");
    t->host = authority;
    return len < sizeof text && endpoint_parse(text, &t->endpoint) == NULL &&
           endpoint_port(&t->endpoint) != 0;
}

/* Returns whether a request line can contain the path as it is. */
static bool is_path(struct span path)
{
    for (size_t i = 0; i < path.len; i++)
        if (path.at[i] <= ' ' || path.at[i] == 0x7f || path.at[i] == '#')
            return false;
    return path.at[0] == '/' && path.len <= 1024;
}

static void read_url(struct target *t, const char *url)
{
    struct span rest = span_of(url), authority;
    *t = (struct target) { .url = url, .host = SPAN("localhost"), .path = SPAN("/healthz") };
    if (strncmp(url, "unix:", 5) == 0) {
        const char *why = endpoint_parse(url, &t->endpoint);
        if (why != NULL)
            log_exit(EXIT_USAGE, "probe: %s: %s", url, why);
        return;
    }
    if (!uri_take_origin(&rest, &authority))
        log_exit(EXIT_USAGE,
            "probe: %s: an address looks like http://127.0.0.1:8080/healthz or unix:/path", url);
    if (url[4] != ':')
        log_exit(EXIT_USAGE,
            "probe: %s: probe speaks no TLS, which is the proxy's part; ask the server itself, "
            "such as http://127.0.0.1:8080, or use `curl -f` to ask through the proxy",
            url);
    if (!read_authority(t, authority))
        log_exit(EXIT_USAGE,
            "probe: %s: the host must be an IP address or localhost, and the port 1 to 65535", url);
    if (rest.len > 0)
        t->path = rest;
    if (!is_path(t->path))
        log_exit(
            EXIT_USAGE, "probe: %s: the path must begin with / and have neither spaces nor #", url);
}

/* ==== The answer ============================================================================= */

/* Waits until the socket is ready, or fails when the deadline has passed. */
static bool wait_for(int fd, short events, int64_t until_ms)
{
    struct pollfd poll_fd = { .fd = fd, .events = events };
    for (;;) {
        int64_t left = until_ms - clock_now_ms(CLOCK_MONOTONIC);
        int count = left > 0 ? poll(&poll_fd, 1, (int)left) : 0;
        if (count == 0)
            errno = ETIMEDOUT;
        if (count >= 0 || errno != EINTR)
            return count > 0;
    }
}

/* Connects, and returns the socket, or -1 and errno. */
static int reach(const struct target *t, int64_t until_ms)
{
    int error = 0, fd = socket(t->endpoint.socket.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    socklen_t len = sizeof error;
    if (fd < 0 || connect(fd, &t->endpoint.socket.any, t->endpoint.len) == 0)
        return fd;
    if (errno != EINPROGRESS || !wait_for(fd, POLLOUT, until_ms))
        return -1;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    errno = error;
    return error == 0 ? fd : -1;
}

/* Sends the request. It fits into the empty buffer of a new socket. HTTP/1.0 asks for an answer
 * without chunks, whose end is the end of the connection. */
static bool send_request(const struct target *t, int fd)
{
    char request[2048];
    size_t len = print_into(request, sizeof request,
        "GET %.*s HTTP/1.0\r\nHost: %.*s\r\nUser-Agent: ssechat-probe\r\n\r\n", (int)t->path.len,
        t->path.at, (int)t->host.len, t->host.at);
    return len < sizeof request && send(fd, request, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Returns the status if the answer begins with a status line, 0 if it is too short to tell, and -1
 * if it is not HTTP. */
static int read_status(struct span answer)
{
    unsigned long long status;
    struct span begin = SPAN("HTTP/1.");
    size_t len = answer.len < begin.len ? answer.len : begin.len;
    if (!bytes_equal(answer.at, begin.at, len))
        return -1;
    if (answer.len <= STATUS_BYTES)
        return 0;
    bool good = scan_is_digit(answer.at[7]) && answer.at[8] == ' ' &&
                span_number((struct span) { answer.at + 9, 3 }, 999, &status) &&
                (answer.at[STATUS_BYTES] == ' ' || answer.at[STATUS_BYTES] == '\r');
    return good ? (int)status : -1;
}

/* Finds the `detail` in the body of an error, and decodes it in place. The result is empty if there
 * is none. */
static struct span read_detail(char *answer)
{
    struct json_field detail = { .name = SPAN("detail") };
    struct span body = span_of(answer), line;
    while (span_split(&body, '\n', &line) && line.len > 1) {
        /* The head, up to the line that is empty but for its CR. */
    }
    if (body.at == NULL || json_find(body, &detail, 1) != NULL || detail.type != JSON_STRING)
        return SPAN("");
    char *text = span_bytes(detail.raw);
    return (struct span) { text, json_decode(detail.raw, text) };
}

/* Ends the program because of how the answer ends: with a status that is not 200, or before there
 * is a status. */
__attribute__((noreturn)) static void give_up(const struct target *t, char *answer, int status)
{
    if (status == 0)
        log_exit(EXIT_SYSTEM, "%s: the connection ended without an answer", t->url);
    if (status < 0)
        log_exit(
            EXIT_SYSTEM, "%s: the answer is not HTTP/1; another program listens there", t->url);
    struct span detail = read_detail(answer);
    log_exit(EXIT_SYSTEM, "%s: status %d%s%.*s", t->url, status, detail.len > 0 ? ": " : "",
        (int)detail.len, detail.at);
}

__attribute__((noreturn)) static void fail(const struct target *t, uint64_t timeout_ms)
{
    if (errno == ETIMEDOUT)
        log_exit(EXIT_SYSTEM, "%s: no answer within %llu s", t->url,
            (unsigned long long)(timeout_ms / 1000));
    if (errno == ECONNREFUSED || (errno == ENOENT && t->endpoint.socket.any.sa_family == AF_UNIX))
        log_exit(EXIT_SYSTEM, "%s: no server listens there", t->url);
    if (errno == EAGAIN)
        log_exit(EXIT_SYSTEM, "%s: the server does not accept connections", t->url);
    log_exit(EXIT_SYSTEM, "%s: %s", t->url, strerror(errno));
}

/* Reads until the status is 200, or an error is complete, or there is no more to come. A silence in
 * the body of an error only costs its detail. */
int probe_run(const char *url, uint64_t timeout_ms)
{
    char answer[ANSWER_MAX_BYTES + 1];
    size_t len = 0;
    int status = 0;
    struct target t;
    read_url(&t, url);
    int64_t until_ms = clock_now_ms(CLOCK_MONOTONIC) + (int64_t)timeout_ms;
    int fd = reach(&t, until_ms);
    if (fd < 0 || !send_request(&t, fd))
        fail(&t, timeout_ms);
    while (status >= 0 && status != 200 && len < ANSWER_MAX_BYTES) {
        bool ready = wait_for(fd, POLLIN, until_ms);
        ssize_t more = ready ? recv(fd, answer + len, ANSWER_MAX_BYTES - len, 0) : -1;
        if (more < 0 && status == 0)
            fail(&t, timeout_ms);
        if (more <= 0)
            break;
        len += (size_t)more;
        status = read_status((struct span) { answer, len });
    }
    answer[len] = '\0';
    close(fd);
    if (status != 200)
        give_up(&t, answer, status);
    return 0;
}
