/* input.c - reading into a buffer that exists only during a request.
 *
 * A connection has no read buffer while it is idle: ten thousand idle connections would otherwise
 * hold twenty megabytes. The buffer is made when bytes arrive. It holds the request, the parser's
 * state and what handlers keep until the answer, and goes with the answer; an open stream has none.
 * A few free ones are kept, because malloc(3) and free(3) may go to the kernel each time, and that
 * costs as much as the request.
 *
 * Each readiness is one recv(2), not a loop until EAGAIN: level-triggered epoll reports again what
 * is left, so that a client which sends fast gets no more of a turn than the others. */

#include "net/input.h"

#include "net/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* The debug build reads a few bytes at a time, so that the parser meets input that is cut anywhere,
 * and it keeps no spare buffers, so that the sanitizer sees the use of a freed one. In other
 * builds a usual head fits the first buffer, and the spares take less than 256 KiB. */
#ifdef DEBUG
enum { INPUT_MIN_BYTES = 7, SPARES_MAX = 0 };
#else
enum { INPUT_MIN_BYTES = 2048, SPARES_MAX = 64 };
#endif

/* Beyond the largest head and body: for the chunk lines and trailers of a chunked body. */
enum { INPUT_SPARE_BYTES = 16384 };

static size_t max_body;
static struct input *spares[SPARES_MAX + 1];
static unsigned spare_count;

void input_start(size_t given)
{
    max_body = given;
}

/* The fields before `request` start as zeros; http_start sets the parser's. limits_count_buffer is
 * not told of a new buffer, because it does not count any as small as this. */
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
    return in;
}

/* If the request's message is still on its way, the hub must forget the waiter, which is part of
 * the buffer; the message is published all the same. */
void input_free(struct client *c)
{
    struct input *in = c->in;
    if (in == NULL)
        return;
    hub_forget(&in->waiter);
    limits_count_buffer(BUFFERED_REQUESTS, c->peer, in->capacity, 0);
    c->in = NULL;
    /* Not `spare_count < SPARES_MAX`: compilers warn of an unsigned number below 0. */
    if (in->capacity == INPUT_MIN_BYTES && spare_count + 1 <= SPARES_MAX)
        spares[spare_count++] = in;
    else
        free(in);
}

/* Doubles the buffer, so that the copying stays linear, up to the size of the largest request. The
 * parser refuses a longer one first; GONE_TOO_LONG is the second line of defence. The buffer may
 * move: the parser keeps offsets, and while the hub holds the waiter's address nothing is read. */
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

/* Makes sure that there is a buffer with room for at least one byte. */
static enum outcome prepare(struct client *c)
{
    if (c->in != NULL)
        return c->in->len < c->in->capacity ? READ_SOME : grow(c);
    c->in = input_new(c);
    return c->in != NULL ? READ_SOME : GONE_NO_MEMORY;
}

/* The peer's close shows only after all bytes before it have been read: a client that sends a
 * request and then closes its sending side is still answered. */
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

/* Unread bytes would make level-triggered epoll report them in every turn, and make close(2) send a
 * reset. So they are read, at most 4 KiB a turn. */
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

/* A pipelined request (RFC 9112 9.3.2) moves to the front, because the parser's places count from
 * there in 16 bits. The price is a copy of what was read ahead for each request. */
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
    return true;
}

void input_restart(struct client *c)
{
    http_start(&c->in->request, max_body);
}
