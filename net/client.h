/* client.h - a connection from accept to close: a state machine on level-triggered epoll.
 *
 *     accept
 *       │
 *       ▼      head          body
 *  ┌─► HEAD ─────────► BODY ─────────► handlers ────────────────► STREAMING
 *  │    │               │               │   │                         │ drain, or expired token:
 *  │    │ early         │ early         │   └────► WAITING            │ the stream's last bytes
 *  │    ▼               ▼               ▼             ▼               ▼
 *  │   ════════════════════════════ an answer to send ════════════════════════
 *  │          │ all of it is sent                        │ part of it
 *  │          │                                          ▼
 *  │          ├◄───────────────── the rest ───────── ANSWERING
 *  │          ▼
 *  └─ kept ───┴─ ended ──► LINGERING ──► CLOSED ◄── every state: see below
 *
 *     state       watched for         continues when           time limit
 *
 *     HEAD        EPOLLIN             the head is complete     10 s: 408, or CLOSED if no byte came
 *       kept      EPOLLIN             a request begins         75 s (--keep-alive): CLOSED
 *     BODY        EPOLLIN             the body is complete     30 s for each 64 KiB: 408
 *       queued    as before, or none  it is its turn           none: see rotation.h
 *     WAITING     EPOLLIN, then none  the message is settled   none: the keeper always settles
 *       a poll    EPOLLRDHUP          a message, a half-close  as requested: an empty page
 *     ANSWERING   EPOLLOUT            the rest is sent         30 s without progress: CLOSED
 *     STREAMING   EPOLLIN             a message arrives        heartbeat due: a heartbeat
 *       blocked   EPOLLIN, EPOLLOUT   the socket has room      60 s without progress: CLOSED
 *     LINGERING   EPOLLIN             the client closes        1 s: CLOSED
 *     CLOSED      nothing             the turn ends: freed
 *
 * An answer is early when the request is unreadable or too slow, or when its head alone decides the
 * answer. In every state a reset, a hang-up, a shortage of memory or the end of the server closes
 * the connection. Once the request is complete, a half-close is not a hang-up, but it ends the wait
 * of a long poll, and a stream, because a client that has left sends the same FIN. A keep-alive
 * connection is also closed when its descriptor is needed, and a stream when the ring has passed
 * its cursor, or when its token expires while the stream is blocked.
 *
 * Level-triggered epoll reports a socket in every turn while a watched event is ready, so each
 * state watches only for events that it will act on. This also gives back-pressure: bytes that are
 * not wanted yet stay in the kernel, and the client's TCP window closes. LINGERING reads and drops
 * whatever the client still sends, because close(2) with unread bytes sends a reset, which can
 * destroy the answer in flight (RFC 9112 9.6).
 *
 * Handlers, which are above net/, decide what a request means. They read the request through
 * exchange.h and end it with one of the functions below. */

#ifndef CLIENT_H
#define CLIENT_H

#include "http.h"
#include "hub.h"
#include "net/peers.h"
#include "net/settings.h"

struct client;

/* ---- What the loop calls ---- */

/* The callbacks of the layer above, which decide what a request means. Each must end the request
 * with one of the functions below before it returns, unless it returns true. */
struct handlers {
    /* Called when the head is complete. Finds the address that the request counts against, which
     * decides when the request is handled (rotation.h). */
    bool (*identify)(struct client *);
    /* Called when the head is handled. Returns true to read the body; false if the request is
     * already answered, because no body could make it valid. */
    bool (*admit)(struct client *);
    /* Called when the request is complete. */
    void (*handle)(struct client *);
    /* Called when a request could not be read. If its head was not complete, it now looks empty. */
    void (*refuse)(struct client *, const struct refusal *why);
    const char *does; /* in the line that announces the listener: "listening", "metrics" */
    bool exempt;      /* its clients are the operator's, and count against no address */
};

/* Call this once, before any other function here. Streams join `hub`, sockets are watched with
 * `epoll`; `settings` must stay valid. */
void client_start(const struct net_settings *settings, struct hub *hub, int epoll);

/* Takes over a newly accepted connection; closes it if out of memory. `peer` has counted the
 * connection, or is NULL. If `proxied`, the connection is from a trusted proxy, which names the
 * client in each request. `handlers` must stay valid; CLIENT_HANDLERS_MAX different ones fit. */
enum { CLIENT_HANDLERS_MAX = 16 };
void client_new(int fd, struct peer *peer, bool proxied, const struct handlers *handlers);

/* Handles what epoll reports for a client, which may have been closed earlier in this turn. */
void client_ready(struct client *c, uint32_t events);

/* Handles complete requests, by address in rotation, for a bounded time. */
void client_handle(void);

/* Handles deadlines that have passed, a bounded number per turn. */
void client_expire(void);

/* Returns the time, in monotonic milliseconds, at which client_handle or client_expire next has
 * something to do; if there is none, a time in the far future. */
int64_t client_next_ms(void);

/* Frees the clients that were closed in this turn. Call this last in a turn, because events and
 * lists of the turn may still point to them. */
void client_reap(void);

/* Begins the drain: closes idle connections, tells streams when to reconnect, and answers requests
 * that have begun. */
void client_drain_all(void);

/* Closes all clients, whatever they are doing. */
void client_close_all(void);

/* Closes the keep-alive connection that has been idle longest. Returns false if none is idle. */
bool client_close_idle(void);

/* Returns how often a descriptor was freed, or a connection became idle so that client_close_idle
 * can close it. If the count has changed, accept(2) is worth another try. */
unsigned client_released(void);

/* The functions that the hub calls: to serve a stream, and to end a stream that was overrun. */
extern const struct stream_owner client_stream_owner;

bool client_is_draining(void);

/* Counts the client against another address, for which the caller has called peers_enter. If `peer`
 * is NULL, the client is not counted. */
void client_set_peer(struct client *c, struct peer *peer);

/* ---- How a request ends: call exactly one of these ----
 *
 * Each may close the client; the struct stays valid until the end of the turn. */

/* Sends an answer: its head, which is copied if necessary, then `body`, which must stay valid until
 * it is sent. */
void client_answer(struct client *c, struct span head, struct span body);

/* Sends `left` bytes from the descriptor `file`, from its offset on, and takes over `file`. */
void client_answer_file(struct client *c, struct span head, int file, uint64_t left);

/* Leaves the answer to the message's waiter (exchange_waiter), which the hub calls when the message
 * is safe or refused. */
void client_wait(struct client *c);

/* Leaves the answer to `poll`; the stream must have joined. `poll` is called when the stream has
 * something new. It is called with `timeout` set after `seconds` (1 to CLIENT_POLL_MAX_SECONDS),
 * when the token expires, and in a drain; it must then leave, answer and return true. Otherwise it
 * can return false to keep waiting. */
enum { CLIENT_POLL_MAX_SECONDS = 55 }; /* proxies give up after 60 */
void client_poll(struct client *c, unsigned seconds, bool (*poll)(struct client *, bool timeout));

/* Makes the connection an event stream; the stream must have joined. `bytes` are sent first, but
 * those from `hold` on follow the replay. */
void client_stream(struct client *c, struct span bytes, size_t hold);

/* Closes the connection without an answer, because there is no memory for one. */
void client_fail(struct client *c);

/* ---- Joining and leaving rooms ---- */

/* Adds the client's stream to the hub (stream_join) and counts it. The stream ends when its token
 * expires, at the Unix time `expires` (INT64_MAX: never). On failure nothing changes. */
enum join client_join(struct client *c, const struct span *rooms, size_t count, struct span name,
    bool present, int64_t expires);

/* Removes the stream from the hub if it has joined. Call this before answering a long poll; closing
 * a client includes this. */
void client_leave(struct client *c);

#endif
