/* server.h - the state that the whole program shares. There is one thread and one server, so it is
 * one variable: a pointer to it in each of ten thousand clients would buy nothing. */

#ifndef SERVER_H
#define SERVER_H

#include "base/list.h"
#include "host/options.h"
#include "http.h"
#include "hub.h"
#include "net/client.h"

struct server {
    struct options options;
    struct hub *hub;
    struct journal *journal; /* or NULL */
    int epoll;
    int www; /* the folder of --www, or -1 */

    /* The time, read once a turn. */
    int64_t mono_ms;
    uint64_t unix_ms;
    char date[HTTP_DATE_BYTES + 1];

    unsigned clients, streams, max_streams;
    size_t buffered[BUFFERED_KINDS]; /* what all clients own together of large buffers */
    bool draining;
    uint64_t drain_spread_ms; /* over how long the clients are told to come back */
    bool accept_paused;       /* no descriptor was left: until one is free, or */
    int64_t accept_again_ms;  /* the shortage, which may not be ours, may be over */

    struct link deadlines[DEADLINE_COUNT]; /* clients, in the order in which they are due */
    struct link dead;                      /* closed in this turn, freed at its end */

    struct buffer scratch; /* where an answer is put together; it never outlives its function */
};

extern struct server server;

/* The scratch buffer, empty. */
static inline struct buffer *server_scratch(void)
{
    server.scratch.len = 0;
    server.scratch.failed = false;
    return &server.scratch;
}

/* The time for peers.h, which counts in smaller steps. */
static inline int64_t server_mono_us(void)
{
    return server.mono_ms * 1000;
}

/* Over how long clients that are sent away together are told to come back: a millisecond each. */
static inline uint64_t server_spread_ms(void)
{
    return server.streams > 1000 ? server.streams : 1000;
}

/* A descriptor came free: accept again if that had stopped. */
void server_resume_accepting(void);

#endif
