/* access.c - decides which requests are allowed.
 *
 * The checks stop three kinds of misuse. DNS rebinding: a foreign page makes its own name resolve
 * to our address and so gets the rights of our page, but the Host of its requests is not a --host
 * name. Cross-site request forgery: a foreign page makes its reader's browser post with the
 * reader's cookie, but its Origin is neither ours nor a --cors origin. (CORS alone would not stop
 * this: it decides which answers a browser shows to a page, not which requests it sends.)
 * Strangers: with --key, every client needs a token. net/limits.c limits each address.
 *
 * Nothing is remembered: the token of every request is checked, so an expired token stops working
 * at once. The price is an HMAC per request and key. No part of a token is ever logged. */

#include "auth/access.h"

#include "auth/origins.h"
#include "auth/sha256.h"
#include "base/log.h"
#include "base/uri.h"

#include <stdlib.h>

static const struct access_settings *settings; /* borrowed from access_start's caller */
static struct token_key *keys;                 /* one for each of key_files, never freed */

/* Reads the keys once, so a key file that changes later has no effect until a restart. The operator
 * can pass the old key along with the new one until the last old token has expired. */
void access_start(const struct access_settings *given)
{
    const struct spans *files = &given->key_files;
    settings = given;
    keys = calloc(files->count + 1, sizeof *keys);
    for (size_t i = 0; i < files->count; i++) {
        const char *why =
            keys == NULL ? "out of memory" : token_read_key(files->items[i].at, &keys[i]);
        if (why != NULL)
            log_exit(EXIT_SYSTEM, "--key %s: %s", files->items[i].at, why);
    }
}

bool access_wants_token(void)
{
    return settings->key_files.count > 0;
}

/* ==== Host =================================================================================== */

/* Compares Host with --host, because after DNS rebinding the browser talks to our address but sends
 * the attacker's name in Host. Linear searches are fine for the few names and origins given on a
 * command line. */
static bool is_our_host(struct span host)
{
    const struct spans *hosts = &settings->hosts;
    bool ours = hosts->count == 0;
    for (size_t i = 0; i < hosts->count; i++)
        ours |= origins_match_host(hosts->items[i], host);
    return ours;
}

const struct refusal *access_host(const struct http_request *r, const char *bytes)
{
    static const struct refusal misdirected = { 421, "",
        "The server does not answer for the name in the Host field; use one of the names that it "
        "was started with (--host)." };
    return is_our_host(http_span(r->host, bytes)) ? NULL : &misdirected;
}

/* ==== Origin ================================================================================= */

bool access_shares(void)
{
    return settings->cors.count > 0;
}

/* Prefers an exact origin to "*", because only an exact origin gets credentials (Fetch Standard,
 * "CORS protocol and credentials"). If there is no Origin (`at` is NULL), only "*" can match. */
struct span access_allowed_origin(struct span origin)
{
    struct span allowed = { NULL, 0 };
    for (size_t i = 0; i < settings->cors.count; i++) {
        struct span item = settings->cors.items[i];
        if (span_equal(item, SPAN("*")))
            allowed = item;
        else if (origin.at != NULL && origins_match(item, origin))
            return origin;
    }
    return allowed;
}

/* Relies on Origin: browsers set it on every cross-origin POST, and a page cannot change it.
 * Programs can send any Origin, but they have no reader's cookie to misuse. The second sentence of
 * the detail covers a common accident: a proxy replaces Host with the name of its upstream. */
const struct refusal *access_origin(const struct http_request *r, const char *bytes)
{
    static const struct refusal foreign = { 403, "",
        "A page of another origin may not post here; allow that origin with --cors. If it is the "
        "server's own page, a proxy has changed Host; make the proxy pass Host unchanged." };
    struct span origin = http_find(r, HTTP_ORIGIN, bytes);
    bool own = origin.at == NULL || access_allowed_origin(origin).at != NULL ||
               origins_is_own(origin, http_span(r->host, bytes));
    return own ? NULL : &foreign;
}

/* ==== Tokens ================================================================================= */

/* Finds "Bearer TOKEN" (RFC 6750 2.1). Other schemes are ignored, because they can be meant for a
 * proxy. The find functions return a span of the request, or of
 * `decoded`; `at` is NULL if there is no token. */
static struct span find_bearer(const struct http_request *r, const char *bytes)
{
    struct span value = http_find(r, HTTP_AUTHORIZATION, bytes), scheme;
    if (value.at == NULL || !span_split(&value, ' ', &scheme) ||
        !span_equal_nocase(scheme, SPAN("Bearer")) || value.at == NULL)
        return (struct span) { NULL, 0 };
    return span_trim(value);
}

/* Finds ?access_token=TOKEN (RFC 6750 2.3), for an EventSource, which cannot set a header. The
 * query is not decoded yet: the token is decoded into `decoded`, which has room for any target,
 * because some libraries encode even its dots. The price of this form is that proxies log URLs. */
static struct span find_parameter(const struct http_request *r, const char *bytes, char *decoded)
{
    struct span query = http_span(r->query, bytes), value, name;
    for (unsigned n = 0; n < URI_PARAMETERS_MAX && uri_parameter(&query, &name, &value); n++)
        if (value.at != NULL && uri_means(name, SPAN("access_token"))) {
            ptrdiff_t len = uri_decode(value, true, decoded);
            return (struct span) { decoded, len < 0 ? 0 : (size_t)len };
        }
    return (struct span) { NULL, 0 };
}

enum { COOKIES_MAX = 200 };

/* Finds the cookie `ssechat` (RFC 6265 4.2), the first if there are several with different paths.
 * Looks at the first cookies only: a browser sends at most 180 to a host. */
static struct span find_cookie(const struct http_request *r, const char *bytes)
{
    struct span cookies, value, name;
    unsigned cursor = 0, left = COOKIES_MAX;
    while (http_next(r, HTTP_COOKIE, bytes, &cursor, &cookies)) {
        while (left > 0 && span_split(&cookies, ';', &value)) {
            left--;
            value = span_trim(value);
            if (span_split(&value, '=', &name) && value.at != NULL &&
                span_equal(name, SPAN("ssechat")))
                return value;
        }
    }
    return (struct span) { NULL, 0 };
}

/* Prefers an explicit token to the cookie, which the browser adds to every request. Only the first
 * token found counts: if it is bad, the others are not tried. */
static struct span find_token(const struct http_request *r, const char *bytes, char *decoded)
{
    struct span text = find_bearer(r, bytes);
    if (text.at == NULL)
        text = find_parameter(r, bytes, decoded);
    return text.at != NULL ? text : find_cookie(r, bytes);
}

/* Returns NULL for a good token. The fields follow RFC 6750 3: a client that sent a token gets
 * error="invalid_token", and a client that sent none gets a challenge without an error. */
static const struct refusal *refusal_of(enum token_state state)
{
#define INVALID 401, "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n"
    static const struct refusal refusals[] = {
        [TOKEN_MALFORMED] = { INVALID,
            "The server does not accept this token. It must be a JSON Web Token signed with HS256; "
            "it needs the claim `exp`, each claim must be valid, and `aud`, if present, must "
            "include `ssechat`." },
        [TOKEN_FORGED] = { INVALID,
            "The token is not signed with a key of this server; get a new one." },
        [TOKEN_EXPIRED] = { INVALID, "The token has expired; get a new one." },
        [TOKEN_EARLY] = { INVALID,
            "The token is not valid yet; check the clock of the machine that made it." },
    };
#undef INVALID
    return state == TOKEN_GOOD ? NULL : &refusals[state];
}

const struct refusal *access_token(
    const struct http_request *r, const char *bytes, uint64_t unix_ms, struct token *token)
{
    static const struct refusal none = { 401, "WWW-Authenticate: Bearer\r\n",
        "This request needs a token; send it as `Authorization: Bearer TOKEN`, as "
        "`?access_token=TOKEN`, or as the cookie `ssechat`." };
    if (!access_wants_token()) {
        token_open(token);
        return NULL;
    }
    char decoded[HTTP_TARGET_MAX_BYTES];
    struct span text = find_token(r, bytes, decoded);
    if (text.at == NULL)
        return &none;
    return refusal_of(
        token_check(text, keys, settings->key_files.count, (int64_t)(unix_ms / 1000), token));
}

/* The status and fields for a good token that does not allow the request (RFC 6750 3.1). */
#define SCOPE 403, "WWW-Authenticate: Bearer error=\"insufficient_scope\"\r\n"

const struct refusal *access_publish(const struct token *token)
{
    static const struct refusal reading = { SCOPE,
        "The token allows reading only; to publish, it needs the claim \"publish\":true." };
    return token->publish ? NULL : &reading;
}

/* Refuses the request if any room is refused, because a stream with fewer rooms than requested
 * would look right but miss messages. A room that --room does not list gets no
 * "insufficient_scope", because no token would help. At most 16 rooms are compared with at most
 * TOKEN_ROOMS_MAX names each. */
const struct refusal *access_rooms(
    const struct hub *hub, const struct token *token, const struct span *rooms, size_t count)
{
    static const struct refusal no_such = { 403, "",
        "The server does not have this room; it has only the rooms that it was started with "
        "(--room)." };
    static const struct refusal not_for = { SCOPE,
        "The token does not allow this room; its claim `rooms` lists the rooms that it allows." };
    for (size_t i = 0; i < count; i++) {
        if (!hub_allows(hub, rooms[i]))
            return &no_such;
        if (!token_has_room(token, rooms[i]))
            return &not_for;
    }
    return NULL;
}

struct span access_name(const struct token *token, struct span asked)
{
    return token->name.at != NULL ? token->name : asked;
}

/* Uses a keyed hash (the first 64 bits of HMAC-SHA-256), so that a journal that is passed on names
 * no user and no address, but the same author has the same pseudonym while the key stays. The
 * address is hashed as text; of an IPv6 address, that is its /64 prefix. */
struct author access_author(const struct token *token, const struct peer *peer)
{
    unsigned char digest[SHA256_BYTES];
    char text[ADDRESS_TEXT_BYTES];
    struct author author = { 0, access_wants_token(), token->name.at != NULL };
    struct span name = token->name;
    if (!author.with_token || (name.at == NULL && peer == NULL))
        return author;
    if (name.at == NULL) {
        address_print(&peer->address, text);
        name = span_of(text);
    }
    sha256_hmac((struct span) { keys[0].bytes, keys[0].len }, name, digest);
    for (size_t i = 0; i < sizeof author.by; i++)
        author.by = author.by << 8 | digest[i];
    return author;
}
