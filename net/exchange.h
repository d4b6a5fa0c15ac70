/* exchange.h - what a handler may see of the request that it answers.
 *
 * Handlers do not see struct client: states, descriptors and buffers are private to net/, so no
 * handler can break them. The pointers and spans that these functions return are valid until the
 * answer, or until client_stream frees the request; do not call the functions after that. */

#ifndef EXCHANGE_H
#define EXCHANGE_H

#include "net/client.h"

/* Return the request, its bytes (a handler may decode them in place), and its body. */
const struct http_request *exchange_request(const struct client *c);
char *exchange_bytes(const struct client *c);
struct span exchange_body(const struct client *c);

/* Return whether the connection ends with this answer, and make it end. The head of the answer must
 * then announce the end with `Connection: close`. */
bool exchange_closes(const struct client *c);
void exchange_set_closing(struct client *c);

/* Returns whether the connection is from a trusted proxy. */
bool exchange_is_proxied(const struct client *c);

/* Returns the peer that the client counts against; NULL if it is not counted. */
struct peer *exchange_peer(const struct client *c);

/* Return the waiter with which to publish a POST (it lives as long as the request), and the client
 * that a waiter belongs to. */
struct waiter *exchange_waiter(struct client *c);
struct client *exchange_of_waiter(struct waiter *waiter);

/* Returns where a waiting client keeps a page's query; the room's name is in exchange_bytes. */
struct page_query *exchange_query(struct client *c);

/* Returns the hub's stream for an event stream or long poll; in no room before client_join. */
struct stream *exchange_reader(struct client *c);

#endif
