/* exchange.h - what a handler may know of the request that it answers. */

#ifndef EXCHANGE_H
#define EXCHANGE_H

#include "net/client.h"

/* The request, and the bytes that its parts lie in: decoding may change them where they lie. Both
 * stay until the answer. */
const struct http_request *exchange_request(const struct client *c);
char *exchange_bytes(const struct client *c);
struct span exchange_body(const struct client *c);

/* Whether the connection ends with the answer to this request, as Connection: close must say; and
 * that it must. */
bool exchange_closes(const struct client *c);
void exchange_set_closing(struct client *c);

/* Whether the connection is a trusted proxy's. */
bool exchange_is_proxied(const struct client *c);

/* The address that the client counts for; NULL when it is not counted. */
struct peer *exchange_peer(const struct client *c);

/* For a POST: who is told what becomes of the message; and the client whose waiter it is. It lives
 * as long as the request. */
struct waiter *exchange_waiter(struct client *c);
struct client *exchange_of_waiter(struct waiter *waiter);

/* For a page: what was asked for, while the client waits. Its room lies in the bytes. */
struct page_query *exchange_query(struct client *c);

/* For a stream, or a long poll: its reader, in no room before client_join. */
struct stream *exchange_reader(struct client *c);

#endif
