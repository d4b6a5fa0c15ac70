/* access.h - whether a request may do what it asks for: its Host, its Origin, its token.
 *
 * A verdict is NULL for yes, or the refusal to answer. Nothing here knows of connections. */

#ifndef ACCESS_H
#define ACCESS_H

#include "auth/token.h"
#include "http.h"
#include "hub.h"

struct refusal {
    int status;
    const char *fields; /* further lines of the head, each with its line end */
    const char *detail; /* what the person has to change */
};

struct access_settings {
    struct spans hosts;     /* the names in Host that are ours; none: any */
    struct spans cors;      /* origins whose pages may read and post, or "*" */
    struct spans key_files; /* that tokens are signed with; none: no token is needed */
};

/* To be called once, before all others: reads the keys. When one is no good it writes a sentence to
 * standard error and exits with EXIT_SYSTEM. */
void access_start(const struct access_settings *settings);

/* Whether requests need a token (--key). */
bool access_wants_token(void);

/* The Host of a request must be one of ours (421). */
const struct refusal *access_host(const struct http_request *r, const char *bytes);

/* A page that makes its reader post must be ours, or listed with --cors (403). */
const struct refusal *access_origin(const struct http_request *r, const char *bytes);

/* Whether other origins are let in at all (--cors). */
bool access_shares(void);

/* The origin itself when --cors lists it, else "*" when that is listed; else `at` is NULL. */
struct span access_allowed_origin(struct span origin);

/* The request must have a token that is good at `unix_ms`, Unix time in milliseconds (401). Fills
 * in `token`; where none is needed, with one for everything. */
const struct refusal *access_token(
    const struct http_request *r, const char *bytes, uint64_t unix_ms, struct token *token);

/* Whether its holder may publish at all (403), and use each of these rooms (403). */
const struct refusal *access_publish(const struct token *token);
const struct refusal *access_rooms(
    const struct hub *hub, const struct token *token, const struct span *rooms, size_t count);

/* The name that its holder goes by: the token's, or, when that has none, the one `asked` for. */
struct span access_name(const struct token *token, struct span asked);

#endif
