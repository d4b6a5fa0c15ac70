/* exchange.h - what a handler may see of the request that it answers.
 *
 * Handlers see no struct client: states, descriptors and buffers are net/'s alone, so no handler
 * can break them. All pointers and spans from here are valid until the answer, or until the request
 * is handed on (client_stream); the functions must not be called after that. */

#ifndef EXCHANGE_H
#define EXCHANGE_H

#include "net/client.h"

/* The request, and the bytes that its parts lie in. A handler may decode them where they lie. */
const struct http_request *exchange_request(const struct client *c);
char *exchange_bytes(const struct client *c);
struct span exchange_body(const struct client *c);

/* Returns whether the connection ends with this answer, which its head must then announce by
 * `Connection: close`; and makes it end. */
bool exchange_closes(const struct client *c);
void exchange_set_closing(struct client *c);

/* Returns whether the connection is from a trusted proxy. */
bool exchange_is_proxied(const struct client *c);

/* The address that the client counts against; NULL if it is not counted. */
struct peer *exchange_peer(const struct client *c);

/* For a POST: the waiter to publish with, which lives as long as the request, and the client that a
 * waiter belongs to. */
struct waiter *exchange_waiter(struct client *c);
struct client *exchange_of_waiter(struct waiter *waiter);

/* For a page: where to keep the query while the client waits; its room's name lies in the bytes. */
struct page_query *exchange_query(struct client *c);

/* For an event stream or a long poll: the hub's stream, which is in no room before client_join. */
struct stream *exchange_reader(struct client *c);

#endif
