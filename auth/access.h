/* access.h - who may do what: how much an address may take, which Host and Origin are ours, and
 * what a token allows.
 *
 * Those that take a client answer it when they return false. */

#ifndef ACCESS_H
#define ACCESS_H

#include "net/client.h"
#include "net/peers.h"

#include <sys/socket.h>

/* Reads the keys of --key. When one is no good it writes a sentence to standard error and exits. */
void access_read_keys(void);

/* Somebody connects from `address`. True when he may: then `*peer` is whom he counts for, and NULL
 * for who is not counted: `*proxied` when it is a proxy of ours, whose requests say whom they are
 * from, or else a unix socket. */
bool access_connect(const struct sockaddr *address, struct peer **peer, bool *proxied);

/* What every request must pass: its Host is ours (else 421). Behind a proxy, the client counts from
 * here on for whom the request comes from; who holds too many connections gets 429, unless the
 * request is for a `stream`: that will be told that the server is busy. */
bool access_request(struct client *c, bool stream);

/* Whether a page may make its reader post: it must be ours, or listed with --cors (else 403). */
bool access_origin(struct client *c);

/* With --key, whether the request has a token that is good now (else 401). Until the next call, it
 * is what the functions below go by. */
bool access_token(struct client *c);

/* Whether the client may publish at all (else 403), and another message now (else 429). */
bool access_publish(struct client *c);
bool access_post(struct client *c);

/* Whether the client may read from, or publish to, each of these rooms (else 403). */
bool access_rooms(struct client *c, const struct span *rooms, size_t count);

/* Whether the room of this name is to be told of. */
bool access_shows_room(struct span room);

/* Why there can be no further stream for this client now, as a `busy` event says it; or NULL. */
const char *access_busy(const struct client *c);

/* A room could not be made for this client, because there are as many as there may be: worth a line
 * in the log. */
void access_no_room(const struct client *c);

/* Whether a large buffer of this client may grow by `more` bytes. */
bool access_buffer(const struct client *c, enum buffered kind, size_t more);

/* The name that the client goes by: its token's, or, when that has none, the one it `asked` for. */
struct span access_name(struct span asked);

/* The second of Unix time at which its token ends; INT64_MAX without --key. */
int64_t access_expires(void);

#endif
