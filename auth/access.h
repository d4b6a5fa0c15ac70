/* access.h - decides whether a request is allowed, by its Host, its Origin and its token.
 *
 * A verdict is NULL if the request is allowed, or a refusal, which the caller sends as the answer.
 * Its status never asks a client to retry (as 429 and 503 do), so an EventSource gives up, as it
 * should. Refusals are constants and contain no text from the request. The checks do not depend on
 * the connection. `bytes` is the buffer that contains the request's parts. */

#ifndef ACCESS_H
#define ACCESS_H

#include "auth/token.h"
#include "http.h"
#include "hub.h"
#include "net/peers.h"

struct access_settings {
    struct spans hosts;     /* the names that Host may have (origins_read_host); none: any */
    struct spans cors;      /* the origins whose pages may read and post (origins_read); "*": all */
    struct spans key_files; /* NUL-terminated paths; none: no token is needed */
};

/* Call this once, before any other function here. Reads the keys. If a key is not usable, writes an
 * error message to standard error and exits with EXIT_SYSTEM. `settings` must stay valid. */
void access_start(const struct access_settings *settings);

/* Returns whether requests need a token (--key). */
bool access_wants_token(void);

/* Refuses a request whose Host is not one of --host (421). */
const struct refusal *access_host(const struct http_request *r, const char *bytes);

/* Refuses a page unless it is the server's own or its origin is listed with --cors (403). A request
 * without Origin passes, because a browser sets Origin on every POST of a page. */
const struct refusal *access_origin(const struct http_request *r, const char *bytes);

/* Returns whether the server shares its answers with any other origin (--cors). */
bool access_shares(void);

/* Returns the value of Access-Control-Allow-Origin for `origin`: the origin itself if --cors lists
 * it, or "*" if --cors lists "*"; `at` is NULL if --cors lists neither. */
struct span access_allowed_origin(struct span origin);

/* Refuses a request without a token that is good at `unix_ms`, Unix time in milliseconds (401).
 * Fills in `token`, which the caller owns; if no token is needed, `token` allows everything. */
const struct refusal *access_token(
    const struct http_request *r, const char *bytes, uint64_t unix_ms, struct token *token);

/* Refuse publishing unless the token allows it, and rooms unless both the token and --room allow
 * each of them (403). */
const struct refusal *access_publish(const struct token *token);
const struct refusal *access_rooms(
    const struct hub *hub, const struct token *token, const struct span *rooms, size_t count);

/* Returns the client's name: the token's name, or `asked` if the token has none. */
struct span access_name(const struct token *token, struct span asked);

/* Returns what is stored of a message's author: with --key, a pseudonym of the token's name, or
 * else of the client's address (`peer` is NULL if it has none). Without --key nothing is known. */
struct author access_author(const struct token *token, const struct peer *peer);

#endif
