/* limits.c - the counts of limits.h, and the log lines when a limit is reached.
 *
 * Most limits exist twice: per address, so that a single client cannot use up the server, and for
 * all addresses together, because an attacker may have many. (The descriptors limit all connections
 * together: see accept.c. Messages are limited per address only.) The numbers are chosen so that a
 * browser with several open tabs does not reach them.
 *
 * The code that receives a connection or a request decides which peer it counts against. The peer
 * is NULL for a unix socket, and for a trusted proxy that names no client. */

#include "net/limits.h"

#include "base/clock.h"
#include "base/log.h"

enum {
    /* At least this many descriptors are reserved for requests and `busy` answers. */
    RESERVED_DESCRIPTORS = 32,

    /* One address may have this many connections besides its streams: for requests, and for streams
     * that get a `busy` answer. */
    SPARE_CONNECTIONS = 32,

    /* All requests that are being read may use BUFFERED_MAX_BYTES, or 1/BUFFERED_PART of the memory
     * if that is less, plus BUFFERED_LARGEST bodies of --max-body. The requests of one address may
     * use 1/BUFFERED_SHARE of the first amount, plus one such body, so that every body that
     * --max-body allows can be sent. The same limits apply to unsent answers. */
    BUFFERED_MAX_BYTES = 64 << 20,
    BUFFERED_PART = 16,
    BUFFERED_SHARE = 16,
    BUFFERED_LARGEST = 8,
    BUFFER_FREE_BYTES = 4096, /* buffers up to this size are not counted */

    LOG_PAUSE_MS = 10000,
};

static const struct net_settings *settings;
static unsigned connections, streams, max_streams;
static uint64_t streams_opened, refused[LIMITS_REFUSED]; /* since the start */
static size_t buffered[BUFFERED_KINDS]; /* bytes in buffers of more than BUFFER_FREE_BYTES */

/* Limits the streams, so that they do not use up all descriptors. One descriptor in 32 (at least
 * RESERVED_DESCRIPTORS, but no more than half) is left for requests, and for telling further
 * streams that the server is full. */
unsigned limits_max_streams(const struct net_settings *given, unsigned descriptors)
{
    unsigned reserve = descriptors / 32;
    if (reserve < RESERVED_DESCRIPTORS)
        reserve = RESERVED_DESCRIPTORS;
    unsigned most = descriptors > 2 * reserve ? descriptors - reserve : descriptors / 2;
    return given->max_streams > 0 && given->max_streams < most ? (unsigned)given->max_streams
                                                               : most;
}

/* Returns what each kind of buffer may use besides the largest bodies. */
static uint64_t usual_buffered(const struct net_settings *given)
{
    uint64_t part = given->memory / BUFFERED_PART;
    return part < BUFFERED_MAX_BYTES ? part : BUFFERED_MAX_BYTES;
}

/* Returns the limit for each kind of buffer. */
static uint64_t max_buffered(const struct net_settings *given)
{
    return usual_buffered(given) + BUFFERED_LARGEST * given->max_body;
}

uint64_t limits_max_buffers(const struct net_settings *given)
{
    return BUFFERED_KINDS * max_buffered(given);
}

void limits_start(const struct net_settings *given, unsigned descriptors)
{
    settings = given;
    max_streams = limits_max_streams(given, descriptors);
    log_line(LOG_INFO, "limits descriptors=%u streams=%u", descriptors, max_streams);
}

/* ==== The log ================================================================================ */

/* Logs one hint about --trust-proxy, which is easily forgotten: without it, all clients of a proxy
 * on this machine look like one client, which soon reaches its limits. */
static void hint_at_proxy(const struct peer *peer)
{
    static bool hinted;
    if (hinted || settings->trusted_count > 0 || !address_is_loopback(&peer->address))
        return;
    hinted = true;
    log_line(LOG_WARN, "hint=\"this limit is for one client address; if a proxy on this machine "
                       "forwards many clients, start with --trust-proxy 127.0.0.1 --trust-proxy "
                       "::1\"");
}

const char *limits_word(enum limits_refused what)
{
    static const char *const words[LIMITS_REFUSED] = { "connection", "stream", "post", "room",
        "buffer" };
    return words[what];
}

uint64_t limits_refused(enum limits_refused what)
{
    return refused[what];
}

/* Logs one refusal per LOG_PAUSE_MS and kind, which is enough for the operator: the next line says
 * how many were left out. The counts are the address's, or the server's if `peer` is NULL. */
void limits_refuse(const struct peer *peer, enum limits_refused what)
{
    static struct {
        int64_t next_ms;
        unsigned long others;
    } logged[LIMITS_REFUSED];
    char address[ADDRESS_TEXT_BYTES] = "any";
    refused[what]++;
    if (clock_mono_ms() < logged[what].next_ms) {
        logged[what].others++;
        return;
    }
    if (peer != NULL)
        address_print(&peer->address, address);
    log_line(LOG_WARN, "refused what=%s address=%s connections=%u streams=%u others_since=%lu",
        limits_word(what), address, peer != NULL ? peer->connections : connections,
        peer != NULL ? peer->streams : streams, logged[what].others);
    logged[what].next_ms = clock_mono_ms() + LOG_PAUSE_MS;
    logged[what].others = 0;
    if (peer != NULL)
        hint_at_proxy(peer);
}

/* ==== Connections, streams, messages ========================================================= */

void limits_count_connections(int more)
{
    connections += (unsigned)more;
}

void limits_count_streams(struct peer *peer, int more)
{
    streams += (unsigned)more;
    streams_opened += more > 0;
    if (peer != NULL)
        peer->streams += (unsigned)more;
}

unsigned limits_connections(void)
{
    return connections;
}

unsigned limits_streams(void)
{
    return streams;
}

unsigned limits_streams_allowed(void)
{
    return max_streams;
}

uint64_t limits_streams_opened(void)
{
    return streams_opened;
}

uint64_t limits_spread_ms(void)
{
    return streams > 1000 ? streams : 1000;
}

/* Uses `>` because the new connection is already counted; `most + SPARE_CONNECTIONS` may exist. */
static bool is_crowded(const struct peer *peer)
{
    uint64_t most = settings->max_streams_per_ip;
    return most > 0 && peer != NULL && peer->connections > most + SPARE_CONNECTIONS;
}

bool limits_is_crowded(const struct peer *peer)
{
    bool crowded = is_crowded(peer);
    if (crowded)
        limits_refuse(peer, LIMITS_CONNECTION);
    return crowded;
}

/* Also refuses further streams to a crowded address, because its spare connections are for
 * requests. */
enum limit limits_stream(const struct peer *peer)
{
    uint64_t most = settings->max_streams_per_ip;
    if (streams >= max_streams) {
        limits_refuse(NULL, LIMITS_STREAM);
        return LIMIT_SERVER;
    }
    if (most == 0 || peer == NULL || (peer->streams < most && !is_crowded(peer)))
        return LIMIT_NONE;
    limits_refuse(peer, LIMITS_STREAM);
    return LIMIT_ADDRESS;
}

/* Uses the keyed hash: it is different for each address, and it fits into a name. */
uint64_t limits_source(const struct peer *peer)
{
    if (peer == NULL || settings->max_streams_per_ip == 0)
        return 0;
    return settings->trusted_count > 0 || !address_is_loopback(&peer->address) ? peer->node.hash
                                                                               : 0;
}

/* Returns how long the allowance of an address takes to pay for a post of this many bytes. */
static inline int64_t post_us(uint64_t bytes)
{
    const uint64_t second_us = 1000000;
    uint64_t units = bytes / LIMITS_POST_BYTES, rest = bytes % LIMITS_POST_BYTES;
    uint64_t us = (units * second_us + rest * second_us / LIMITS_POST_BYTES) / settings->post_rate;
    uint64_t least = second_us / settings->post_rate;
    return (int64_t)(us > least ? us : least);
}

/* Uses the peer's allowance: see peers_post. The turn's clock is exact enough. Returns the seconds
 * to wait, rounded up. */
static unsigned post(struct peer *peer, int64_t cost_us)
{
    int64_t wait_us = peers_post(peer, cost_us, clock_mono_us());
    if (wait_us > 0)
        limits_refuse(peer, LIMITS_POST);
    return (unsigned)((wait_us + 999999) / 1000000);
}

unsigned limits_post(struct peer *peer, uint64_t bytes)
{
    return settings->post_rate > 0 && peer != NULL ? post(peer, post_us(bytes)) : 0;
}

unsigned limits_owes(struct peer *peer)
{
    return settings->post_rate > 0 && peer != NULL ? post(peer, 0) : 0;
}

void limits_post_more(struct peer *peer, uint64_t counted, uint64_t bytes)
{
    if (settings->post_rate > 0 && peer != NULL && bytes > counted)
        peers_owe(peer, post_us(bytes) - post_us(counted), clock_mono_us());
}

/* ==== Memory ================================================================================= */

/* Returns 0 for small buffers, because the number of connections bounds them. */
static size_t counted(size_t bytes)
{
    return bytes > BUFFER_FREE_BYTES ? bytes : 0;
}

/* Also limits both kinds per address, unless --max-streams-per-ip is 0. */
bool limits_buffer(enum buffered kind, const struct peer *peer, size_t old, size_t size)
{
    size_t largest = (size_t)settings->max_body, more = counted(size) - counted(old);
    if (counted(size) == 0)
        return true;
    bool fits = buffered[kind] + more <= max_buffered(settings);
    if (peer != NULL && settings->max_streams_per_ip > 0)
        fits &= peer->buffered[kind] + more <= usual_buffered(settings) / BUFFERED_SHARE + largest;
    if (!fits)
        limits_refuse(peer, LIMITS_BUFFER);
    return fits;
}

/* Adds a difference that can be negative: unsigned arithmetic wraps around to the right sum. */
void limits_count_buffer(enum buffered kind, struct peer *peer, size_t old, size_t size)
{
    buffered[kind] += counted(size) - counted(old);
    if (peer != NULL)
        peer->buffered[kind] += counted(size) - counted(old);
}
