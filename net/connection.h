/* connection.h - inside net/: what a connection is made of.
 *
 * The parts live for different times, so that an idle stream pays for one struct only:
 *
 *      struct client    from accept(2) until the end of the turn in which it is closed
 *      struct input     while a request is read, and until its answer
 *      struct output    while bytes wait for a full socket
 *      struct lease     while a stream is open, if its token ends
 */

#ifndef CONNECTION_H
#define CONNECTION_H

#include "base/list.h"
#include "net/client.h"
#include "net/deadline.h"

struct lease;

enum client_state {
    CLIENT_CLOSED, /* 0, so that a struct fresh from calloc is as harmless as a closed one */
    CLIENT_HEAD,
    CLIENT_BODY,
    CLIENT_WAITING,
    CLIENT_ANSWERING,
    CLIENT_STREAMING,
    CLIENT_LINGERING,
};

/* The result of an attempt to send or to read. From GONE_RESET on it is the reason why the
 * connection must be closed, which only client.c does. */
enum outcome {
    SENT_ALL,
    SENT_SOME, /* the socket is full, or a file had its share of the turn; the rest is kept */
    READ_SOME,
    READ_NONE,
    READ_OVER_LIMIT, /* too much memory is in use for requests: this one may not grow now */
    GONE_RESET,
    GONE_DONE,     /* the peer closed it between two requests */
    GONE_CUT,      /* the peer closed it in the middle of a request */
    GONE_HANG_UP,  /* the peer closed it while it waited, streamed or lingered */
    GONE_IDLE,     /* no request began in time */
    GONE_REFUSED,  /* the last answer was sent, and the peer did not close in time */
    GONE_STALLED,  /* the peer read nothing for too long */
    GONE_OVERRUN,  /* a stream so slow that the ring dropped frames before it got them */
    GONE_TOKEN,    /* the token ended while the stream was blocked, and could not be told */
    GONE_BLOCKED,  /* `100 Continue` did not fit the socket */
    GONE_TOO_LONG, /* the request is longer than any buffer */
    GONE_FILE_CUT, /* the file became shorter while it was sent */
    GONE_NO_MEMORY,
    GONE_DESCRIPTORS, /* idle, and a new connection needed the descriptor */
    GONE_EPOLL,       /* epoll_ctl(2) failed */
    GONE_DRAIN,       /* the server shuts down */
};

static inline bool is_gone(enum outcome outcome)
{
    return outcome >= GONE_RESET;
}

/* The reason as the log has it, for an outcome that is_gone. */
const char *connection_reason(enum outcome why);

/* What a client owns from the first byte of a request until the answer: the bytes, and what the
 * parser and the handlers keep of them. The bytes from `end` on are the next request's: see
 * input.h. */
struct input {
    struct client *client;                       /* the owner; a waiter finds its client by this */
    struct waiter waiter;                        /* of a POST */
    struct page_query query;                     /* of a page; its room lies in `bytes` */
    bool (*poll)(struct client *, bool timeout); /* of a long poll: see client_poll */
    size_t len, capacity, end;
    struct http_request request;
    char bytes[];
};

/* What a client owns while the socket is full: the unsent bytes of an answer, or a stream's private
 * bytes (its beginning, a heartbeat, a snapshot). */
struct output {
    size_t len, sent;
    size_t hold;      /* of a stream: the bytes from here on follow the replay; otherwise len */
    struct span rest; /* borrowed bytes to send after these; may be empty */
    int file;         /* to send after those, owned; -1 for none */
    uint64_t file_at, file_left;
    char bytes[];
};

/* The fields that a delivery touches come first: 120 bytes, which are two or three cache lines. */
struct client {
    struct stream stream; /* of an event stream or a long poll */
    struct output *out;   /* NULL while nothing waits to be sent */
    int fd;
    uint16_t events; /* as epoll was last told, to spare it calls that change nothing */
    uint8_t state;
    uint8_t deadline_kind;
    struct link deadline; /* in its deadline's queue; once closed, among those to free */
    int64_t due_ms;
    struct input *in;    /* NULL between requests, and of a stream */
    struct peer *peer;   /* the address it counts against; NULL if it is not counted */
    struct lease *lease; /* NULL unless it is a stream whose token ends */
    bool joined;         /* its stream is in the hub */
    bool close;          /* the connection ends with this answer */
    bool proxied;        /* from a trusted proxy, which names the client in each request */
    uint8_t handlers;    /* an index instead of a pointer: see handlers_number */
    uint32_t discarded;  /* bytes thrown away while lingering */
};

/* An idle stream in one room, without a name and a token, is this struct and nothing else: 152
 * bytes. The rest of the 173 that are measured is the heap's. */
_Static_assert(sizeof(struct client) <= 156, "an idle stream must fit in 160 bytes of musl's heap");

#endif
