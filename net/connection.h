/* connection.h - inside net/: what a connection is made of.
 *
 * The parts have different lifetimes, so that an idle stream needs only one struct:
 *
 *      struct client    from accept(2) until the end of the turn in which it is closed
 *      struct input     while a request is read, and until its answer
 *      struct output    while bytes wait for a full socket
 *      struct lease     while a stream is open, if its token expires
 */

#ifndef CONNECTION_H
#define CONNECTION_H

#include "base/list.h"
#include "net/client.h"
#include "net/deadline.h"

struct lease;

enum client_state {
    CLIENT_CLOSED, /* 0, so that a new struct from calloc is as harmless as a closed client */
    CLIENT_HEAD,
    CLIENT_BODY,
    CLIENT_WAITING,
    CLIENT_ANSWERING,
    CLIENT_STREAMING,
    CLIENT_LINGERING,
};

/* The result of an attempt to send or to read. From GONE_RESET on, it is the reason why the
 * connection must be closed; only client.c closes it. */
enum outcome {
    SENT_ALL,
    SENT_SOME,  /* the socket is full, or a file has used its share of the turn; the rest is kept */
    SENT_SHARE, /* the stream has used its share of the turn */
    READ_SOME,
    READ_NONE,
    READ_OVER_LIMIT, /* too much memory is in use for requests: this one may not grow now */
    GONE_RESET,
    GONE_DONE,     /* the peer closed between two requests */
    GONE_CUT,      /* the peer closed in the middle of a request */
    GONE_HANG_UP,  /* the peer closed while the connection waited, streamed or lingered */
    GONE_IDLE,     /* no request began in time */
    GONE_REFUSED,  /* the last answer was sent, and the peer did not close in time */
    GONE_STALLED,  /* the peer read nothing for too long */
    GONE_OVERRUN,  /* the ring dropped frames before the slow stream got them */
    GONE_TOKEN,    /* the token expired while the stream was blocked, so it got no last words */
    GONE_BLOCKED,  /* `100 Continue` did not fit into the socket buffer */
    GONE_TOO_LONG, /* the request is longer than any buffer */
    GONE_FILE_CUT, /* the file became shorter while it was being sent */
    GONE_NO_MEMORY,
    GONE_DESCRIPTORS, /* idle, and a new connection needed the descriptor */
    GONE_EPOLL,       /* epoll_ctl(2) failed */
    GONE_DRAIN,       /* the server is shutting down */
    GONE_END,         /* no reason: the end of the list */
};

static inline bool is_gone(enum outcome outcome)
{
    return outcome >= GONE_RESET;
}

/* Logs and counts why a connection ends, and prepares its socket for close(2), which follows. */
void connection_end(const struct client *c, enum outcome why);

/* Return the word for a reason, as in the log, and how many connections have ended for it. */
const char *connection_reason(enum outcome why);
uint64_t connection_ends(enum outcome why);

/* What a client owns from the first byte of a request until the answer: the bytes, and what the
 * parser and the handlers know about them. The bytes from `end` on belong to the next request: see
 * input.h. */
struct input {
    struct client *client;                       /* the owner; leads from a waiter to its client */
    struct waiter waiter;                        /* of a POST */
    struct page_query query;                     /* of a page; the room's name is in `bytes` */
    bool (*poll)(struct client *, bool timeout); /* of a long poll: see client_poll */
    size_t len, capacity, end;
    size_t timed; /* `len` when the time for the body last began */
    struct http_request request;
    char bytes[];
};

/* What a client owns while the socket is full: the unsent bytes of an answer, or a stream's private
 * bytes (its beginning, a heartbeat, a snapshot). */
struct output {
    size_t len, sent;
    size_t hold;      /* in a stream, the bytes from here on follow the replay; otherwise `len` */
    struct span rest; /* borrowed bytes to send after `bytes`; may be empty */
    int file;         /* owned, to send after `rest` from its offset on; -1 if none */
    uint64_t file_left;
    char bytes[];
};

/* The fields that a delivery touches come first: 120 bytes, in two or three cache lines. */
struct client {
    struct stream stream; /* of an event stream or a long poll */
    struct output *out;   /* NULL while nothing waits to be sent */
    int fd;
    uint16_t events; /* what epoll watches for now; saves calls that would change nothing */
    uint8_t state;
    uint8_t deadline_kind;
    struct link deadline; /* in a queue of deadline.h; once closed, in client.c's list `dead` */
    int64_t due_ms;
    struct input *in;    /* NULL between requests, and for a stream */
    struct peer *peer;   /* the address that the client counts against; NULL if none */
    struct lease *lease; /* NULL unless it is a stream whose token expires */
    bool joined;         /* the stream is in the hub */
    bool close;          /* the connection ends with this answer */
    bool proxied;        /* from a trusted proxy, which names the client in each request */
    uint8_t handlers;    /* an index instead of a pointer: see handlers_number */
    uint32_t discarded;  /* bytes thrown away while lingering */
};

/* An idle stream in one room, without a name or a token, is this struct and nothing else: 152
 * bytes. The measured 173 bytes include the heap's overhead. */
_Static_assert(sizeof(struct client) <= 156, "an idle stream must fit in 160 bytes of musl's heap");

#endif
