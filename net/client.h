/* client.h - a connection from accept to close: a state machine on level-triggered epoll.
 *
 *     accept
 *       │
 *       ▼      head          body
 *  ┌─► HEAD ─────────► BODY ─────────► handlers ────────────────► STREAMING
 *  │    │               │               │   │                         │ drain, or end of the token:
 *  │    │ early         │ early         │   └────► WAITING            │ the stream's last bytes
 *  │    ▼               ▼               ▼             ▼               ▼
 *  │   ════════════════════════════ an answer to send ════════════════════════
 *  │          │ all of it is sent                        │ part of it
 *  │          │                                          ▼
 *  │          ├◄───────────────── the rest ───────── ANSWERING
 *  │          ▼
 *  └─ kept ───┴─ ended ──► LINGERING ──► CLOSED ◄── every state: see below
 *
 *     state       watched for         goes on when             time limit
 *
 *     HEAD        EPOLLIN             the head is complete     10 s: 408, or CLOSED if no byte came
 *       kept      EPOLLIN             a request begins         60 s: CLOSED
 *     BODY        EPOLLIN             the body is complete     30 s: 408
 *     WAITING     EPOLLIN, then none  the message is settled   none: the keeper always settles
 *       a poll    EPOLLRDHUP          a message arrives        its own: an empty page
 *     ANSWERING   EPOLLOUT            the rest is sent         30 s without progress: CLOSED
 *     STREAMING   EPOLLIN             a message arrives        the heartbeat's: a heartbeat
 *       blocked   EPOLLIN, EPOLLOUT   the socket has room      60 s without progress: CLOSED
 *     LINGERING   EPOLLIN             the client closes        1 s: CLOSED
 *     CLOSED      nothing             the turn ends: freed
 *
 * An answer is early when the request is unreadable or too slow, or when its head is enough to
 * answer it. From every state a connection is CLOSED by a reset or a hang-up, by a shortage of
 * memory, and by the end of the server. (A half-close is no hang-up once the request is complete,
 * unless it is a long poll.) A kept connection is also closed when its descriptor is needed, a
 * stream when the ring has passed its cursor, or when its token ends while it is blocked.
 *
 * Level-triggered epoll reports a socket in every turn as long as it is ready for what it is
 * watched for, so a state watches only for what it will act on. That is the back-pressure, too: a
 * client's bytes that are not wanted yet stay in the kernel, and its TCP window closes. LINGERING
 * reads and drops what the client still sends, because close(2) with unread bytes sends a reset,
 * which can destroy the answer on its way (RFC 9112 9.6).
 *
 * What a request means is decided above net/, by a struct of handlers. They read the request
 * through exchange.h and end it by one of the functions below. */

#ifndef CLIENT_H
#define CLIENT_H

#include "http.h"
#include "hub.h"
#include "net/peers.h"
#include "net/settings.h"

struct client;

/* ---- What the loop calls ---- */

/* What a request means: the callbacks of the floor above. Each must have ended the request by one
 * of the functions below when it returns, except `admit` when it returns true. */
struct handlers {
    /* The head is complete. Returns true to read the body; false if the request was answered
     * already, because no body can make it right. */
    bool (*admit)(struct client *);
    /* The request is complete. */
    void (*handle)(struct client *);
    /* The request could not be read, and `status` says why; to this callback it looks empty. */
    void (*refuse)(struct client *, int status);
};

/* Must be called once, before all other functions here. Streams join `hub`, sockets are watched
 * with `epoll`; `settings` must stay valid. */
void client_start(const struct net_settings *settings, struct hub *hub, int epoll);

/* Takes over a connection that was just accepted and the count that `peer` (or NULL) has of it; if
 * out of memory it closes it. `proxied`: it is from a trusted proxy, which names the client in each
 * request. `handlers` must stay valid; there may be CLIENT_HANDLERS_MAX different ones. */
enum { CLIENT_HANDLERS_MAX = 16 };
void client_new(int fd, struct peer *peer, bool proxied, const struct handlers *handlers);

/* Deals with what epoll reports for a client, which may have been closed earlier in this turn. */
void client_ready(struct client *c, uint32_t events);

/* Parses requests that wait in buffers, one of each client, and deals with deadlines that have
 * passed, a bounded number in a turn. */
void client_expire(void);

/* Returns when client_expire has something to do, in monotonic milliseconds; in the far future if
 * never. */
int64_t client_next_ms(void);

/* Frees the clients that were closed in this turn. Must be the last call of a turn, because events
 * and lists of the turn may still point to them. */
void client_reap(void);

/* Begins the drain: closes idle connections, tells streams when to come back, answers requests in
 * hand. */
void client_drain_all(void);

/* Closes all clients, whatever they are doing. */
void client_close_all(void);

/* Closes the kept connection that has been idle longest. Returns false if there is none. */
bool client_close_idle(void);

/* Counts how often a descriptor came free, or a connection became idle so that client_close_idle
 * can close it. When the count has changed, accept(2) is worth another try. */
unsigned client_released(void);

/* What the hub calls: to serve a stream, and to end one that it has overrun. */
extern const struct stream_owner client_stream_owner;

bool client_is_draining(void);

/* Makes the client count against another address, whose peers_enter the caller has called; NULL: it
 * is not counted. */
void client_set_peer(struct client *c, struct peer *peer);

/* ---- How a request ends: in exactly one of these ----
 *
 * Each may close the client; the struct stays until the end of the turn. */

/* Sends an answer: its head, which is copied if necessary, and behind it `body`, which must stay
 * valid until it is sent. */
void client_answer(struct client *c, struct span head, struct span body);

/* The same with the first `left` bytes of `file`, which the client owns from here on. */
void client_answer_file(struct client *c, struct span head, int file, uint64_t left);

/* Leaves the answer to the message's waiter (exchange_waiter), which the hub calls when the message
 * is safe or refused. */
void client_wait(struct client *c);

/* Leaves the answer to `poll`, which is called when the stream, which must have joined, has
 * something new, and with `timeout` after `seconds` (1 to CLIENT_POLL_MAX_SECONDS), when the token
 * ends, and in a drain. It returns false to wait on; with `timeout` it must leave, answer and
 * return true. */
enum { CLIENT_POLL_MAX_SECONDS = 60 };
void client_poll(struct client *c, unsigned seconds, bool (*poll)(struct client *, bool timeout));

/* Makes the connection an event stream, which must have joined. `bytes` are sent first, but those
 * from `hold` on only after the replay. */
void client_stream(struct client *c, struct span bytes, size_t hold);

/* Closes the connection without an answer, because there is no memory for one. */
void client_fail(struct client *c);

/* ---- Joining and leaving rooms ---- */

/* Puts the client's stream into the hub (stream_join) and counts it. It ends with its token, at
 * `expires` in seconds of Unix time (INT64_MAX: never). If it fails, nothing has changed. */
enum join client_join(struct client *c, const struct span *rooms, size_t count, struct span name,
    bool present, int64_t expires);

/* Takes the stream out of the hub, if it has joined, before a long poll is answered. A client that
 * is closed leaves by itself. */
void client_leave(struct client *c);

#endif
