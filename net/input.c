/* input.c - reading into a buffer that exists only during a request.
 *
 * An idle connection has no read buffer: otherwise ten thousand of them would use twenty megabytes.
 * The buffer is made when bytes arrive. It contains the request, the parser's state and whatever
 * handlers keep until the answer, and is freed with the answer; an open stream has no buffer. A few
 * free buffers are kept, because malloc(3) and free(3) can enter the kernel each time, which costs
 * as much as the request.
 *
 * Each event leads to one recv(2), not to a loop until EAGAIN: level-triggered epoll reports the
 * rest again, so a client that sends fast gets no more of a turn than the others. */

#include "net/input.h"

#include "net/limits.h"
#include "net/request_log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* The debug build reads a few bytes at a time, so that the parser gets input that is split at any
 * byte, and keeps no spare buffers, so that the sanitizer detects the use of a freed buffer. In
 * other builds a usual head fits into the first buffer, and the spares use less than 256 KiB. */
#ifdef DEBUG
enum { INPUT_MIN_BYTES = 7, SPARES_MAX = 0 };
#else
enum { INPUT_MIN_BYTES = 2048, SPARES_MAX = 64 };
#endif

/* Room for chunk lines and trailers, in addition to the largest head and body. */
enum { INPUT_SPARE_BYTES = 16384 };

static size_t max_body;
static struct input *spares[SPARES_MAX + 1];
static unsigned spare_count;

void input_start(size_t given)
{
    max_body = given;
}

/* Makes a buffer. The fields before `request` start as zeros; http_start sets the parser's fields.
 * limits_count_buffer is not called, because it does not count buffers as small as this. */
static struct input *input_new(struct client *c)
{
    struct input *in =
        spare_count > 0 ? spares[--spare_count] : malloc(sizeof *in + INPUT_MIN_BYTES);
    if (in == NULL)
        return NULL;
    memset(in, 0, offsetof(struct input, request));
    in->client = c;
    in->capacity = INPUT_MIN_BYTES;
    http_start(&in->request, max_body);
    request_log_begin(c);
    return in;
}

/* Makes the hub forget the waiter, which is part of the buffer, if the request's message is still
 * pending; the message is published anyway. */
void input_free(struct client *c)
{
    struct input *in = c->in;
    if (in == NULL)
        return;
    hub_forget(&in->waiter);
    limits_count_buffer(BUFFERED_REQUESTS, c->peer, in->capacity, 0);
    c->in = NULL;
    /* Not `spare_count < SPARES_MAX`: compilers warn that no unsigned number is below 0. */
    if (in->capacity == INPUT_MIN_BYTES && spare_count + 1 <= SPARES_MAX)
        spares[spare_count++] = in;
    else
        free(in);
}

/* Doubles the buffer, up to the size of the largest request; doubling keeps the copying linear. The
 * parser refuses a longer request first, so GONE_TOO_LONG is only a safeguard. The buffer may move,
 * because the parser keeps offsets, and nothing is read while the hub has the waiter. */
static enum outcome grow(struct client *c)
{
    size_t most = HTTP_HEAD_MAX_BYTES + max_body + INPUT_SPARE_BYTES;
    size_t old = c->in->capacity, capacity = old * 2 < most ? old * 2 : most;
    if (capacity <= old)
        return GONE_TOO_LONG;
    if (!limits_buffer(BUFFERED_REQUESTS, c->peer, old, capacity))
        return READ_OVER_LIMIT;
    struct input *grown = realloc(c->in, sizeof *grown + capacity);
    if (grown == NULL)
        return GONE_NO_MEMORY;
    grown->capacity = capacity;
    c->in = grown;
    limits_count_buffer(BUFFERED_REQUESTS, c->peer, old, capacity);
    return READ_SOME;
}

/* Makes sure that the buffer exists and has room for at least one byte. */
static enum outcome prepare(struct client *c)
{
    if (c->in != NULL)
        return c->in->len < c->in->capacity ? READ_SOME : grow(c);
    c->in = input_new(c);
    return c->in != NULL ? READ_SOME : GONE_NO_MEMORY;
}

/* Notices end of file only after reading all bytes before it: a client that sends a request and
 * then closes its sending side is still answered. */
enum outcome input_read(struct client *c)
{
    enum outcome prepared = prepare(c);
    if (prepared != READ_SOME)
        return prepared;
    struct input *in = c->in;
    ssize_t n = recv(c->fd, in->bytes + in->len, in->capacity - in->len, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? READ_NONE : GONE_RESET;
    if (n == 0)
        return in->len > 0 ? GONE_CUT : GONE_DONE;
    in->len += (size_t)n;
    return READ_SOME;
}

/* Reads at most 4 KiB per turn. The bytes must be read, because level-triggered epoll would report
 * them in every turn, and they would make close(2) send a reset. */
enum outcome input_discard(struct client *c, size_t *count)
{
    char bytes[4096];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    *count = n > 0 ? (size_t)n : 0;
    if (n > 0)
        return READ_SOME;
    if (n == 0)
        return GONE_HANG_UP;
    return errno == EAGAIN || errno == EINTR ? READ_NONE : GONE_RESET;
}

bool input_is_blank(const struct input *in)
{
    size_t i = 0;
    while (in != NULL && i < in->len && (in->bytes[i] == '\r' || in->bytes[i] == '\n'))
        i++;
    return in == NULL || i == in->len;
}

/* Moves a pipelined request (RFC 9112 9.3.2) to the front, because the parser's offsets have 16
 * bits and start there. The price: for each request, all bytes after it are copied. */
bool input_next(struct client *c)
{
    struct input *in = c->in;
    if (in == NULL || in->len <= in->end) {
        input_free(c);
        return false;
    }
    memmove(in->bytes, in->bytes + in->end, in->len - in->end);
    in->len -= in->end;
    http_start(&in->request, max_body);
    request_log_begin(c);
    return true;
}

void input_restart(struct client *c)
{
    http_start(&c->in->request, max_body);
}
