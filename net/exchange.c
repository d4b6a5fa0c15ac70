/* exchange.c - a window into a connection, for handlers.
 *
 * Small functions instead of a shared struct: handlers know the questions of exchange.h, and the
 * layout of struct client can change without them. A call costs nothing beside a request. */

#include "net/exchange.h"

#include "net/connection.h"

const struct http_request *exchange_request(const struct client *c)
{
    return &c->in->request;
}

char *exchange_bytes(const struct client *c)
{
    return c->in->bytes;
}

/* A chunked body is in one piece, too: the parser has moved its chunks together. */
struct span exchange_body(const struct client *c)
{
    return (struct span) { c->in->bytes + c->in->request.body_start, c->in->request.body_len };
}

/* A connection may go on only if it is known where the next request begins. A request that is
 * answered by its head (CLIENT_HEAD) may have a body that is not read, whose bytes must not be
 * taken for the next request: request smuggling begins that way. */
bool exchange_closes(const struct client *c)
{
    const struct http_request *r = &c->in->request;
    bool unread = c->state == CLIENT_HEAD && http_has_body(r);
    return c->close || client_is_draining() || !r->keep_alive || unread;
}

/* Must be called before the head of the answer is written, because the head announces it. */
void exchange_set_closing(struct client *c)
{
    c->close = true;
}

bool exchange_is_proxied(const struct client *c)
{
    return c->proxied;
}

struct peer *exchange_peer(const struct client *c)
{
    return c->peer;
}

struct waiter *exchange_waiter(struct client *c)
{
    return &c->in->waiter;
}

/* The hub knows only waiters; the input that holds one knows its client. */
struct client *exchange_of_waiter(struct waiter *waiter)
{
    return CONTAINER(waiter, struct input, waiter)->client;
}

/* It lives in the input, so that a long poll has its query until it is answered. */
struct page_query *exchange_query(struct client *c)
{
    return &c->in->query;
}

struct stream *exchange_reader(struct client *c)
{
    return &c->stream;
}
