/* client.h - one connection, from accept to close.
 *
 *               accept
 *                 │
 *                 ▼    head            body             answer sent, keep-alive
 *      ┌──────► HEAD ───────► BODY ───────► (routes.c) ─────────────┐
 *      │                                    │  │  │                 │
 *      │      answer not all sent ANSWERING ◄  │  ▼ WAITING: for the batch, or a long poll
 *      │                          │            ▼
 *      └──────────────────────────┴───────  STREAMING ──► closed
 *
 * After an answer that ends the connection, LINGERING reads what the other side may still be
 * sending: closing with unread bytes sends a reset, which can destroy the answer (RFC 9112 9.6). */

#ifndef CLIENT_H
#define CLIENT_H

#include "base/list.h"
#include "http.h"
#include "hub.h"

struct client;
struct lease;
struct peer;
struct route;

enum client_state {
    CLIENT_CLOSED, /* a new struct begins as harmless as a dead one */
    CLIENT_HEAD,
    CLIENT_BODY,
    CLIENT_WAITING,
    CLIENT_ANSWERING,
    CLIENT_STREAMING,
    CLIENT_LINGERING,
};

/* Equal timeouts make a queue: each of these is one, and every client is in exactly one. */
enum deadline {
    DEADLINE_HEAD,
    DEADLINE_BODY,
    DEADLINE_ANSWER, /* a response nobody reads */
    DEADLINE_IDLE,   /* between requests */
    DEADLINE_LINGER,
    DEADLINE_READY, /* none: the next request is in the buffer, and has its turn in the next turn */
    DEADLINE_STREAM,  /* the next heartbeat */
    DEADLINE_STALLED, /* a stream that takes nothing of what there is for it */
    DEADLINE_NONE,
    DEADLINE_POLL, /* a long poll of one second, two, ... */
    DEADLINE_POLL_LAST = DEADLINE_POLL + 59,
    DEADLINE_COUNT
};

/* The large buffers of all clients have a limit together: see access_buffer. */
enum buffered { BUFFERED_REQUESTS, BUFFERED_ANSWERS, BUFFERED_KINDS };

/* What a client owns while it reads a request: the bytes, and what the parser made of them. The
 * bytes behind `end` are the next request's. */
struct input {
    struct waiter waiter;                        /* for a POST */
    struct page_query query;                     /* for a page; its room lies in `bytes` */
    bool (*poll)(struct client *, bool timeout); /* for a long poll: see client_poll */
    const struct route *route;
    struct client *client; /* whose it is, for who holds only the waiter */
    size_t len, capacity, end;
    struct http_request request;
    char bytes[];
};

/* What a client owns while an answer, or the beginning of a stream, waits to be sent. */
struct output {
    size_t len, sent;
    size_t hold;      /* of a stream: the bytes from here on come after the replay; else len */
    struct span rest; /* static bytes to send after these, or empty */
    int file;         /* or a file, -1 for none */
    uint64_t file_at, file_left;
    char bytes[];
};

/* What a delivery needs comes first: 120 bytes, two or three lines of the processor's cache. */
struct client {
    struct stream stream; /* of a stream or a long poll */
    struct output *out;
    int fd;
    uint16_t events; /* what epoll watches it for */
    uint8_t state;
    uint8_t deadline_kind;
    struct link deadline;
    int64_t due_ms;
    struct input *in;
    struct peer *peer;   /* whom it counts for; NULL: nobody */
    struct lease *lease; /* of a stream whose token ends, or NULL */
    bool joined;         /* its stream is in the hub */
    bool close;          /* after this answer */
    bool proxied;        /* a trusted proxy, which says in each request whom it is from */
    uint32_t discarded;  /* bytes thrown away while lingering */
};

/* An idle stream is this struct and nothing else. */
_Static_assert(sizeof(struct client) <= 156, "an idle stream must fit in 160 bytes of musl's heap");

/* A connection that was just accepted, which counts for `peer` (or NULL); both are the client's
 * now. Without memory it is closed. */
void client_new(int fd, struct peer *peer, bool proxied);

enum { CLIENT_POLL_MAX_SECONDS = DEADLINE_POLL_LAST - DEADLINE_POLL + 1 };

/* What epoll reports. */
void client_ready(struct client *c, uint32_t events);

/* The one way out. The struct stays until the end of the turn. */
void client_close(struct client *c, const char *reason);

/* Frees those closed in this turn. */
void client_reap(void);

/* Deals with deadlines that have passed: a bounded number in a turn. */
void client_expire(void);

/* When the next one passes, or INT64_MAX. */
int64_t client_next_ms(void);

/* The client counts for another peer from now on. */
void client_set_peer(struct client *c, struct peer *peer);

/* The token of a stream has ended (lease.h), and so must the stream. */
void client_expire_token(struct client *c);

/* Closes the kept connection that has been idle longest; false when there is none. */
bool client_close_idle(void);

/* Begins the end: idle connections close, streams are told when to come back, requests in hand are
 * answered. */
void client_drain_all(void);

/* Closes all, ready or not. */
void client_close_all(const char *reason);

/* What the hub calls (struct hub_settings). */
enum served client_serve(struct stream *stream);
void client_overrun(struct stream *stream);

/* ---- What routes.c calls: each request ends in exactly one of these ---- */

/* Sends server.scratch as the answer, and behind it `body`, which must stay where it is. */
void client_answer(struct client *c, struct span body);

/* The same with `left` bytes of a file, which is closed in the end. */
void client_answer_file(struct client *c, int file, uint64_t left);

/* The stream that is to begin has to end when its token does, at `expires` (INT64_MAX: never).
 * False without memory. */
bool client_lease(struct client *c, int64_t expires);

/* Puts the client's stream into the hub (hub_join), and takes it out. */
enum join client_join(
    struct client *c, const struct span *rooms, size_t count, struct span name, bool present);
void client_leave(struct client *c);

/* The answer comes later, from the message's waiter. */
void client_wait(struct client *c);

/* The answer comes when `poll` returns true, and has then been sent: it is asked whenever the
 * joined stream has something new, and after `seconds` (1 to 60) with `timeout`, when it must
 * answer. */
void client_poll(struct client *c, unsigned seconds, bool (*poll)(struct client *, bool timeout));

/* The connection is a stream from now on. server.scratch goes out first, but its bytes from `hold`
 * on only after the replay. The stream has joined. */
void client_stream(struct client *c, size_t hold);

#endif
