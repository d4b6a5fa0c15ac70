/* token.h - signed tokens: JSON Web Tokens (RFC 7519) with HS256 (RFC 7515, RFC 7518 3.2), and no
 * other algorithm.
 *
 * An application signs its users in with a token; the server checks it with the same key, and needs
 * to ask nobody. */

#ifndef TOKEN_H
#define TOKEN_H

#include "base/bytes.h"

enum {
    TOKEN_KEY_MIN_BYTES = 32, /* RFC 7518 3.2: no shorter than what the hash gives */
    TOKEN_KEY_FILE_MAX_BYTES = 4096,
    TOKEN_ROOMS_MAX = 64,
    TOKEN_MAX_BYTES = 8192,      /* longer ones are refused unread */
    TOKEN_NBF_LEEWAY_SECONDS = 5 /* clocks differ; `exp` has no leeway */
};

/* A key, as it is in its file but for one newline at its end. */
struct token_key {
    char *bytes; /* owned, from malloc */
    size_t len;
};

/* What a token that is right says. The spans lie in `text`, so a copy of the struct is no use. */
struct token {
    struct span name;                   /* `sub`: keeps rule_name; `at` is NULL when not given */
    struct span rooms[TOKEN_ROOMS_MAX]; /* `rooms`: each keeps rule_room */
    size_t room_count;
    bool all_rooms; /* "*" is among them */
    bool publish;
    int64_t expires; /* the first second of Unix time at which it is refused; at most 253402300799,
                        the end of the year 9999, so that milliseconds fit in 64 bits, too;
                        INT64_MAX for never */
    char text[TOKEN_MAX_BYTES / 4 * 3];
};

enum token_state {
    TOKEN_GOOD,
    TOKEN_MALFORMED, /* no JWT, or one of another kind, or with claims of the wrong type */
    TOKEN_FORGED,    /* the signature is of none of the keys */
    TOKEN_EXPIRED,
    TOKEN_EARLY /* `nbf` is to come */
};

/* Reads a key file. Returns NULL, or a sentence for the operator: it cannot be read, others may
 * read it, it is too short or too long. Then there is nothing to free. */
const char *token_read_key(const char *path, struct token_key *key);

/* Checks `text` against `count` keys at Unix time `now`, in whole seconds, and fills in `token`
 * when it is good; else `token` holds nothing to rely on. Of a token that is not
 * signed right, nothing but the signature is decoded; signatures are compared in constant time. */
enum token_state token_check(
    struct span text, const struct token_key *keys, size_t count, int64_t now, struct token *token);

/* The rights of a client where no token is asked for: all rooms, all rights, without an end. */
void token_open(struct token *token);

/* Whether a good token is for this room. */
bool token_has_room(const struct token *token, struct span room);

/* Adds a token to `out`, issued at `now`. `name` may be empty; `rooms` is as in struct token, "*"
 * for all. What breaks a rule, or comes out longer than TOKEN_MAX_BYTES, is signed all the same,
 * and token_check refuses it. Without memory `out` stays as it was, and `out->failed` is set. */
void token_make(struct buffer *out, const struct token_key *key, struct span name,
    const struct span *rooms, size_t room_count, bool publish, int64_t now, int64_t expires);

#endif
