/* access.c - which requests are let in.
 *
 * Two kinds are kept off: those of other people's web pages that use a reader's browser (Host,
 * Origin), and those of strangers (tokens). How much one address may take is net/limits.c.
 *
 * A token is checked again for each request, and kept for no longer. No token, and no part of one,
 * is ever logged. */

#include "auth/access.h"

#include "base/log.h"

#include <stdlib.h>

static const struct access_settings *settings;
static struct token_key *keys;

void access_start(const struct access_settings *given)
{
    const struct spans *files = &given->key_files;
    settings = given;
    keys = calloc(files->count + 1, sizeof *keys);
    for (size_t i = 0; i < files->count; i++) {
        const char *why = keys == NULL ? "there is no memory for the keys"
                                       : token_read_key(files->items[i].at, &keys[i]);
        if (why != NULL)
            log_exit(EXIT_SYSTEM, "--key %s: %s", files->items[i].at, why);
    }
}

bool access_wants_token(void)
{
    return settings->key_files.count > 0;
}

/* ==== Host =================================================================================== */

/* "example.com:8080" without the port, and without the dot that may end a name. */
static struct span host_name(struct span host)
{
    size_t len = host.len;
    while (len > 0 && host.at[len - 1] >= '0' && host.at[len - 1] <= '9')
        len--;
    if (len > 0 && host.at[len - 1] == ':')
        host.len = len - 1;
    if (host.len > 0 && host.at[host.len - 1] == '.')
        host.len--;
    return host;
}

/* A page that made its own name lead to our address (DNS rebinding) still says its own name. */
static bool is_our_host(struct span host)
{
    const struct spans *hosts = &settings->hosts;
    bool ours = hosts->count == 0;
    for (size_t i = 0; i < hosts->count; i++)
        ours |= span_equal_nocase(hosts->items[i], host) ||
                span_equal_nocase(hosts->items[i], host_name(host));
    return ours;
}

const struct refusal *access_host(const struct http_request *r, const char *bytes)
{
    static const struct refusal misdirected = { 421, "",
        "This server does not go by the name in Host; it was started with other names (--host)." };
    return is_our_host(http_span(r->host, bytes)) ? NULL : &misdirected;
}

/* ==== Origin ================================================================================= */

bool access_shares(void)
{
    return settings->cors.count > 0;
}

struct span access_allowed_origin(struct span origin)
{
    struct span allowed = { NULL, 0 };
    for (size_t i = 0; i < settings->cors.count; i++) {
        struct span item = settings->cors.items[i];
        if (origin.at != NULL && span_equal_nocase(item, origin))
            return origin;
        if (span_equal(item, SPAN("*")))
            allowed = item;
    }
    return allowed;
}

/* Takes `piece` off the front of `*s`, or with `end` off its end, when it is there. */
static bool take_off(struct span *s, struct span piece, bool end)
{
    if (s->len <= piece.len)
        return false;
    const char *at = end ? s->at + s->len - piece.len : s->at;
    if (!span_equal_nocase((struct span) { at, piece.len }, piece))
        return false;
    s->at += end ? 0 : piece.len;
    s->len -= piece.len;
    return true;
}

/* Whether `origin` is the page's own: it has the authority that Host names. The scheme may differ,
 * since TLS ends in front of us; a default port may be written or not. */
static bool is_same_origin(struct span origin, struct span host)
{
    bool plain = take_off(&origin, SPAN("http://"), false);
    if (!plain && !take_off(&origin, SPAN("https://"), false))
        return false;
    struct span port = plain ? SPAN(":80") : SPAN(":443");
    take_off(&origin, port, true);
    take_off(&host, port, true);
    return span_equal_nocase(origin, host);
}

const struct refusal *access_origin(const struct http_request *r, const char *bytes)
{
    static const struct refusal foreign = {
        403, "",
        "A page of another origin may not post here; start the server with --cors and that "
        "origin. If it is the server's own page: a proxy in between must pass Host on as it came."
    };
    struct span origin = http_find(r, HTTP_ORIGIN, bytes);
    bool own = origin.at == NULL || access_allowed_origin(origin).at != NULL ||
               is_same_origin(origin, http_span(r->host, bytes));
    return own ? NULL : &foreign;
}

/* ==== Tokens ================================================================================= */

/* "Bearer TOKEN" (RFC 6750 2.1). Another scheme is ignored: it may be for a proxy in front. */
static struct span find_bearer(const struct http_request *r, const char *bytes)
{
    struct span value = http_find(r, HTTP_AUTHORIZATION, bytes), scheme;
    if (value.at == NULL || !span_split(&value, ' ', &scheme) ||
        !span_equal_nocase(scheme, SPAN("Bearer")) || value.at == NULL)
        return (struct span) { NULL, 0 };
    return span_trim(value);
}

/* ?access_token=TOKEN (RFC 6750 2.3), for an EventSource, which can set no header. The query is
 * decoded later, where it lies; a token has nothing in it that a URL would encode. */
static struct span find_parameter(const struct http_request *r, const char *bytes)
{
    struct span query = http_span(r->query, bytes), value, name;
    while (span_split(&query, '&', &value))
        if (span_split(&value, '=', &name) && value.at != NULL &&
            span_equal(name, SPAN("access_token")))
            return value;
    return (struct span) { NULL, 0 };
}

/* The cookie `ssechat` (RFC 6265 4.2). */
static struct span find_cookie(const struct http_request *r, const char *bytes)
{
    struct span cookies, value, name;
    unsigned cursor = 0;
    while (http_next(r, HTTP_COOKIE, bytes, &cursor, &cookies)) {
        while (span_split(&cookies, ';', &value)) {
            value = span_trim(value);
            if (span_split(&value, '=', &name) && value.at != NULL &&
                span_equal(name, SPAN("ssechat")))
                return value;
        }
    }
    return (struct span) { NULL, 0 };
}

static struct span find_token(const struct http_request *r, const char *bytes)
{
    struct span text = find_bearer(r, bytes);
    if (text.at == NULL)
        text = find_parameter(r, bytes);
    return text.at != NULL ? text : find_cookie(r, bytes);
}

static const struct refusal *refusal_of(enum token_state state)
{
#define INVALID 401, "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n"
    static const struct refusal refusals[] = {
        [TOKEN_MALFORMED] = { INVALID,
            "The token is none that this server takes: a JSON Web Token, signed with HS256, with "
            "`exp`, and each claim of its type." },
        [TOKEN_FORGED] = { INVALID, "The token is not signed with a key of this server." },
        [TOKEN_EXPIRED] = { INVALID, "The token has ended; get a new one." },
        [TOKEN_EARLY] = { INVALID,
            "The token is not valid yet; is the clock right where it was made?" },
    };
#undef INVALID
    return state == TOKEN_GOOD ? NULL : &refusals[state];
}

const struct refusal *access_token(
    const struct http_request *r, const char *bytes, uint64_t unix_ms, struct token *token)
{
    static const struct refusal none = { 401, "WWW-Authenticate: Bearer\r\n",
        "This server wants a token: as Authorization: Bearer TOKEN, as ?access_token=TOKEN, or "
        "as the cookie ssechat." };
    if (!access_wants_token()) {
        token_open(token);
        return NULL;
    }
    struct span text = find_token(r, bytes);
    if (text.at == NULL)
        return &none;
    return refusal_of(
        token_check(text, keys, settings->key_files.count, (int64_t)(unix_ms / 1000), token));
}

#define SCOPE 403, "WWW-Authenticate: Bearer error=\"insufficient_scope\"\r\n"

const struct refusal *access_publish(const struct token *token)
{
    static const struct refusal reading = { SCOPE,
        "The token is for reading only; to publish, it needs \"publish\":true." };
    return token->publish ? NULL : &reading;
}

const struct refusal *access_rooms(
    const struct hub *hub, const struct token *token, const struct span *rooms, size_t count)
{
    static const struct refusal no_such = { 403, "",
        "This server has only the rooms it was started with (--room)." };
    static const struct refusal not_for = { SCOPE,
        "The token is not for this room; its claim `rooms` lists those it is for." };
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
