/* access.h - decides whether a request may do what it asks for, by its Host, its Origin and its
 * token.
 *
 * A verdict is NULL for yes, or a refusal, which the caller sends as the answer. Refusals are
 * constants and contain no text of the request. Nothing here knows connections. `bytes` is the
 * buffer that the request's parts lie in. */

#ifndef ACCESS_H
#define ACCESS_H

#include "auth/token.h"
#include "http.h"
#include "hub.h"

/* The status is never one of those that a client should retry (429, 503): an EventSource gives up
 * after it, and is meant to. */
struct refusal {
    int status;
    const char *fields; /* more fields of the answer's head, each with its line end */
    const char *detail; /* tells the person what to change (RFC 9457) */
};

struct access_settings {
    struct spans hosts;     /* the names that Host may have, with or without port; none: any name */
    struct spans cors;      /* the origins whose pages may read and post; "*" is all of them */
    struct spans key_files; /* paths, each with a NUL at its end; none: no token is needed */
};

/* Must be called once, before all other functions here. Reads the keys. If one is not usable, it
 * writes a sentence to standard error and exits with EXIT_SYSTEM. `settings` must stay valid. */
void access_start(const struct access_settings *settings);

/* Whether requests need a token (--key). */
bool access_wants_token(void);

/* The request's Host must be one of --host (421). */
const struct refusal *access_host(const struct http_request *r, const char *bytes);

/* The page that a browser posts for must be the server's own, or its origin listed with --cors
 * (403). A request without Origin passes, because a browser sets it on every POST of a page. */
const struct refusal *access_origin(const struct http_request *r, const char *bytes);

/* Whether the server shares its answers with any other origin (--cors). */
bool access_shares(void);

/* The value of Access-Control-Allow-Origin for `origin`: the origin itself if --cors lists it, or
 * "*" if that is listed; `at` is NULL if neither is. */
struct span access_allowed_origin(struct span origin);

/* The request must carry a token that is good at `unix_ms`, Unix time in milliseconds (401). Fills
 * in `token`, which the caller owns; if no token is needed, with one that allows everything. */
const struct refusal *access_token(
    const struct http_request *r, const char *bytes, uint64_t unix_ms, struct token *token);

/* The token must allow publishing (403), and each of these rooms, which must also be among those of
 * --room (403). */
const struct refusal *access_publish(const struct token *token);
const struct refusal *access_rooms(
    const struct hub *hub, const struct token *token, const struct span *rooms, size_t count);

/* The client's name: the token's, or the one that it asked for if the token has none. */
struct span access_name(const struct token *token, struct span asked);

#endif
