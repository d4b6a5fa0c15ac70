/* exchange.c - a window to the inside of a connection, for handlers. */

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

struct span exchange_body(const struct client *c)
{
    return (struct span) { c->in->bytes + c->in->request.body_start, c->in->request.body_len };
}

/* Before its body was read, a request is answered only to refuse it, and the unread body must not
 * be taken for the next request. */
bool exchange_closes(const struct client *c)
{
    const struct http_request *r = &c->in->request;
    bool unread = c->state == CLIENT_HEAD && http_has_body(r);
    return c->close || client_is_draining() || !r->keep_alive || unread;
}

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

struct client *exchange_of_waiter(struct waiter *waiter)
{
    return CONTAINER(waiter, struct input, waiter)->client;
}

struct page_query *exchange_query(struct client *c)
{
    return &c->in->query;
}

struct stream *exchange_reader(struct client *c)
{
    return &c->stream;
}
