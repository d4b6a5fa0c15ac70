/* client.h - one connection, from accept to close.
 *
 *      accept                       one request                                 the next one
 *         │
 *         ▼     head                body                      all of it sent
 *       HEAD ───────────► BODY ───────────► handlers ─┬─────────────────────────────► HEAD
 *                                             │  │    │  part of it sent    rest sent   ▲
 *                                             │  │    ├────────► ANSWERING ────────────┤
 *                                             │  │    │              ▲                 │
 *                                             │  └► WAITING ──────────┴─────────────────┘
 *                                             │     for the keeper, or in a long poll
 *                                             └► STREAMING ─── until the server ends it
 *
 * After an answer that ends the connection, in the place of the next HEAD, and after a stream comes
 * LINGERING: it reads what the other side may still be sending, then closes. Closing with unread
 * bytes would send a reset, which can destroy the answer (RFC 9112 9.6). From every state a
 * connection that breaks is CLOSED.
 *
 * What the requests mean is not known here: a struct of handlers is asked, which reads the request
 * through exchange.h and ends it by one of the functions below. */

#ifndef CLIENT_H
#define CLIENT_H

#include "http.h"
#include "hub.h"
#include "net/peers.h"
#include "net/settings.h"

struct client;

/* ---- What the loop calls ---- */

/* What a request means. Each of these must have answered the request, or have it wait, when it
 * returns; but for `admit` when it returns true. */
struct handlers {
    /* The head is complete. True to go on and read the body; false when it was answered already,
     * because no body can make it right. */
    bool (*admit)(struct client *);
    /* The request is complete. */
    void (*handle)(struct client *);
    /* The request could not be read: `status` says why. Nothing of it is to shape the answer. */
    void (*refuse)(struct client *, int status);
};

/* To be called once, before all others. Streams are in `hub`; sockets are watched with `epoll`. */
void client_start(const struct net_settings *settings, struct hub *hub, int epoll);

/* A connection that was just accepted, which counts for `peer` (or NULL); both are the client's
 * now. `proxied`: it is a trusted proxy, which says in each request whom it is from. `handlers`
 * must stay. Without memory it is closed. */
enum { CLIENT_HANDLERS_MAX = 16 };
void client_new(int fd, struct peer *peer, bool proxied, const struct handlers *handlers);

/* What epoll reports. */
void client_ready(struct client *c, uint32_t events);

/* Deals with deadlines that have passed: a bounded number in a turn. */
void client_expire(void);

/* When the next one passes, in monotonic milliseconds; for never, a time that does not come. */
int64_t client_next_ms(void);

/* Frees those closed in this turn. */
void client_reap(void);

/* Begins the end: idle connections close, streams are told when to come back, requests in hand are
 * answered. */
void client_drain_all(void);

/* Closes all, ready or not. */
void client_close_all(void);

/* Closes the kept connection that has been idle longest; false when there is none. */
bool client_close_idle(void);

/* How often so far a descriptor came free, or a connection became one that client_close_idle can
 * close: when it has grown, accepting is worth a try. */
unsigned client_released(void);

/* What the hub calls. */
extern const struct stream_owner client_stream_owner;

bool client_is_draining(void);

/* The client counts for another address from now on; NULL: it is not counted. */
void client_set_peer(struct client *c, struct peer *peer);

/* ---- How a request ends: in exactly one of these ---- */

/* Sends an answer: its head, which is copied when need be, and behind it `body`, which must stay
 * where it is. */
void client_answer(struct client *c, struct span head, struct span body);

/* The same with `left` bytes of a file, which is closed in the end. */
void client_answer_file(struct client *c, struct span head, int file, uint64_t left);

/* The answer comes later, from the message's waiter. */
void client_wait(struct client *c);

/* The answer comes when `poll` returns true, and has then been sent: it is asked whenever the
 * joined stream has something new, and after `seconds` with `timeout`, when it must answer. */
enum { CLIENT_POLL_MAX_SECONDS = 60 };
void client_poll(struct client *c, unsigned seconds, bool (*poll)(struct client *, bool timeout));

/* The connection is a stream from now on, which has joined. `bytes` go out first, but those from
 * `hold` on only after the replay. */
void client_stream(struct client *c, struct span bytes, size_t hold);

/* There is no memory for an answer: the connection is closed without one. */
void client_fail(struct client *c);

/* ---- Coming and going of streams ---- */

/* Puts the client's stream into the hub (stream_join) and counts it. It has to end when its token
 * does, at `expires` in seconds of Unix time (INT64_MAX: never). */
enum join client_join(struct client *c, const struct span *rooms, size_t count, struct span name,
    bool present, int64_t expires);
void client_leave(struct client *c);

#endif
