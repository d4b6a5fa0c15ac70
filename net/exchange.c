/* exchange.c - a window into a connection, for handlers.
 *
 * Handlers call small functions instead of sharing a struct, so the layout of struct client can
 * change without them. A call costs nothing compared with a request. */

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

/* Returns the body in one piece, even if it was chunked: the parser has joined the chunks. */
struct span exchange_body(const struct client *c)
{
    return (struct span) { c->in->bytes + c->in->request.body_start, c->in->request.body_len };
}

/* Keeps the connection only if it is known where the next request begins. A request that is
 * answered after its head (CLIENT_HEAD) may have an unread body, whose bytes must not be taken for
 * the next request: request smuggling begins that way. */
bool exchange_closes(const struct client *c)
{
    const struct http_request *r = &c->in->request;
    bool unread = c->state == CLIENT_HEAD && http_has_body(r);
    return c->close || client_is_draining() || !r->keep_alive || unread;
}

/* Makes the connection end. Call this before writing the answer's head, which announces the end. */
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

/* Finds the client through the input that contains the waiter; the hub sees only waiters. */
struct client *exchange_of_waiter(struct waiter *waiter)
{
    return CONTAINER(waiter, struct input, waiter)->client;
}

/* Returns the query in the input, so that a long poll keeps it until the answer. */
struct page_query *exchange_query(struct client *c)
{
    return &c->in->query;
}

struct stream *exchange_reader(struct client *c)
{
    return &c->stream;
}
