/* client.c - the states of a connection, and the ways between them.
 *
 * Rules that hold everywhere:
 *
 * - close_client is the only way out. It leaves the struct standing as CLIENT_CLOSED until
 *   client_reap, so that no pointer held in the middle of a turn leads to freed memory; but after a
 *   call that may close, the state must be looked at before going on.
 * - While an answer is not wholly sent, or not yet known, nothing more is read: what a client sends
 *   ahead waits in the kernel, and costs us nothing.
 * - input.c, output.c and serve.c move bytes and report an outcome; what follows from it is decided
 *   here. */

#include "net/client.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "net/exchange.h"
#include "net/input.h"
#include "net/lease.h"
#include "net/limits.h"
#include "net/output.h"
#include "net/serve.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINGER_BYTES = 65536 };

static const struct net_settings *settings;
static const struct handlers *known_handlers[CLIENT_HANDLERS_MAX];
static struct hub *hub;
static int epoll;
static struct link dead; /* closed in this turn, freed at its end */
static unsigned released;
static bool draining;
static uint64_t drain_spread_ms; /* the time over which the drained streams come back */

void client_start(const struct net_settings *given, struct hub *streams, int epoll_fd)
{
    settings = given;
    hub = streams;
    epoll = epoll_fd;
    list_init(&dead);
    input_start((size_t)settings->max_body);
    deadline_start((int64_t)settings->heartbeat_ms);
    lease_start();
}

/* ==== Coming and going ======================================================================= */

static void log_close(const struct client *c, enum outcome why)
{
    char address[ADDRESS_TEXT_BYTES] = "-";
    if (!log_wants(LOG_DEBUG))
        return;
    if (c->peer != NULL)
        address_print(&c->peer->address, address);
    log_line(LOG_DEBUG, "close fd=%d address=%s stream=%d reason=\"%s\"", c->fd, address, c->joined,
        connection_reason(why));
}

/* A connection with bytes that are not read is closed with a reset: else the kernel would keep them
 * for a minute, without a descriptor that counts. */
static void reset_at_close(const struct client *c, enum outcome why)
{
    struct linger now = { .l_onoff = 1 };
    if (why == GONE_STALLED || why == GONE_OVERRUN || why == GONE_TOKEN)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

static void close_client(struct client *c, enum outcome why)
{
    if (c->state == CLIENT_CLOSED)
        return;
    log_close(c, why);
    reset_at_close(c, why);
    client_leave(c);
    client_set_peer(c, NULL);
    input_free(c);
    output_free(c);
    close(c->fd);
    c->state = CLIENT_CLOSED;
    list_remove(&c->deadline);
    list_append(&dead, &c->deadline);
    limits_count_connections(-1);
    released++;
}

static void close_if_gone(struct client *c, enum outcome outcome)
{
    if (is_gone(outcome))
        close_client(c, outcome);
}

static void watch(struct client *c, uint16_t events)
{
    if (c->events == events)
        return;
    c->events = events;
    struct epoll_event event = { .events = events, .data.ptr = c };
    if (epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event) < 0)
        close_client(c, GONE_EPOLL);
}

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

void client_set_peer(struct client *c, struct peer *peer)
{
    size_t bytes = c->in != NULL ? c->in->capacity : 0;
    limits_count_buffer(BUFFERED_REQUESTS, c->peer, bytes, 0);
    if (c->peer != NULL)
        peers_leave(c->peer, clock_mono_us());
    c->peer = peer;
    limits_count_buffer(BUFFERED_REQUESTS, c->peer, 0, bytes);
}

void client_reap(void)
{
    for (struct link *l = dead.next, *next; l != &dead; l = next) {
        next = l->next;
        free(CONTAINER(l, struct client, deadline));
    }
    list_init(&dead);
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

void client_fail(struct client *c)
{
    close_client(c, GONE_NO_MEMORY);
}

bool client_is_draining(void)
{
    return draining;
}

/* Over how long clients that are sent away together are told to come back: a millisecond each. */
static uint64_t spread_ms(void)
{
    return limits_streams() > 1000 ? limits_streams() : 1000;
}

/* ==== Answers ================================================================================ */

/* No more to send; the other side may not know yet. Reads on for a second, of which LINGER_BYTES
 * may be read; a client that sends more than that has to wait, and reads meanwhile what it is told.
 */
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

/* The answer is sent: the connection ends, or becomes ready for the next request. If that is
 * already there, it is read in the next turn of the loop: a client that sends a hundred at once
 * must not keep the others waiting. */
static void finish_answer(struct client *c)
{
    if (c->close) {
        linger(c);
        return;
    }
    if (c->proxied) /* the next request may be from any other client */
        client_set_peer(c, NULL);
    c->state = CLIENT_HEAD;
    if (input_next(c)) {
        deadline_set(c, DEADLINE_READY);
    } else {
        deadline_set(c, DEADLINE_IDLE);
        released++; /* this one can be closed for another */
    }
    watch(c, EPOLLIN);
}

static void await_output(struct client *c)
{
    c->state = CLIENT_ANSWERING;
    deadline_set(c, DEADLINE_ANSWER);
    watch(c, EPOLLOUT);
}

/* Goes on from what became of an answer. */
static void go_on(struct client *c, enum outcome outcome)
{
    if (outcome == SENT_ALL)
        finish_answer(c);
    else if (outcome == SENT_SOME)
        await_output(c); /* something may have been read: the time starts again */
    else
        close_client(c, outcome);
}

/* What the head says of the connection stays so, whatever happens until all is sent. */
static void settle_closing(struct client *c)
{
    c->close = c->in != NULL ? exchange_closes(c) : c->close;
}

void client_answer(struct client *c, struct span head, struct span body)
{
    settle_closing(c);
    go_on(c, output_answer(c, head, body));
}

void client_answer_file(struct client *c, struct span head, int file, uint64_t left)
{
    settle_closing(c);
    go_on(c, output_file(c, head, file, left));
}

void client_wait(struct client *c)
{
    c->state = CLIENT_WAITING;
    deadline_set(c, DEADLINE_NONE);
}

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

static void refuse(struct client *c, int status)
{
    input_restart(c);
    c->close = true;
    known_handlers[c->handlers]->refuse(c, status);
}

/* ==== Streams ================================================================================ */

enum join client_join(struct client *c, const struct span *rooms, size_t count, struct span name,
    bool present, int64_t expires)
{
    enum join join = JOIN_NO_MEMORY;
    c->lease = expires != INT64_MAX ? lease_new(c, expires) : NULL;
    c->stream.chunked = !c->in->request.http10;
    if (c->lease != NULL || expires == INT64_MAX)
        join = stream_join(hub, &c->stream, rooms, count, name, present);
    if (join != JOIN_OK) {
        lease_end(c->lease);
        c->lease = NULL;
        return join;
    }
    c->joined = true;
    limits_count_streams(c->peer, 1);
    return JOIN_OK;
}

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

void client_stream(struct client *c, struct span bytes, size_t hold)
{
    settle_closing(c);
    c->state = CLIENT_STREAMING;
    input_free(c);
    enum outcome outcome = output_stream(c, bytes, hold);
    if (is_gone(outcome))
        close_client(c, outcome);
    else
        turn_serve(hub, &c->stream);
}

/* Tells a stream when to come back, and ends it. */
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

/* A stream's turn. It reports back by what it returns; the hub may be in the middle of a list. */
static enum served serve(struct stream *stream)
{
    struct client *c = CONTAINER(stream, struct client, stream);
    if (c->state == CLIENT_WAITING)
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
    bool all = outcome == SENT_ALL;
    deadline_set(c, all ? DEADLINE_STREAM : DEADLINE_STALLED);
    watch(c, all ? EPOLLIN : EPOLLIN | EPOLLOUT);
    if (c->state == CLIENT_CLOSED)
        return SERVED_GONE;
    return all ? SERVED_ALL : SERVED_BLOCKED;
}

static void overrun(struct stream *stream)
{
    close_client(CONTAINER(stream, struct client, stream), GONE_OVERRUN);
}

const struct stream_owner client_stream_owner = { serve, overrun };

static void send_heartbeat(struct client *c)
{
    deadline_set(c, DEADLINE_STREAM);
    enum outcome outcome = serve_heartbeat(c);
    close_if_gone(c, outcome);
    if (outcome == SENT_SOME)
        turn_serve(hub, &c->stream);
}

/* ==== Reading ================================================================================ */

/* The client waits for our word before it sends the body. If that word does not fit into an empty
 * socket buffer, something is wrong with it. */
static void say_continue(struct client *c)
{
    struct span line = SPAN("HTTP/1.1 100 Continue\r\n\r\n");
    struct iovec piece = { span_bytes(line), line.len };
    ssize_t sent = output_send(c, &piece, 1, 0);
    if (sent < (ssize_t)line.len)
        close_client(c, sent < 0 ? GONE_RESET : GONE_BLOCKED);
}

static void parse_head(struct client *c)
{
    struct input *in = c->in;
    int n = http_parse_head(&in->request, in->bytes, in->len);
    if (n < 0)
        refuse(c, -n);
    if (n <= 0)
        return;
    in->end = (size_t)n;
    if (!known_handlers[c->handlers]->admit(c))
        return;
    c->state = CLIENT_BODY;
    deadline_set(c, DEADLINE_BODY);
    if (in->request.expects_continue && in->len == (size_t)n)
        say_continue(c);
}

static void parse_body(struct client *c)
{
    struct input *in = c->in;
    int n = http_parse_body(&in->request, in->bytes, &in->len);
    if (n < 0)
        refuse(c, -n);
    if (n <= 0)
        return;
    in->end = (size_t)n;
    known_handlers[c->handlers]->handle(c);
}

/* Parses what is there, and has one request answered if it is whole. */
static void process(struct client *c)
{
    if (c->state == CLIENT_HEAD && c->in != NULL)
        parse_head(c);
    if (c->state == CLIENT_BODY)
        parse_body(c);
}

static void read_request(struct client *c)
{
    enum outcome outcome = input_read(c);
    if (outcome == READ_OVER_LIMIT) {
        refuse(c, 503);
    } else if (is_gone(outcome)) {
        close_client(c, outcome);
    } else if (outcome == READ_SOME) {
        if (c->deadline_kind == DEADLINE_IDLE)
            deadline_set(c, DEADLINE_HEAD);
        process(c);
    }
}

static size_t discard(struct client *c)
{
    size_t bytes;
    close_if_gone(c, input_discard(c, &bytes));
    return bytes;
}

void client_ready(struct client *c, uint32_t events)
{
    const uint32_t broken = EPOLLHUP | EPOLLERR;
    switch ((enum client_state)c->state) {
    case CLIENT_CLOSED: /* earlier in this turn */
        return;
    case CLIENT_HEAD:
    case CLIENT_BODY:
        if (c->deadline_kind != DEADLINE_READY) /* what has come is answered first */
            read_request(c);
        return;
    case CLIENT_WAITING: /* a poll ends with its client; a POST is answered when half closed */
        if (events & (broken | EPOLLRDHUP))
            close_client(c, GONE_HANG_UP);
        else
            watch(c, 0);
        return;
    case CLIENT_ANSWERING:
        go_on(c, output_flush(c));
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

static void expire(struct client *c)
{
    switch ((enum client_state)c->state) {
    case CLIENT_HEAD:
        if (input_is_blank(c->in))
            close_client(c, GONE_IDLE);
        else
            refuse(c, 408);
        return;
    case CLIENT_BODY:
        refuse(c, 408);
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

/* The token of a stream has ended. What was not sent yet comes when the client is back with a new
 * token. One that is in the middle of a frame cannot be told anything. */
static void expire_token(struct client *c)
{
    if (c->state == CLIENT_WAITING)
        c->in->poll(c, true);
    else if (c->state != CLIENT_STREAMING || c->stream.blocked || c->out != NULL)
        close_client(c, GONE_TOKEN);
    else
        end_stream(c, spread_ms());
}

/* Those whose next request waits in their buffer: one request for each. */
static void process_ready(void)
{
    struct link ready;
    list_init(&ready);
    deadline_take(DEADLINE_READY, &ready);
    while (!list_empty(&ready)) {
        struct client *c = CONTAINER(ready.next, struct client, deadline);
        deadline_set(c, DEADLINE_HEAD);
        process(c);
    }
}

void client_expire(void)
{
    process_ready();
    deadline_expire(expire);
    lease_expire(expire_token);
}

int64_t client_next_ms(void)
{
    int64_t next = deadline_next_ms(), lease_next = lease_next_ms();
    return lease_next < next ? lease_next : next;
}

/* ==== The end ================================================================================ */

/* What has already arrived is still answered. */
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

void client_drain_all(void)
{
    struct link all;
    draining = true;
    drain_spread_ms = spread_ms();
    list_init(&all);
    deadline_take_all(&all);
    while (!list_empty(&all)) {
        struct client *c = CONTAINER(all.next, struct client, deadline);
        deadline_put_back(c);
        drain(c);
    }
}

void client_close_all(void)
{
    struct link all;
    list_init(&all);
    deadline_take_all(&all);
    while (!list_empty(&all))
        close_client(CONTAINER(all.next, struct client, deadline), GONE_DRAIN);
}
