/* input.c - reading. While a client sends nothing it has no buffer: a request needs one for some
 * microseconds. A few are kept for the next requests: the heap may go to the system for each, and
 * that costs as much as the request. */

#include "net/input.h"

#include "net/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

/* The debug build reads by a few bytes, so that every state meets input that is cut anywhere; and
 * it keeps no spare buffers, so that the sanitizer sees the use of one that is gone. */
#ifdef DEBUG
enum { INPUT_MIN_BYTES = 7, SPARES_MAX = 0 };
#else
enum { INPUT_MIN_BYTES = 2048, SPARES_MAX = 64 };
#endif

enum { INPUT_SPARE_BYTES = 16384 }; /* over the largest head and body: for chunk lines, trailers */

static size_t max_body;
static struct input *spares[SPARES_MAX + 1];
static unsigned spare_count;

void input_start(size_t given)
{
    max_body = given;
}

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

void input_free(struct client *c)
{
    struct input *in = c->in;
    if (in == NULL)
        return;
    hub_forget(&in->waiter);
    limits_count_buffer(BUFFERED_REQUESTS, c->peer, in->capacity, 0);
    c->in = NULL;
    if (in->capacity == INPUT_MIN_BYTES && spare_count + 1 <= SPARES_MAX) /* it may be 0 */
        spares[spare_count++] = in;
    else
        free(in);
}

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

/* Makes sure that there is room for more bytes. */
static enum outcome prepare(struct client *c)
{
    if (c->in != NULL)
        return c->in->len < c->in->capacity ? READ_SOME : grow(c);
    c->in = input_new(c);
    return c->in != NULL ? READ_SOME : GONE_NO_MEMORY;
}

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
