/* line.c - a connection with one request in flight. */

#include "test/bench/abuse/abuse.h"

enum { READ_BYTES = 1 << 16 };

void line_close(struct line *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    l->busy = false;
}

void line_begin(struct line *l, int port, const struct text *request)
{
    if (l->fd < 0) {
        l->fd = machine_connect(l->address, port);
        l->connects++;
    }
    l->answer.len = l->sent = 0;
    text_add(&l->answer, "", 0);
    l->request = request;
    l->status = 0;
    l->busy = true;
    l->begin_us = now_us();
}

short line_events(const struct line *l)
{
    bool sends = l->sent < l->request->len && l->answer.len == 0;
    return sends ? POLLIN | POLLOUT : POLLIN;
}

/* Returns whether the answer so far is complete, and sets whether the server closes after it. A
 * stream counts as complete when it is ready, and is closed then, as is one that is `busy`, whose
 * status is 0. */
static bool is_complete(struct line *l, bool *closes)
{
    const char *answer = l->answer.at, *end = strstr(answer, "\r\n\r\n");
    if (end == NULL)
        return false;
    const char *length = strstr(answer, "\r\nContent-Length: ");
    const char *close = strstr(answer, "\r\nConnection: close\r\n");
    size_t head = (size_t)(end + 4 - answer);
    l->status = atoi(answer + strlen("HTTP/1.1 "));
    *closes = close != NULL && close < end;
    if (l->request->at[0] == 'H' || l->status == 204 || l->status == 304)
        return true;
    if (length != NULL && length < end)
        return l->answer.len >= head + strtoul(length + 18, NULL, 10);
    *closes = true;
    if (memmem(end, l->answer.len - head, "event: busy", 11) == NULL)
        return memmem(end, l->answer.len - head, "event: ready", 12) != NULL;
    l->status = 0;
    return true;
}

/* An answer may come before all of the request is sent; then the rest is not sent. */
bool line_move(struct line *l, int events)
{
    static char bytes[READ_BYTES];
    bool closes = false;
    if (events & POLLOUT && l->sent < l->request->len && l->answer.len == 0) {
        ssize_t n = send(l->fd, l->request->at + l->sent, l->request->len - l->sent, MSG_NOSIGNAL);
        l->sent += n > 0 ? (size_t)n : 0;
    }
    if (!(events & ~POLLOUT))
        return false;
    ssize_t n = recv(l->fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n > 0)
        text_add(&l->answer, bytes, (size_t)n);
    bool complete = is_complete(l, &closes);
    if (!complete && n > 0)
        return false;
    if (!complete)
        l->status = 0;
    l->busy = false;
    if (n <= 0 || closes)
        line_close(l);
    return true;
}

int line_ask(struct line *l, int port, const struct text *request)
{
    line_begin(l, port, request);
    for (;;) {
        struct pollfd ready = { .fd = l->fd, .events = line_events(l) };
        if (poll(&ready, 1, 1000 * TOOL_ANSWER_SECONDS) <= 0)
            fail("no answer to %.60s", request->at);
        if (line_move(l, ready.revents))
            return l->status;
    }
}
