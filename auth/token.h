/* token.h - signed tokens: JSON Web Tokens (RFC 7519) with HS256 (RFC 7515, RFC 7518 3.2), and no
 * other algorithm.
 *
 * An application makes a token for each of its users, and the server checks it with the same key.
 * So neither needs a session database, and the server calls no other service. */

#ifndef TOKEN_H
#define TOKEN_H

#include "base/bytes.h"

enum {
    TOKEN_KEY_MIN_BYTES = 32,        /* RFC 7518 3.2: not shorter than the hash */
    TOKEN_KEY_FILE_MAX_BYTES = 4096, /* A longer file is most likely the wrong file. */
    TOKEN_ROOMS_MAX = 64,
    TOKEN_MAX_BYTES = 8192,      /* half of the largest head; longer tokens are refused unread */
    TOKEN_NBF_LEEWAY_SECONDS = 5 /* for clocks that differ; `exp` has no leeway */
};

/* The bytes of a key file, except a final newline, which editors and `echo` add. */
struct token_key {
    char *bytes; /* owned, from malloc */
    size_t len;
};

/* The claims of a good token, decoded. The spans point into `text`, so a copy of the struct would
 * point into the original. A token uses 7 KB and lives on the stack for one request. */
struct token {
    struct span name;                   /* `sub`, which obeys rule_name; `at` is NULL if absent */
    struct span rooms[TOKEN_ROOMS_MAX]; /* `rooms`, each of which obeys rule_room */
    size_t room_count;
    bool all_rooms; /* "*" is among `rooms` */
    bool publish;
    int64_t expires; /* The first Unix time at which the token is refused: INT64_MAX for never,
                        otherwise at most 253402300799, the end of the year 9999, so that
                        milliseconds fit into 64 bits. */
    char text[TOKEN_MAX_BYTES / 4 * 3]; /* the decoded claims */
};

enum token_state {
    TOKEN_GOOD,
    TOKEN_MALFORMED, /* not a JWT, another kind of JWT, or an invalid claim */
    TOKEN_FORGED,    /* not signed with any of the keys */
    TOKEN_EXPIRED,   /* `exp` has been reached */
    TOKEN_EARLY      /* `nbf` is in the future */
};

/* Reads a key file into `key`, whose bytes the caller then owns. Returns an error message for the
 * operator if the file cannot be read, is open to other users, or is too short or too long; there
 * is nothing to free then. Returns NULL on success. */
const char *token_read_key(const char *path, struct token_key *key);

/* Checks `text` against `count` keys at Unix time `now`, in whole seconds. Fills in `token` if
 * `text` is good; otherwise `token` must not be used. Until the signature has been verified,
 * nothing else is decoded. Signatures are compared in constant time. */
enum token_state token_check(
    struct span text, const struct token_key *keys, size_t count, int64_t now, struct token *token);

/* Fills in every client's rights if there is no --key: all rooms, publishing, no expiry. */
void token_open(struct token *token);

/* Returns whether a good token allows this room. */
bool token_has_room(const struct token *token, struct span room);

/* Appends a token, issued at `now`, to `out`. An empty `name` omits `sub`; a room "*" means all
 * rooms. Nothing is checked: a token that breaks a rule or is longer than TOKEN_MAX_BYTES is still
 * signed, but token_check refuses it. If memory runs out, `out` stays as it was, and `out->failed`
 * is set. */
void token_make(struct buffer *out, const struct token_key *key, struct span name,
    const struct span *rooms, size_t room_count, bool publish, int64_t now, int64_t expires);

#endif
