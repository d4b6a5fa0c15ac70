/* client.c - the states of a connection, and the transitions between them. client.h has a picture.
 *
 * Invariants:
 *
 * - Only close_client ends a connection; each caller gives a reason. close_client frees what the
 *   client owns, but keeps the struct as CLIENT_CLOSED until client_reap, at the end of the turn.
 *   The events of a turn are fetched together: a later event, or a pointer further up the call
 *   stack, may belong to a closed client, so freeing the struct at once would cause a
 *   use-after-free. The price: after a call that can close, check the state again.
 * - One request is handled at a time: nothing is read while an answer is unknown or not completely
 *   sent. Pipelined requests (RFC 9112 9.3.2) wait in the kernel and use no memory here.
 * - Each client gets one bounded step at a time: one recv(2), one request, one piece of a file, one
 *   piece of a backlog. Level-triggered epoll reports the rest.
 * - Every open client is in exactly one queue of deadline.h or rotation.h: the only lists of all.
 * - input.c, output.c and serve.c move bytes and report an outcome; this file decides what follows
 *   from the outcome. */

#include "net/client.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "net/exchange.h"
#include "net/input.h"
#include "net/lease.h"
#include "net/limits.h"
#include "net/output.h"
#include "net/request_log.h"
#include "net/rotation.h"
#include "net/serve.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BODY_PART_BYTES = 65536, /* how much of a body must arrive in the time for a body */
    LINGER_BYTES = 65536,    /* what a client may still send after its last answer */
};

_Static_assert(DEADLINE_COUNT - DEADLINE_POLL == CLIENT_POLL_MAX_SECONDS, "a queue per length");

static const struct net_settings *settings;
static const struct handlers *known_handlers[CLIENT_HANDLERS_MAX]; /* NULL after the last */
static struct hub *hub;
static int epoll;
static struct link dead;  /* closed in this turn, freed at its end */
static unsigned released; /* see client_released; it may wrap around */
static bool draining;
static uint64_t drain_spread_ms; /* the time over which drained streams reconnect */

static void parse_head(struct client *c);

void client_start(const struct net_settings *given, struct hub *streams, int epoll_fd)
{
    settings = given;
    hub = streams;
    epoll = epoll_fd;
    list_init(&dead);
    input_start((size_t)settings->max_body);
    deadline_start((int64_t)settings->heartbeat_ms, (int64_t)settings->keep_alive_ms);
    rotation_start();
    lease_start();
}

/* ==== Coming and going ======================================================================= */

/* Closes a connection in any state; a second call does nothing. client_set_peer, which may free the
 * peer, follows whatever needs the peer: its queue and its counts. close(2) also removes the socket
 * from epoll, because no other process has it open (a forked child closes its copies: compact.c).
 * The client enters the list `dead` by its link `deadline`, so closing cannot fail. */
static void close_client(struct client *c, enum outcome why)
{
    if (c->state == CLIENT_CLOSED)
        return;
    connection_end(c, why);
    list_remove(&c->deadline);
    client_leave(c);
    input_free(c);
    output_free(c);
    client_set_peer(c, NULL);
    close(c->fd);
    c->state = CLIENT_CLOSED;
    list_append(&dead, &c->deadline);
    limits_count_connections(-1);
    released++;
}

static void close_if_gone(struct client *c, enum outcome outcome)
{
    if (is_gone(outcome))
        close_client(c, outcome);
}

/* Tells epoll which events to report for this client, unless they are the same as before. May close
 * the client. Even with no events, epoll still reports a reset (EPOLLERR, EPOLLHUP). */
static void watch(struct client *c, uint16_t events)
{
    if (c->events == events)
        return;
    c->events = events;
    struct epoll_event event = { .events = events, .data.ptr = c };
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event) < 0)
        close_client(c, GONE_EPOLL);
}

/* Returns the index of these handlers in known_handlers; adds them if they are new. A byte instead
 * of a pointer keeps struct client small. The search is linear: few sets exist. */
static uint8_t handlers_number(const struct handlers *handlers)
{
    uint8_t i = 0;
    while (known_handlers[i] != NULL && known_handlers[i] != handlers) {
        i++;
        must(i < CLIENT_HANDLERS_MAX);
    }
    known_handlers[i] = handlers;
    return i;
}

/* Starts the time limit for the first head, so a client that connects and sends nothing is closed.
 * The epoll entry refers to the struct, not the descriptor: the descriptor's number may be reused
 * later in the turn, and a late event must not reach another client. */
void client_new(int fd, struct peer *peer, bool proxied, const struct handlers *handlers)
{
    struct client *c = calloc(1, sizeof *c);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    if (c == NULL || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        if (peer != NULL)
            peers_leave(peer, clock_mono_us());
        close(fd);
        free(c);
        return;
    }
    c->peer = peer;
    c->proxied = proxied;
    c->handlers = handlers_number(handlers);
    c->fd = fd;
    c->events = EPOLLIN;
    c->state = CLIENT_HEAD;
    list_init(&c->deadline);
    deadline_set(c, DEADLINE_HEAD);
    limits_count_connections(1);
}

/* Frees clients to which no pointer is left: close_client has removed them from the hub's lists,
 * the deadline queues, the leases and epoll. */
void client_reap(void)
{
    for (struct link *l = dead.next, *next; l != &dead; l = next) {
        next = l->next;
        free(CONTAINER(l, struct client, deadline));
    }
    list_init(&dead);
}

void client_fail(struct client *c)
{
    close_client(c, GONE_NO_MEMORY);
}

/* ==== Addresses and descriptors ============================================================== */

/* Also moves the client's buffered bytes to the new peer's count. A proxied connection can count
 * against a different address for each request. */
void client_set_peer(struct client *c, struct peer *peer)
{
    size_t bytes = c->in != NULL ? c->in->capacity : 0;
    limits_count_buffer(BUFFERED_REQUESTS, c->peer, bytes, 0);
    if (c->peer != NULL)
        peers_leave(c->peer, clock_mono_us());
    c->peer = peer;
    limits_count_buffer(BUFFERED_REQUESTS, c->peer, 0, bytes);
}

bool client_close_idle(void)
{
    struct client *idle = deadline_first(DEADLINE_IDLE);
    if (idle != NULL)
        close_client(idle, GONE_DESCRIPTORS);
    return idle != NULL;
}

unsigned client_released(void)
{
    return released + output_files_closed();
}

/* ==== Answers ================================================================================ */

/* Closes in stages (RFC 9112 9.6). A half-close tells the client that nothing follows; then, for a
 * second, the server reads and drops whatever the client still sends. An immediate close(2) with
 * unread bytes would send a reset, and the client's kernel could drop the answer before the client
 * has read it. After LINGER_BYTES the server stops reading, so the receive window fills: the client
 * must stop sending, but can still read the answer. */
static void linger(struct client *c)
{
    input_free(c);
    if (shutdown(c->fd, SHUT_WR) < 0) {
        close_client(c, GONE_RESET);
        return;
    }
    c->state = CLIENT_LINGERING;
    deadline_set(c, DEADLINE_LINGER);
    watch(c, EPOLLIN);
}

/* Ends the connection after its answer, or makes it ready for the next request. If that request is
 * already in the buffer, it is parsed now, and handled when it is the turn of its address: a client
 * that sends a hundred requests at once does not keep the others waiting. */
static void finish_answer(struct client *c)
{
    request_log_end(c);
    if (c->close || draining) {
        linger(c);
        return;
    }
    if (c->proxied) /* the next request may be from a different client */
        client_set_peer(c, NULL);
    c->state = CLIENT_HEAD;
    deadline_set(c, DEADLINE_IDLE);
    watch(c, EPOLLIN);
    if (c->state == CLIENT_CLOSED) /* by `watch` */
        return;
    if (input_next(c)) {
        deadline_set(c, DEADLINE_HEAD);
        parse_head(c);
    } else {
        released++; /* client_close_idle can now close it for a new client */
    }
}

/* Waits for room in the socket. EPOLLOUT is armed only while bytes wait, because an idle socket is
 * writable in every turn. EPOLLIN is disarmed meanwhile (back-pressure): a client that does not
 * read its answers could otherwise make the server work for nothing. The kernel reports room only
 * when much of what it has is sent (listen.c), so the deadline is also a least rate. */
static void await_output(struct client *c)
{
    c->state = CLIENT_ANSWERING;
    deadline_set(c, DEADLINE_ANSWER);
    watch(c, EPOLLOUT);
}

/* Continues according to the outcome of sending an answer. */
static void go_on(struct client *c, enum outcome outcome)
{
    if (outcome == SENT_ALL)
        finish_answer(c);
    else if (outcome == SENT_SOME)
        await_output(c);
    else
        close_client(c, outcome);
}

/* Notes the status, and decides whether the connection ends, by the same rule as the answer's head.
 * Call this before sending the answer, which changes the state and frees the request. */
static void settle(struct client *c, struct span head)
{
    request_log_status(c, head);
    c->close = c->in != NULL ? exchange_closes(c) : c->close;
}

void client_answer(struct client *c, struct span head, struct span body)
{
    settle(c, head);
    go_on(c, output_answer(c, head, body));
}

void client_answer_file(struct client *c, struct span head, int file, uint64_t left)
{
    settle(c, head);
    go_on(c, output_file(c, head, file, left));
}

/* Waits without a deadline, because the keeper settles every message, as safe or as refused.
 * EPOLLIN stays armed, which saves two calls to epoll if the message is settled soon. */
void client_wait(struct client *c)
{
    c->state = CLIENT_WAITING;
    deadline_set(c, DEADLINE_NONE);
}

/* Refuses a request for this reason and ends the connection, because the next one cannot be
 * found. The fields of a complete head stay: a page of another origin needs CORS to read why. */
static void refuse(struct client *c, int why)
{
    if (!c->in->request.has_head)
        input_restart(c);
    c->close = true;
    known_handlers[c->handlers]->refuse(c, refusal_get(why));
}

/* ==== Long polls ============================================================================== */

/* Watches a long poll only for its peer's close (EPOLLRDHUP), which ends the wait: the place in the
 * limits must be freed when the client disconnects. The first turn puts the stream into the idle
 * lists of its rooms, where messages find it. */
void client_poll(struct client *c, unsigned seconds, bool (*poll)(struct client *, bool timeout))
{
    must(c->joined && seconds >= 1 && seconds <= CLIENT_POLL_MAX_SECONDS);
    c->in->poll = poll;
    c->state = CLIENT_WAITING;
    deadline_set(c, DEADLINE_POLL + (seconds - 1));
    watch(c, EPOLLRDHUP);
    if (c->state == CLIENT_WAITING)
        turn_serve(hub, &c->stream);
}

/* ==== Streams ================================================================================ */

/* Makes the lease first: if that fails, the hub has not seen the stream, and nothing needs
 * undoing. */
enum join client_join(struct client *c, const struct span *rooms, size_t count, struct span name,
    bool present, int64_t expires)
{
    enum join join = JOIN_NO_MEMORY;
    c->lease = expires != INT64_MAX ? lease_new(c, expires) : NULL;
    c->stream.chunked = !c->in->request.http10; /* HTTP/1.0 has no chunks */
    if (c->lease != NULL || expires == INT64_MAX)
        join = stream_join(hub, &c->stream, rooms, count, name, present, limits_source(c->peer));
    if (join != JOIN_OK) {
        lease_end(c->lease);
        c->lease = NULL;
        return join;
    }
    c->joined = true;
    limits_count_streams(c->peer, 1);
    return JOIN_OK;
}

/* Also ends the lease, which would otherwise point to a freed client. */
void client_leave(struct client *c)
{
    lease_end(c->lease);
    c->lease = NULL;
    if (!c->joined)
        return;
    c->joined = false;
    limits_count_streams(c->peer, -1);
    stream_leave(hub, &c->stream);
}

/* Frees the request before the first byte is sent, so that an idle stream owns nothing but its
 * struct. The first turn runs now, not when the room is next due, so that the client sees its
 * stream begin at once. */
void client_stream(struct client *c, struct span bytes, size_t hold)
{
    settle(c, bytes);
    c->state = CLIENT_STREAMING;
    input_free(c);
    enum outcome outcome = output_stream(c, bytes, hold);
    if (is_gone(outcome))
        close_client(c, outcome);
    else
        turn_serve(hub, &c->stream);
}

/* Tells the client when to reconnect, then ends the body, so that the client sees an orderly end.
 * Nothing on the stream may be half sent. The last bytes are sent like any other answer. */
static void end_stream(struct client *c, uint64_t spread_ms)
{
    struct span words = serve_last_words(c, random_spread(settings->retry_ms, spread_ms));
    client_leave(c);
    c->close = true;
    if (words.at == NULL)
        close_client(c, GONE_NO_MEMORY);
    else
        client_answer(c, words, (struct span) { NULL, 0 });
}

/* Gives a stream its turn. The hub calls this while it walks its lists, so a stream that has left
 * must be reported as SERVED_GONE.
 *
 * A short write arms EPOLLOUT, and SERVED_BLOCKED moves the stream to the hub's blocked list, where
 * no message wakes it in vain. Once the stream has caught up, EPOLLOUT must be disarmed: an idle
 * socket is writable in every turn, and the loop would spin. In a drain a stream ends only after it
 * has caught up, so that it gets everything that was published. */
static enum served serve(struct stream *stream)
{
    struct client *c = CONTAINER(stream, struct client, stream);
    if (c->state == CLIENT_WAITING) /* a long poll gets an answer, not frames */
        return stream_is_behind(stream) && c->in->poll(c, false) ? SERVED_GONE : SERVED_ALL;
    enum outcome outcome = serve_stream(c);
    if (is_gone(outcome)) {
        close_client(c, outcome);
        return SERVED_GONE;
    }
    if (outcome == SENT_ALL && draining) {
        end_stream(c, drain_spread_ms);
        return SERVED_GONE;
    }
    deadline_set(c, outcome == SENT_ALL ? DEADLINE_STREAM : DEADLINE_STALLED);
    watch(c, outcome == SENT_SOME ? EPOLLIN | EPOLLOUT : EPOLLIN);
    if (c->state == CLIENT_CLOSED) /* by `watch` */
        return SERVED_GONE;
    return outcome == SENT_ALL ? SERVED_ALL : outcome == SENT_SOME ? SERVED_BLOCKED : SERVED_MORE;
}

/* Closes an overrun stream, which the hub has found: a stalled socket reports no event. */
static void overrun(struct stream *stream)
{
    close_client(CONTAINER(stream, struct client, stream), GONE_OVERRUN);
}

/* The hub knows streams, not clients; CONTAINER finds a stream's client. */
const struct stream_owner client_stream_owner = { serve, overrun };

/* Sends a heartbeat. If it does not fit, only a turn can report the blocked stream to the hub. */
static void send_heartbeat(struct client *c)
{
    deadline_set(c, DEADLINE_STREAM);
    enum outcome outcome = serve_heartbeat(c);
    close_if_gone(c, outcome);
    if (outcome == SENT_SOME)
        turn_serve(hub, &c->stream);
}

/* ==== Reading ================================================================================ */

/* Parses a head. A complete one waits for the turn of its address. The deadline is not extended for
 * each byte, so a byte now and then does not hold a connection (slowloris). */
static void parse_head(struct client *c)
{
    struct input *in = c->in;
    int n = http_parse_head(&in->request, in->bytes, in->len);
    request_log_head(c);
    if (n < 0)
        refuse(c, -n);
    if (n <= 0)
        return;
    in->end = (size_t)n;
    if (known_handlers[c->handlers]->identify(c))
        rotation_add(c);
}

/* Parses a body; a chunked body is decoded in place, which shrinks in->len. Returns whether the
 * request is complete. */
static inline bool parse_body(struct client *c)
{
    struct input *in = c->in;
    int n = http_parse_body(&in->request, in->bytes, &in->len);
    if (n < 0)
        refuse(c, -n);
    if (n > 0)
        in->end = (size_t)n;
    return n > 0;
}

/* Starts the time for the body, and again whenever another part of it has arrived: a large body on
 * a slow link gets the time that it needs, but a byte now and then does not hold the connection. */
static void time_body(struct client *c)
{
    c->in->timed = c->in->len;
    deadline_set(c, DEADLINE_BODY);
}

/* Handles a head, and the body too if it has arrived. A handler can close the client or free its
 * input, so the state is checked before either is used again. `100 Continue` is skipped if the body
 * has begun to arrive. */
static void handle_head(struct client *c)
{
    if (!known_handlers[c->handlers]->admit(c))
        return;
    c->state = CLIENT_BODY;
    if (parse_body(c)) {
        known_handlers[c->handlers]->handle(c);
    } else if (c->state == CLIENT_BODY) {
        time_body(c);
        watch(c, EPOLLIN);
        if (c->state == CLIENT_BODY && c->in->request.expects_continue && c->in->len == c->in->end)
            close_if_gone(c, output_continue(c));
    }
}

static void handle(struct client *c)
{
    if (c->state == CLIENT_ANSWERING)
        go_on(c, output_flush(c));
    else if (c->state == CLIENT_BODY)
        known_handlers[c->handlers]->handle(c);
    else
        handle_head(c);
}

void client_handle(void)
{
    rotation_run(handle);
}

/* Reads and parses. A request that the memory limits do not allow gets a 503. On a keep-alive
 * connection the time for the head runs from its first byte. */
static void read_request(struct client *c)
{
    enum outcome outcome = input_read(c);
    if (outcome == READ_OVER_LIMIT) {
        refuse(c, REFUSE_NO_MEMORY);
    } else if (is_gone(outcome)) {
        close_client(c, outcome);
    } else if (outcome == READ_SOME) {
        if (c->deadline_kind == DEADLINE_IDLE)
            deadline_set(c, DEADLINE_HEAD);
        if (c->state == CLIENT_HEAD)
            parse_head(c);
        else if (parse_body(c))
            rotation_add(c);
        else if (c->state == CLIENT_BODY && c->in->len >= c->in->timed + BODY_PART_BYTES)
            time_body(c);
    }
}

static size_t discard(struct client *c)
{
    size_t bytes;
    close_if_gone(c, input_discard(c, &bytes));
    return bytes;
}

/* Handles each event or stops watching for it, because level-triggered epoll would report an
 * ignored event in every turn, and the loop would spin. EPOLLOUT only makes a stream due: turn_run
 * sends after all events are read, so that the messages of this turn share one send. */
void client_ready(struct client *c, uint32_t events)
{
    const uint32_t broken = EPOLLHUP | EPOLLERR;
    switch ((enum client_state)c->state) {
    case CLIENT_CLOSED: /* by an earlier event of this turn */
        return;
    case CLIENT_HEAD:
    case CLIENT_BODY:
        if (c->deadline_kind != DEADLINE_READY)
            read_request(c);
        else if (events & EPOLLERR) /* reset: the answer would not arrive */
            close_client(c, GONE_RESET);
        else
            watch(c, 0); /* the request in the buffer is answered first */
        return;
    case CLIENT_WAITING:
        if (events & broken)
            close_client(c, GONE_HANG_UP);
        else if (events & EPOLLRDHUP) /* of a poll: its client may still read the answer */
            c->in->poll(c, true);
        else
            watch(c, 0); /* a pipelined request stays in the kernel */
        return;
    case CLIENT_ANSWERING:
        if (c->deadline_kind != DEADLINE_READY)
            rotation_add(c);
        else
            watch(c, 0);
        return;
    case CLIENT_STREAMING:
        if (events & (broken | EPOLLIN))
            discard(c);
        if (c->state == CLIENT_STREAMING && (events & EPOLLOUT))
            turn_wake(hub, &c->stream);
        return;
    case CLIENT_LINGERING:
        c->discarded += (uint32_t)discard(c);
        if (c->state == CLIENT_LINGERING && c->discarded > LINGER_BYTES)
            watch(c, 0);
        return;
    }
}

/* ==== Time =================================================================================== */

/* Closes the client or gives it a new deadline, because deadline_expire looks at the front of the
 * queue again. A connection on which no request has begun is closed without a 408: browsers open
 * connections in advance, and would take the 408 for the answer to their next request. */
static void expire(struct client *c)
{
    switch ((enum client_state)c->state) {
    case CLIENT_HEAD:
        if (input_is_blank(c->in))
            close_client(c, GONE_IDLE);
        else
            refuse(c, REFUSE_TOO_SLOW);
        return;
    case CLIENT_BODY:
        refuse(c, REFUSE_TOO_SLOW);
        return;
    case CLIENT_WAITING:
        c->in->poll(c, true);
        return;
    case CLIENT_STREAMING:
        if (c->deadline_kind == DEADLINE_STALLED)
            close_client(c, GONE_STALLED);
        else
            send_heartbeat(c);
        return;
    case CLIENT_ANSWERING:
        close_client(c, GONE_STALLED);
        return;
    case CLIENT_LINGERING:
        close_client(c, GONE_REFUSED);
        return;
    case CLIENT_CLOSED:
        return;
    }
}

/* Ends a stream whose token has expired. It gets nothing more, not even pending frames: with a new
 * token, the client resumes where it stopped. A blocked stream may be in the middle of a frame,
 * where last words cannot be sent. A long poll is answered as if its time limit had passed. */
static void expire_token(struct client *c)
{
    if (c->state == CLIENT_WAITING)
        c->in->poll(c, true);
    else if (c->state != CLIENT_STREAMING || c->stream.blocked || c->out != NULL)
        close_client(c, GONE_TOKEN);
    else
        end_stream(c, limits_spread_ms());
}

void client_expire(void)
{
    deadline_expire(expire);
    lease_expire(expire_token);
}

int64_t client_next_ms(void)
{
    int64_t next = deadline_next_ms(), lease_next = lease_next_ms();
    if (rotation_waits())
        return 0;
    return lease_next < next ? lease_next : next;
}

/* ==== The end ================================================================================ */

/* Prepares one client for the end. A request of which some bytes have arrived is still answered;
 * between requests the socket is read once more, because one may be in the kernel. A blocked stream
 * ends when it has caught up: see serve. */
static void drain(struct client *c)
{
    c->close = true;
    if (c->state == CLIENT_STREAMING && !c->stream.blocked)
        turn_serve(hub, &c->stream);
    else if (c->state == CLIENT_WAITING && c->joined)
        c->in->poll(c, true);
    else if (c->state == CLIENT_HEAD && input_is_blank(c->in))
        read_request(c);
    if (c->state == CLIENT_HEAD && input_is_blank(c->in))
        close_client(c, GONE_DRAIN);
}

/* Empties the queues into a list first, because drain moves clients to queues that a walk would
 * reach later. A client that is put back after a client with a later deadline times out late, but
 * by at most one timeout; the drain's own time limit bounds that. The requests in the queues of
 * rotation.h are answered as usual.
 *
 * The time over which streams reconnect is fixed before the first stream ends, because that time
 * would shrink as streams end. */
void client_drain_all(void)
{
    struct link all;
    draining = true;
    drain_spread_ms = limits_spread_ms();
    list_init(&all);
    deadline_take_all(&all);
    while (!list_empty(&all)) {
        struct client *c = CONTAINER(all.next, struct client, deadline);
        deadline_put_back(c);
        drain(c);
    }
}

bool client_is_draining(void)
{
    return draining;
}

/* Closes the first client until the list is empty: close_client moves each client to `dead`. */
void client_close_all(void)
{
    struct link all;
    list_init(&all);
    deadline_take_all(&all);
    rotation_take_all(&all);
    while (!list_empty(&all))
        close_client(CONTAINER(all.next, struct client, deadline), GONE_DRAIN);
}
