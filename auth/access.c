/* access.c - every "may I" has its answer here, and nowhere else.
 *
 * Three kinds of people are kept off: those who take too much (limits for each address), other
 * people's web pages that use a reader's browser (Host, Origin), and strangers (tokens).
 *
 * A token is checked anew for each request and kept for no longer than that: whoever asks for what
 * it says must be on the way from access_token to the answer. No token, and no part of one, is ever
 * logged. */

#include "auth/access.h"

#include "api/answer.h"
#include "auth/token.h"
#include "base/log.h"
#include "base/print.h"
#include "net/server.h"

#include <stdlib.h>
#include <unistd.h>

/* One address may have so many connections besides its streams: for requests, and for streams that
 * are told that there are too many. */
enum { SPARE_CONNECTIONS = 32, LOG_PAUSE_MS = 10000 };

/* All requests that are being read may take so much memory together, and place for a few of the
 * largest; those of one address a part of it, and place for one: whatever --max-body allows, it can
 * be sent. Answers that wait to be read have as much as all requests. */
enum { BUFFERED_MAX_BYTES = 64 << 20, BUFFERED_SHARE = 16, BUFFERED_LARGEST = 8 };

static struct token_key *keys;
static size_t key_count;
static struct token token; /* of the request that is being answered; good when there are keys */

void access_read_keys(void)
{
    const struct values *files = &server.options.keys;
    keys = calloc(files->count + 1, sizeof *keys);
    for (size_t i = 0; i < files->count; i++) {
        const char *why = keys == NULL ? "there is no memory for the keys"
                                       : token_read_key(files->items[i].at, &keys[i]);
        if (why != NULL) {
            print_line(STDERR_FILENO, "ssechat: --key %s: %s\n", files->items[i].at, why);
            exit(EXIT_SYSTEM);
        }
    }
    key_count = files->count;
}

/* ==== Addresses ============================================================================== */

/* Without --trust-proxy all that comes through a proxy on this machine seems to come from one
 * client. That is worth a hint, once. */
static void hint_at_proxy(const struct peer *peer)
{
    static bool hinted;
    if (hinted || server.options.trusted_count > 0 || !address_is_loopback(&peer->address))
        return;
    hinted = true;
    log_line(LOG_WARN, "hint=\"this limit is for one client; if a proxy on this machine speaks for "
                       "many, start with --trust-proxy 127.0.0.1 --trust-proxy ::1\"");
}

/* What may be refused for load, each kind with a line of its own in the log. */
enum refusal { NO_CONNECTION, NO_STREAM, NO_POST, NO_ROOM, NO_BUFFER, REFUSALS };

/* One line for a flood. `peer` is NULL when it is not about one address. */
static void log_refused(const struct peer *peer, enum refusal what)
{
    static const char *const names[REFUSALS] = { "connection", "stream", "post", "room", "buffer" };
    static struct {
        int64_t next_ms;
        unsigned long others;
    } logged[REFUSALS];
    char address[ADDRESS_TEXT_BYTES] = "any";
    if (server.mono_ms < logged[what].next_ms) {
        logged[what].others++;
        return;
    }
    if (peer != NULL)
        address_print(&peer->address, address);
    log_line(LOG_WARN, "refused what=%s address=%s connections=%u streams=%u others_since=%lu",
        names[what], address, peer != NULL ? peer->connections : server.clients,
        peer != NULL ? peer->streams : server.streams, logged[what].others);
    logged[what].next_ms = server.mono_ms + LOG_PAUSE_MS;
    logged[what].others = 0;
    if (peer != NULL)
        hint_at_proxy(peer);
}

/* Whether it holds more connections than one address may. */
static bool is_crowded(const struct peer *peer)
{
    uint64_t most = server.options.max_streams_per_ip;
    return most > 0 && peer != NULL && peer->connections > most + SPARE_CONNECTIONS;
}

bool access_connect(const struct sockaddr *socket, struct peer **peer, bool *proxied)
{
    const struct options *o = &server.options;
    struct address address;
    *peer = NULL;
    if (!address_of(socket, &address)) {
        *proxied = o->trust_unix;
        return true;
    }
    *proxied = network_any_has(o->trusted, o->trusted_count, &address);
    if (*proxied)
        return true;
    *peer = peers_enter(&address, server_mono_us());
    if (*peer == NULL)
        return false;
    if (!is_crowded(*peer))
        return true;
    log_refused(*peer, NO_CONNECTION);
    peers_leave(*peer, server_mono_us());
    return false;
}

/* A proxy that says nothing of its client is trusted not to be a flood; but most likely it was
 * forgotten to tell it to. If it says what nobody can read, that client counts, with all others of
 * the kind, for the address `::`. */
static bool find_client(struct client *c)
{
    static bool warned;
    const struct options *o = &server.options;
    struct address address = { 0 };
    struct peer *peer = NULL;
    enum forwarded forwarded =
        address_forwarded(&c->in->request, c->in->bytes, o->trusted, o->trusted_count, &address);
    if (forwarded != FORWARDED_KNOWN && !warned) {
        warned = true;
        log_line(LOG_WARN, "hint=\"a trusted proxy does not say who its client is; let it send "
                           "X-Forwarded-For or Forwarded\"");
    }
    if (forwarded == FORWARDED_UNREADABLE)
        address = (struct address) { 0 };
    if (forwarded != FORWARDED_NOT && (peer = peers_enter(&address, server_mono_us())) == NULL) {
        client_close(c, "no memory");
        return false;
    }
    client_set_peer(c, peer);
    return true;
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
    const struct values *hosts = &server.options.hosts;
    bool ours = hosts->count == 0;
    for (size_t i = 0; i < hosts->count; i++)
        ours |= span_equal_nocase(hosts->items[i], host) ||
                span_equal_nocase(hosts->items[i], host_name(host));
    return ours;
}

bool access_request(struct client *c, bool stream)
{
    if (c->proxied && !find_client(c))
        return false;
    if (!stream && is_crowded(c->peer)) {
        log_refused(c->peer, NO_CONNECTION);
        c->close = true;
        answer_problem(c, 429, "Your address holds more connections than it may; close some.");
        return false;
    }
    if (is_our_host(http_span(c->in->request.host, c->in->bytes)))
        return true;
    answer_problem(c, 421,
        "This server does not go by the name in Host; it was started with other "
        "names (--host).");
    return false;
}

/* ==== Origin ================================================================================= */

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

bool access_origin(struct client *c)
{
    struct span origin = answer_field(c, HTTP_ORIGIN);
    if (origin.at == NULL || answer_allowed_origin(origin).at != NULL ||
        is_same_origin(origin, http_span(c->in->request.host, c->in->bytes)))
        return true;
    answer_problem(c, 403,
        "A page of another origin may not post here; start the server with --cors and that "
        "origin. If it is the server's own page: a proxy in between must pass Host on as it "
        "came.");
    return false;
}

/* ==== Tokens ================================================================================= */

/* "Bearer TOKEN" (RFC 6750 2.1); whatever else stands there is for somebody else. */
static struct span find_bearer(const struct client *c)
{
    struct span value = answer_field(c, HTTP_AUTHORIZATION), scheme;
    if (value.at == NULL || !span_split(&value, ' ', &scheme) ||
        !span_equal_nocase(scheme, SPAN("Bearer")) || value.at == NULL)
        return (struct span) { NULL, 0 };
    return span_trim(value);
}

/* ?access_token=TOKEN (RFC 6750 2.3), for an EventSource, which can set no header. The query is
 * decoded later, where it lies; a token has nothing in it that a URL would encode. */
static struct span find_parameter(const struct client *c)
{
    struct span query = http_span(c->in->request.query, c->in->bytes), value, name;
    while (span_split(&query, '&', &value))
        if (span_split(&value, '=', &name) && value.at != NULL &&
            span_equal(name, SPAN("access_token")))
            return value;
    return (struct span) { NULL, 0 };
}

/* The cookie `ssechat` (RFC 6265 4.2). */
static struct span find_cookie(const struct client *c)
{
    struct span cookies, value, name;
    unsigned cursor = 0;
    while (http_next(&c->in->request, HTTP_COOKIE, c->in->bytes, &cursor, &cookies)) {
        while (span_split(&cookies, ';', &value)) {
            value = span_trim(value);
            if (span_split(&value, '=', &name) && value.at != NULL &&
                span_equal(name, SPAN("ssechat")))
                return value;
        }
    }
    return (struct span) { NULL, 0 };
}

static const char *explain(enum token_state state)
{
    switch (state) {
    case TOKEN_MALFORMED:
        return "The token is none that this server takes: a JSON Web Token, signed with HS256, "
               "with `exp`, and each claim of its type.";
    case TOKEN_FORGED:
        return "The token is not signed with a key of this server.";
    case TOKEN_EXPIRED:
        return "The token has ended; get a new one.";
    case TOKEN_EARLY:
        return "The token is not valid yet; is the clock right where it was made?";
    case TOKEN_GOOD:
        break;
    }
    return NULL;
}

bool access_token(struct client *c)
{
    if (key_count == 0)
        return true;
    struct span text = find_bearer(c);
    if (text.at == NULL)
        text = find_parameter(c);
    if (text.at == NULL)
        text = find_cookie(c);
    if (text.at == NULL) {
        answer_problem_with(c, 401, "WWW-Authenticate: Bearer\r\n",
            "This server wants a token: as Authorization: Bearer TOKEN, as ?access_token=TOKEN, or "
            "as the cookie ssechat.");
        return false;
    }
    const char *why =
        explain(token_check(text, keys, key_count, (int64_t)(server.unix_ms / 1000), &token));
    if (why != NULL)
        answer_problem_with(c, 401, "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n", why);
    return why == NULL;
}

static void forbid(struct client *c, const char *detail)
{
    answer_problem_with(
        c, 403, "WWW-Authenticate: Bearer error=\"insufficient_scope\"\r\n", detail);
}

bool access_publish(struct client *c)
{
    if (key_count == 0 || token.publish)
        return true;
    forbid(c, "The token is for reading only; to publish, it needs \"publish\":true.");
    return false;
}

bool access_rooms(struct client *c, const struct span *rooms, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!hub_allows(server.hub, rooms[i])) {
            answer_problem(c, 403, "This server has only the rooms it was started with (--room).");
            return false;
        }
        if (key_count > 0 && !token_has_room(&token, rooms[i])) {
            forbid(c, "The token is not for this room; its claim `rooms` lists those it is for.");
            return false;
        }
    }
    return true;
}

bool access_shows_room(struct span room)
{
    return key_count == 0 || token_has_room(&token, room);
}

struct span access_name(struct span asked)
{
    return key_count > 0 && token.name.at != NULL ? token.name : asked;
}

int64_t access_expires(void)
{
    return key_count > 0 ? token.expires : INT64_MAX;
}

/* ==== Limits ================================================================================= */

bool access_post(struct client *c)
{
    uint64_t rate = server.options.post_rate;
    if (rate == 0 || c->peer == NULL || peers_may_post(c->peer, rate, server_mono_us()))
        return true;
    log_refused(c->peer, NO_POST);
    answer_problem(c, 429, "Too many messages come from your address; wait a second.");
    return false;
}

const char *access_busy(const struct client *c)
{
    uint64_t most = server.options.max_streams_per_ip;
    if (server.draining)
        return "draining";
    if (server.streams >= server.max_streams) {
        log_refused(NULL, NO_STREAM);
        return "full";
    }
    if (most == 0 || c->peer == NULL || (c->peer->streams < most && !is_crowded(c->peer)))
        return NULL;
    log_refused(c->peer, NO_STREAM);
    return "address";
}

void access_no_room(const struct client *c)
{
    log_refused(c->peer, NO_ROOM);
}

bool access_buffer(const struct client *c, enum buffered kind, size_t more)
{
    size_t largest = server.options.max_body;
    bool fits = server.buffered[kind] + more <= BUFFERED_MAX_BYTES + BUFFERED_LARGEST * largest;
    if (kind == BUFFERED_REQUESTS && c->peer != NULL && server.options.max_streams_per_ip > 0)
        fits &= c->peer->buffered + more <= BUFFERED_MAX_BYTES / BUFFERED_SHARE + largest;
    if (!fits)
        log_refused(c->peer, NO_BUFFER);
    return fits;
}
