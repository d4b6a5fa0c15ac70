/* connection.h - inside net/: what a connection is made of. */

#ifndef CONNECTION_H
#define CONNECTION_H

#include "base/list.h"
#include "net/client.h"
#include "net/deadline.h"

struct lease;

enum client_state {
    CLIENT_CLOSED, /* a new struct begins as harmless as a dead one */
    CLIENT_HEAD,
    CLIENT_BODY,
    CLIENT_WAITING,
    CLIENT_ANSWERING,
    CLIENT_STREAMING,
    CLIENT_LINGERING,
};

/* What came of an attempt to send, or to read. From GONE_RESET on it is why the connection must be
 * closed: only client.c closes one. */
enum outcome {
    SENT_ALL,
    SENT_SOME, /* the socket is full; what is left is kept */
    READ_SOME,
    READ_NONE,
    READ_OVER_LIMIT, /* the limits allow no longer request now */
    GONE_RESET,
    GONE_DONE,     /* closed by the other side between two requests */
    GONE_CUT,      /* closed by the other side in the middle of a request */
    GONE_HANG_UP,  /* closed by the other side while it was answered, or streamed to */
    GONE_IDLE,     /* no request came in time */
    GONE_REFUSED,  /* after an answer that ends the connection */
    GONE_STALLED,  /* nothing was read in time of what was sent */
    GONE_OVERRUN,  /* a stream so slow that the history it has to get is gone */
    GONE_TOKEN,    /* a stream whose token has ended, and that cannot be told */
    GONE_BLOCKED,  /* an empty socket takes nothing */
    GONE_TOO_LONG, /* a request that does not end */
    GONE_FILE_CUT, /* a file became shorter while it was sent */
    GONE_NO_MEMORY,
    GONE_DESCRIPTORS, /* another connection needed its descriptor more */
    GONE_EPOLL,       /* it cannot be watched */
    GONE_DRAIN,       /* the server ends */
};

static inline bool is_gone(enum outcome outcome)
{
    return outcome >= GONE_RESET;
}

/* The reason for the log, for an outcome that is_gone. */
const char *connection_reason(enum outcome why);

/* What a client owns while it reads a request: the bytes, and what the parser made of them. The
 * bytes behind `end` are the next request's. */
struct input {
    struct client *client;                       /* whose it is */
    struct waiter waiter;                        /* for a POST */
    struct page_query query;                     /* for a page; its room lies in `bytes` */
    bool (*poll)(struct client *, bool timeout); /* for a long poll: see client_poll */
    size_t len, capacity, end;
    struct http_request request;
    char bytes[];
};

/* What a client owns while an answer, or the beginning of a stream, waits to be sent. */
struct output {
    size_t len, sent;
    size_t hold;      /* of a stream: the bytes from here on come after the replay; else len */
    struct span rest; /* bytes to send after these, which stay where they are; or empty */
    int file;         /* or a file, -1 for none */
    uint64_t file_at, file_left;
    char bytes[];
};

/* What a delivery needs comes first: 120 bytes, two or three lines of the processor's cache. */
struct client {
    struct stream stream; /* of a stream or a long poll */
    struct output *out;   /* or NULL */
    int fd;
    uint16_t events; /* what epoll watches it for */
    uint8_t state;
    uint8_t deadline_kind;
    struct link deadline;
    int64_t due_ms;
    struct input *in;    /* or NULL */
    struct peer *peer;   /* the address it counts for; NULL when it is not counted */
    struct lease *lease; /* of a stream whose token ends, or NULL */
    bool joined;         /* its stream is in the hub */
    bool close;          /* after this answer */
    bool proxied;        /* a trusted proxy, which says in each request whom it is from */
    uint8_t handlers;    /* which of those that client.c knows */
    uint32_t discarded;  /* bytes thrown away while lingering */
};

/* An idle stream is this struct and nothing else. */
_Static_assert(sizeof(struct client) <= 156, "an idle stream must fit in 160 bytes of musl's heap");

#endif
