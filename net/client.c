/* client.c - one connection: reading requests, sending answers and streams, deadlines.
 *
 * Rules that hold everywhere:
 *
 * - client_close is the only way out. It leaves the struct standing as CLIENT_CLOSED until
 *   client_reap, so nobody in the middle of a turn holds a pointer to freed memory; but who called
 *   anything that may close must look at the state before going on.
 * - While an answer is not wholly sent, or not yet known, nothing more is read: what a client sends
 *   ahead waits in the kernel, and costs us nothing.
 * - A stream never has two unfinished pieces. What was begun (private bytes, a frame, a snapshot)
 * is finished before anything else is written, a heartbeat included.
 *
 * This file knows sockets and frames, but no URL. */

#include "net/client.h"

#include "api/answer.h"
#include "api/routes.h"
#include "auth/access.h"
#include "base/log.h"
#include "base/print.h"
#include "hub/frame.h"
#include "net/lease.h"
#include "net/peers.h"
#include "net/server.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

/* The debug build reads by a few bytes, so that every state meets input that is cut anywhere; and
 * it keeps no spare buffers, so that the sanitizer sees who uses one that is gone. */
#ifdef DEBUG
enum { INPUT_MIN_BYTES = 7, SPARES_MAX = 0 };
#else
enum { INPUT_MIN_BYTES = 2048, SPARES_MAX = 64 };
#endif

enum {
    INPUT_SPARE_BYTES = 16384, /* over the largest head and body: for chunk lines and trailers */
    LINGER_BYTES = 65536,
    SENDFILE_BYTES = 256 << 10, /* in one turn */
    BUFFER_FREE_BYTES = 4096,   /* a buffer up to this size everybody may have */
    HEARTBEAT_SLACK_MS = 50,    /* a heartbeat may be so late, to go out with others */
    EXPIRED_PER_TURN = 64,      /* of each kind, between two looks at the sockets */
};

/* ==== Deadlines ============================================================================== */

static int64_t timeout_ms(enum deadline kind)
{
    switch (kind) {
    case DEADLINE_HEAD:
        return 10000;
    case DEADLINE_BODY:
    case DEADLINE_ANSWER:
        return 30000;
    case DEADLINE_IDLE:
    case DEADLINE_STALLED:
        return 60000;
    case DEADLINE_LINGER:
        return 1000;
    case DEADLINE_STREAM: /* 0 is off */
        return (int64_t)server.options.heartbeat_ms;
    default:
        return kind >= DEADLINE_POLL ? 1000 * (kind - DEADLINE_POLL + 1) : 0;
    }
}

/* Puts the client last in the queue of this kind: all in it have the same timeout, so it is last.
 */
static void set_deadline(struct client *c, enum deadline kind)
{
    if (kind == DEADLINE_STREAM && timeout_ms(kind) == 0)
        kind = DEADLINE_NONE;
    c->deadline_kind = (uint8_t)kind;
    c->due_ms = server.mono_ms + timeout_ms(kind);
    list_remove(&c->deadline);
    list_append(&server.deadlines[kind], &c->deadline);
}

/* ==== Coming and going ======================================================================= */

static void watch(struct client *c, uint16_t events)
{
    if (c->events == events)
        return;
    c->events = events;
    struct epoll_event event = { .events = events, .data.ptr = c };
    if (epoll_ctl(server.epoll, EPOLL_CTL_MOD, c->fd, &event) < 0)
        client_close(c, "epoll");
}

/* Ten thousand clients, each with a large body half sent, or a large answer half read, would be a
 * lot of memory. So large buffers are counted, and have a limit: see access_buffer. */
static size_t counted(size_t bytes)
{
    return bytes > BUFFER_FREE_BYTES ? bytes : 0;
}

static void count_request(struct client *c, size_t old_bytes, size_t bytes)
{
    server.buffered[BUFFERED_REQUESTS] += counted(bytes) - counted(old_bytes);
    if (c->peer != NULL)
        c->peer->buffered += counted(bytes) - counted(old_bytes);
}

void client_set_peer(struct client *c, struct peer *peer)
{
    size_t bytes = c->in != NULL ? c->in->capacity : 0;
    count_request(c, bytes, 0);
    if (c->peer != NULL)
        peers_leave(c->peer, server_mono_us());
    c->peer = peer;
    count_request(c, 0, bytes);
}

void client_new(int fd, struct peer *peer, bool proxied)
{
    struct client *c = calloc(1, sizeof *c);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
    if (c == NULL || epoll_ctl(server.epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        if (peer != NULL)
            peers_leave(peer, server_mono_us());
        close(fd);
        free(c);
        return;
    }
    c->peer = peer;
    c->proxied = proxied;
    c->fd = fd;
    c->events = EPOLLIN;
    c->state = CLIENT_HEAD;
    list_init(&c->deadline);
    set_deadline(c, DEADLINE_HEAD);
    server.clients++;
}

bool client_lease(struct client *c, int64_t expires)
{
    if (expires == INT64_MAX)
        return true;
    c->lease = lease_new(c, expires);
    return c->lease != NULL;
}

enum join client_join(
    struct client *c, const struct span *rooms, size_t count, struct span name, bool present)
{
    c->stream.chunked = !c->in->request.http10;
    enum join join = hub_join(server.hub, &c->stream, rooms, count, name, present);
    c->joined = join == JOIN_OK;
    server.streams += c->joined;
    if (c->peer != NULL)
        c->peer->streams += c->joined;
    return join;
}

void client_leave(struct client *c)
{
    lease_end(c->lease);
    c->lease = NULL;
    if (!c->joined)
        return;
    c->joined = false;
    server.streams--;
    if (c->peer != NULL)
        c->peer->streams--;
    hub_leave(server.hub, &c->stream);
}

/* A request needs a buffer for some microseconds. A few are kept for the next ones: the heap may go
 * to the system for each, and that costs as much as the request. */
static struct input *spares[SPARES_MAX + 1];
static unsigned spare_count;

static struct input *new_input(void)
{
    struct input *in =
        spare_count > 0 ? spares[--spare_count] : malloc(sizeof *in + INPUT_MIN_BYTES);
    if (in == NULL)
        return NULL;
    memset(in, 0, offsetof(struct input, request));
    in->capacity = INPUT_MIN_BYTES;
    http_start(&in->request, server.options.max_body);
    return in;
}

static void free_input(struct client *c)
{
    struct input *in = c->in;
    if (in == NULL)
        return;
    hub_forget(&in->waiter);
    count_request(c, in->capacity, 0);
    c->in = NULL;
    if (in->capacity == INPUT_MIN_BYTES && spare_count + 1 <= SPARES_MAX) /* it may be 0 */
        spares[spare_count++] = in;
    else
        free(in);
}

static void free_output(struct client *c)
{
    int file = c->out != NULL ? c->out->file : -1;
    if (c->out != NULL)
        server.buffered[BUFFERED_ANSWERS] -= counted(c->out->len);
    free(c->out);
    c->out = NULL;
    if (file >= 0) {
        close(file);
        server_resume_accepting();
    }
}

static void log_close(const struct client *c, const char *reason)
{
    char address[ADDRESS_TEXT_BYTES] = "-";
    if (!log_wants(LOG_DEBUG))
        return;
    if (c->peer != NULL)
        address_print(&c->peer->address, address);
    log_line(LOG_DEBUG, "close fd=%d address=%s stream=%d reason=\"%s\"", c->fd, address, c->joined,
        reason);
}

void client_close(struct client *c, const char *reason)
{
    if (c->state == CLIENT_CLOSED)
        return;
    log_close(c, reason);
    client_leave(c);
    client_set_peer(c, NULL);
    free_input(c);
    free_output(c);
    close(c->fd);
    c->state = CLIENT_CLOSED;
    list_remove(&c->deadline);
    list_append(&server.dead, &c->deadline);
    server.clients--;
    server_resume_accepting();
}

/* Closes a connection with bytes that nobody reads. The kernel would keep them for a minute,
 * without a descriptor that counts; a reset frees them at once. */
static void drop(struct client *c, const char *reason)
{
    struct linger now = { .l_onoff = 1 };
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    client_close(c, reason);
}

void client_reap(void)
{
    for (struct link *l = server.dead.next, *next; l != &server.dead; l = next) {
        next = l->next;
        free(CONTAINER(l, struct client, deadline));
    }
    list_init(&server.dead);
}

bool client_close_idle(void)
{
    struct link *idle = &server.deadlines[DEADLINE_IDLE];
    if (list_empty(idle))
        return false;
    client_close(CONTAINER(idle->next, struct client, deadline), "descriptors");
    return true;
}

/* ==== Sending ================================================================================ */

/* Sends what it can. Returns how much, 0 when the socket is full; -1 when the client is gone, and
 * then it is closed. */
static ssize_t send_pieces(struct client *c, struct iovec *pieces, int count, int flags)
{
    ssize_t sent;
    flags |= MSG_NOSIGNAL;
    if (count == 1) {
        sent = send(c->fd, pieces->iov_base, pieces->iov_len, flags);
    } else {
        struct msghdr message = { .msg_iov = pieces, .msg_iovlen = (size_t)count };
        sent = sendmsg(c->fd, &message, flags);
    }
    if (sent >= 0)
        return sent;
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM)
        return 0;
    client_close(c, "reset");
    return -1;
}

/* Keeps `bytes` to be sent later; those from `hold` on after the replay. Without memory the client
 * is closed, and false says so. */
static bool keep_output(struct client *c, struct span bytes, size_t hold, struct span rest)
{
    must(c->out == NULL);
    size_t large = counted(bytes.len);
    struct output *out = NULL;
    if (large == 0 || access_buffer(c, BUFFERED_ANSWERS, large))
        out = malloc(sizeof *out + bytes.len);
    if (out == NULL) {
        client_close(c, "no memory");
        return false;
    }
    server.buffered[BUFFERED_ANSWERS] += large;
    *out = (struct output) { .len = bytes.len, .hold = hold, .rest = rest, .file = -1 };
    if (bytes.len > 0)
        memcpy(out->bytes, bytes.at, bytes.len);
    c->out = out;
    return true;
}

enum flushed { FLUSHED, FLUSH_BLOCKED, FLUSH_CLOSED };

/* One bounded piece of the file behind the answer; the others have their turn before the next one.
 */
static enum flushed flush_file(struct client *c)
{
    struct output *out = c->out;
    off_t at = (off_t)out->file_at;
    if (out->file_left == 0)
        return FLUSHED;
    size_t want = out->file_left < SENDFILE_BYTES ? (size_t)out->file_left : SENDFILE_BYTES;
    ssize_t sent = sendfile(c->fd, out->file, &at, want);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return FLUSH_BLOCKED;
    if (sent <= 0) { /* 0: the file became shorter than we said */
        client_close(c, sent == 0 ? "file cut" : "reset");
        return FLUSH_CLOSED;
    }
    out->file_at = (uint64_t)at;
    out->file_left -= (uint64_t)sent;
    return out->file_left == 0 ? FLUSHED : FLUSH_BLOCKED;
}

/* Sends the private bytes, up to the hold, then the rest and the file. When all is sent the output
 * is given back. */
static enum flushed flush_output(struct client *c)
{
    struct output *out = c->out;
    while (out->sent < out->hold || out->rest.len > 0) {
        struct iovec pieces[2] = {
            { out->bytes + out->sent, out->hold - out->sent },
            { span_bytes(out->rest), out->rest.len },
        };
        bool more = out->hold < out->len || out->file_left > 0;
        ssize_t sent = send_pieces(c, pieces, 2, more ? MSG_MORE : 0);
        if (sent <= 0)
            return sent < 0 ? FLUSH_CLOSED : FLUSH_BLOCKED;
        size_t of_bytes = out->hold - out->sent;
        if ((size_t)sent < of_bytes)
            of_bytes = (size_t)sent;
        out->sent += of_bytes;
        if (out->rest.len > 0) {
            out->rest.at += (size_t)sent - of_bytes;
            out->rest.len -= (size_t)sent - of_bytes;
        }
    }
    if (out->hold < out->len)
        return FLUSHED;
    enum flushed flushed = flush_file(c);
    if (flushed == FLUSHED)
        free_output(c);
    return flushed;
}

/* ==== After an answer ======================================================================== */

/* No more to send; the other side may not know yet. Reads on for a while, or a reset would destroy
 * what it has not read: a second, of which LINGER_BYTES may be read. Who sends more than that has
 * to wait, and reads meanwhile what he is told. */
static void linger(struct client *c)
{
    free_input(c);
    if (shutdown(c->fd, SHUT_WR) < 0) {
        client_close(c, "reset");
        return;
    }
    c->state = CLIENT_LINGERING;
    set_deadline(c, DEADLINE_LINGER);
    watch(c, EPOLLIN);
}

/* Whether only line ends were sent: some clients put one behind a body (RFC 9112 2.2). */
static bool is_blank(const struct input *in)
{
    size_t i = 0;
    while (in != NULL && i < in->len && (in->bytes[i] == '\r' || in->bytes[i] == '\n'))
        i++;
    return in == NULL || i == in->len;
}

/* The answer is sent: the connection ends, or becomes ready for the next request. If that is
 * already there, it has its turn in the next turn of the loop: who sends a hundred at once must not
 * keep the others waiting. */
static void finish_answer(struct client *c)
{
    struct input *in = c->in;
    if (c->close) {
        linger(c);
        return;
    }
    if (c->proxied) /* the next request may be anybody's */
        client_set_peer(c, NULL);
    c->state = CLIENT_HEAD;
    if (in != NULL && in->len > in->end) {
        memmove(in->bytes, in->bytes + in->end, in->len - in->end);
        in->len -= in->end;
        http_start(&in->request, server.options.max_body);
        set_deadline(c, DEADLINE_READY);
    } else {
        free_input(c);
        set_deadline(c, DEADLINE_IDLE);
        server_resume_accepting(); /* this one can be closed for another */
    }
    watch(c, EPOLLIN);
}

static void await_output(struct client *c)
{
    c->state = CLIENT_ANSWERING;
    set_deadline(c, DEADLINE_ANSWER);
    watch(c, EPOLLOUT);
}

void client_answer(struct client *c, struct span body)
{
    struct buffer *head = &server.scratch;
    if (head->failed) {
        client_close(c, "no memory");
        return;
    }
    struct iovec pieces[2] = { { head->at, head->len }, { span_bytes(body), body.len } };
    ssize_t sent = send_pieces(c, pieces, body.len > 0 ? 2 : 1, 0);
    if (sent < 0)
        return;
    if ((size_t)sent == head->len + body.len) {
        finish_answer(c);
        return;
    }
    struct span unsent = buffer_span(head);
    size_t of_head = (size_t)sent < head->len ? (size_t)sent : head->len;
    unsent.at += of_head;
    unsent.len -= of_head;
    if (body.len > 0) {
        body.at += (size_t)sent - of_head;
        body.len -= (size_t)sent - of_head;
    }
    if (keep_output(c, unsent, unsent.len, body))
        await_output(c);
}

/* Goes on with an answer that did not fit into the socket before. */
static void continue_answer(struct client *c)
{
    switch (flush_output(c)) {
    case FLUSHED:
        finish_answer(c);
        return;
    case FLUSH_BLOCKED:
        await_output(c); /* something was read: the time starts anew */
        return;
    case FLUSH_CLOSED:
        return;
    }
}

void client_answer_file(struct client *c, int file, uint64_t left)
{
    struct span head = buffer_span(&server.scratch);
    if (server.scratch.failed || !keep_output(c, head, head.len, (struct span) { 0 })) {
        close(file);
        client_close(c, "no memory");
        return;
    }
    c->out->file = file;
    c->out->file_left = left;
    enum flushed flushed = flush_output(c);
    if (flushed == FLUSHED)
        finish_answer(c);
    else if (flushed == FLUSH_BLOCKED)
        await_output(c);
}

void client_wait(struct client *c)
{
    c->state = CLIENT_WAITING;
    set_deadline(c, DEADLINE_NONE);
}

void client_poll(struct client *c, unsigned seconds, bool (*poll)(struct client *, bool timeout))
{
    must(c->joined && seconds >= 1 && seconds <= CLIENT_POLL_MAX_SECONDS);
    c->in->poll = poll;
    c->state = CLIENT_WAITING;
    set_deadline(c, DEADLINE_POLL + (seconds - 1));
    watch(c, EPOLLRDHUP);
    if (c->state == CLIENT_WAITING)
        hub_start(server.hub, &c->stream);
}

/* ==== Streams ================================================================================ */

void client_stream(struct client *c, size_t hold)
{
    struct span bytes = buffer_span(&server.scratch);
    c->state = CLIENT_STREAMING;
    if (server.scratch.failed) {
        client_close(c, "no memory");
        return;
    }
    free_input(c);
    size_t sent = 0;
    if (hold == bytes.len) { /* no replay: most often all goes at once, and nothing is kept */
        struct iovec piece = { span_bytes(bytes), bytes.len };
        ssize_t n = send_pieces(c, &piece, 1, 0);
        if (n < 0)
            return;
        sent = (size_t)n;
    }
    if (sent < bytes.len && !keep_output(c, (struct span) { bytes.at + sent, bytes.len - sent },
                                hold - sent, (struct span) { 0 }))
        return;
    hub_start(server.hub, &c->stream);
}

/* A piece that goes out at once, or becomes private bytes: a heartbeat, a snapshot. */
static enum flushed send_now(struct client *c, struct span bytes)
{
    struct iovec piece = { span_bytes(bytes), bytes.len };
    ssize_t sent = send_pieces(c, &piece, 1, 0);
    if (sent < 0)
        return FLUSH_CLOSED;
    if ((size_t)sent == bytes.len)
        return FLUSHED;
    bytes.at += sent;
    bytes.len -= (size_t)sent;
    return keep_output(c, bytes, bytes.len, (struct span) { 0 }) ? FLUSH_BLOCKED : FLUSH_CLOSED;
}

/* The last words of a stream: when to come back, and the end of the body. */
static void end_stream(struct client *c, uint64_t spread_ms)
{
    struct buffer *out = server_scratch();
    frame_retry(out, server.options.retry_ms, spread_ms, c->stream.chunked);
    if (c->stream.chunked)
        buffer_add(out, SPAN("0\r\n\r\n"));
    client_leave(c);
    c->close = true;
    client_answer(c, (struct span) { 0 });
}

/* What was not sent yet comes when the client is back with a new token. Who is in the middle of a
 * frame cannot be told anything. */
void client_expire_token(struct client *c)
{
    if (c->state == CLIENT_WAITING)
        c->in->poll(c, true);
    else if (c->state != CLIENT_STREAMING || c->stream.blocked || c->out != NULL)
        drop(c, "token");
    else
        end_stream(c, server_spread_ms());
}

/* Sends all that a stream has coming, or as much as it takes. */
static enum flushed serve_stream(struct client *c)
{
    struct stream *stream = &c->stream;
    struct gather g;
    struct span snapshot;
    enum flushed flushed;
    for (;;) {
        if (c->out != NULL && (flushed = flush_output(c)) != FLUSHED)
            return flushed;
        if (hub_is_overrun(stream)) {
            drop(c, "overrun");
            return FLUSH_CLOSED;
        }
        hub_gather(stream, &g);
        if (g.bytes > 0) {
            int flags = hub_is_replaying(stream) ? MSG_MORE : 0; /* `ready` follows */
            ssize_t sent = send_pieces(c, g.pieces, g.count, flags);
            if (sent < 0)
                return FLUSH_CLOSED;
            hub_advance(&g, (size_t)sent);
            if ((size_t)sent < g.bytes)
                return FLUSH_BLOCKED;
            if (!g.all)
                continue;
        }
        if (hub_is_replaying(stream)) {
            hub_go_live(stream);
            if (c->out != NULL)
                c->out->hold = c->out->len;
        } else if (hub_next_presence(stream, &snapshot)) {
            if ((flushed = send_now(c, snapshot)) != FLUSHED)
                return flushed;
        } else {
            return FLUSHED;
        }
    }
}

enum served client_serve(struct stream *stream)
{
    struct client *c = CONTAINER(stream, struct client, stream);
    if (c->state == CLIENT_WAITING)
        return hub_is_behind(stream) && c->in->poll(c, false) ? SERVED_GONE : SERVED_ALL;
    switch (serve_stream(c)) {
    case FLUSHED:
        if (server.draining) {
            end_stream(c, server.drain_spread_ms);
            return SERVED_GONE;
        }
        set_deadline(c, DEADLINE_STREAM);
        watch(c, EPOLLIN);
        return c->state == CLIENT_CLOSED ? SERVED_GONE : SERVED_ALL;
    case FLUSH_BLOCKED:
        set_deadline(c, DEADLINE_STALLED);
        watch(c, EPOLLIN | EPOLLOUT);
        return c->state == CLIENT_CLOSED ? SERVED_GONE : SERVED_BLOCKED;
    case FLUSH_CLOSED:
        break;
    }
    return SERVED_GONE;
}

void client_overrun(struct stream *stream)
{
    drop(CONTAINER(stream, struct client, stream), "overrun");
}

/* A stream got nothing for a while. One that has just begun has yet to get its first bytes. */
static void send_heartbeat(struct client *c)
{
    set_deadline(c, DEADLINE_STREAM);
    if (c->out != NULL)
        return;
    struct buffer *out = server_scratch();
    size_t begin = frame_begin(out, c->stream.chunked);
    buffer_add(out, SPAN("event: heartbeat\ndata: "));
    buffer_add_number(out, server.unix_ms);
    buffer_add(out, SPAN("\n"));
    frame_end(out, begin, c->stream.chunked);
    if (!out->failed && send_now(c, buffer_span(out)) == FLUSH_BLOCKED)
        hub_start(server.hub, &c->stream);
}

/* ==== Reading ================================================================================ */

/* Lets the buffer grow; false when that is not possible, and the client has been told. */
static bool grow_input(struct client *c)
{
    size_t most = HTTP_HEAD_MAX_BYTES + server.options.max_body + INPUT_SPARE_BYTES;
    size_t old = c->in->capacity, capacity = old * 2 < most ? old * 2 : most;
    if (capacity <= old) {
        client_close(c, "too long");
        return false;
    }
    if (counted(capacity) > 0 &&
        !access_buffer(c, BUFFERED_REQUESTS, counted(capacity) - counted(old))) {
        answer_refuse(c, 503);
        return false;
    }
    struct input *grown = realloc(c->in, sizeof *grown + capacity);
    if (grown == NULL) {
        client_close(c, "no memory");
        return false;
    }
    grown->capacity = capacity;
    c->in = grown;
    count_request(c, old, capacity);
    return true;
}

/* Makes sure that there is room for more bytes. */
static bool prepare_input(struct client *c)
{
    if (c->in != NULL)
        return c->in->len < c->in->capacity || grow_input(c);
    c->in = new_input();
    if (c->in == NULL)
        client_close(c, "no memory");
    return c->in != NULL;
}

/* The client waits for our word before it sends the body. If that word does not fit into an empty
 * socket buffer, something is wrong with it. */
static void say_continue(struct client *c)
{
    struct span line = SPAN("HTTP/1.1 100 Continue\r\n\r\n");
    struct iovec piece = { span_bytes(line), line.len };
    ssize_t sent = send_pieces(c, &piece, 1, 0);
    if (sent >= 0 && (size_t)sent < line.len)
        client_close(c, "blocked");
}

static void parse_head(struct client *c)
{
    struct input *in = c->in;
    int n = http_parse_head(&in->request, in->bytes, in->len);
    if (n < 0)
        answer_refuse(c, -n);
    if (n <= 0)
        return;
    in->end = (size_t)n;
    if (!routes_admit(c))
        return;
    c->state = CLIENT_BODY;
    set_deadline(c, DEADLINE_BODY);
    if (in->request.expects_continue && in->len == (size_t)n)
        say_continue(c);
}

static void parse_body(struct client *c)
{
    struct input *in = c->in;
    int n = http_parse_body(&in->request, in->bytes, &in->len);
    if (n < 0)
        answer_refuse(c, -n);
    if (n <= 0)
        return;
    in->end = (size_t)n;
    routes_handle(c);
}

/* Parses what is there, and answers one request if it is whole. */
static void process(struct client *c)
{
    if (c->state == CLIENT_HEAD && c->in != NULL)
        parse_head(c);
    if (c->state == CLIENT_BODY)
        parse_body(c);
}

static void read_request(struct client *c)
{
    if (!prepare_input(c))
        return;
    struct input *in = c->in;
    ssize_t n = recv(c->fd, in->bytes + in->len, in->capacity - in->len, 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            client_close(c, "reset");
        return;
    }
    if (n == 0) {
        client_close(c, in->len > 0 ? "cut" : "done");
        return;
    }
    if (c->deadline_kind == DEADLINE_IDLE)
        set_deadline(c, DEADLINE_HEAD);
    in->len += (size_t)n;
    process(c);
}

/* What a client says while it listens, or after it was refused, is nobody's business; that it hangs
 * up is. Returns how many bytes were thrown away. */
static size_t discard(struct client *c)
{
    char bytes[4096];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n == 0)
        client_close(c, "hang-up");
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        client_close(c, "reset");
    return n > 0 ? (size_t)n : 0;
}

void client_ready(struct client *c, uint32_t events)
{
    const uint32_t gone = EPOLLHUP | EPOLLERR;
    switch ((enum client_state)c->state) {
    case CLIENT_CLOSED: /* earlier in this turn */
        return;
    case CLIENT_HEAD:
    case CLIENT_BODY:
        if (c->deadline_kind != DEADLINE_READY) /* what has come is answered first */
            read_request(c);
        return;
    case CLIENT_WAITING: /* a poll ends with its client; a POST is answered when half closed */
        if (events & (gone | EPOLLRDHUP))
            client_close(c, "hang-up");
        else
            watch(c, 0);
        return;
    case CLIENT_ANSWERING:
        continue_answer(c);
        return;
    case CLIENT_STREAMING:
        if (events & (gone | EPOLLIN))
            discard(c);
        if (c->state == CLIENT_STREAMING && (events & EPOLLOUT))
            hub_wake(server.hub, &c->stream);
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
        if (is_blank(c->in))
            client_close(c, "idle");
        else
            answer_refuse(c, 408);
        return;
    case CLIENT_BODY:
        answer_refuse(c, 408);
        return;
    case CLIENT_WAITING:
        c->in->poll(c, true);
        return;
    case CLIENT_STREAMING:
        if (c->deadline_kind == DEADLINE_STALLED)
            drop(c, "stalled");
        else
            send_heartbeat(c);
        return;
    case CLIENT_ANSWERING:
        drop(c, "stalled");
        return;
    case CLIENT_LINGERING:
        client_close(c, "refused");
        return;
    case CLIENT_CLOSED:
        return;
    }
}

/* The one in this queue that is due first; NULL when it is empty, or has no deadline. */
static struct client *first_due(int kind)
{
    struct link *queue = &server.deadlines[kind];
    if (kind == DEADLINE_NONE || list_empty(queue))
        return NULL;
    return CONTAINER(queue->next, struct client, deadline);
}

/* Those whose next request waits in their buffer: one request for each. */
static void process_ready(void)
{
    struct link ready;
    list_init(&ready);
    list_splice(&server.deadlines[DEADLINE_READY], &ready);
    while (!list_empty(&ready)) {
        struct client *c = CONTAINER(ready.next, struct client, deadline);
        set_deadline(c, DEADLINE_HEAD);
        process(c);
    }
}

/* Streams that had a message together have their heartbeats together: some now, the others after
 * the next look at the sockets. */
static void expire_some(int kind)
{
    struct client *c;
    int left = EXPIRED_PER_TURN;
    while ((c = first_due(kind)) != NULL && c->due_ms <= server.mono_ms && left-- > 0)
        expire(c);
}

void client_expire(void)
{
    process_ready();
    for (int kind = 0; kind < DEADLINE_COUNT; kind++)
        if (kind != DEADLINE_READY)
            expire_some(kind);
}

/* What is due already was left over by client_expire, and waits no longer. */
int64_t client_next_ms(void)
{
    const struct client *c;
    int64_t next = INT64_MAX;
    for (int kind = 0; kind < DEADLINE_COUNT; kind++) {
        if ((c = first_due(kind)) == NULL)
            continue;
        bool may_wait = kind == DEADLINE_STREAM && c->due_ms > server.mono_ms;
        int64_t due = c->due_ms + (may_wait ? HEARTBEAT_SLACK_MS : 0);
        if (due < next)
            next = due;
    }
    return next;
}

/* ==== The end ================================================================================ */

/* What has already arrived is still answered. */
static void drain(struct client *c)
{
    c->close = true;
    if (c->state == CLIENT_STREAMING && !c->stream.blocked)
        hub_start(server.hub, &c->stream);
    else if (c->state == CLIENT_WAITING && c->joined)
        c->in->poll(c, true);
    else if (c->state == CLIENT_HEAD && is_blank(c->in))
        read_request(c);
    if (c->state == CLIENT_HEAD && is_blank(c->in))
        client_close(c, "drain");
}

/* All clients, in one list. */
static void take_all(struct link *all)
{
    list_init(all);
    for (int kind = 0; kind < DEADLINE_COUNT; kind++)
        list_splice(&server.deadlines[kind], all);
}

void client_drain_all(void)
{
    struct link all;
    server.drain_spread_ms = server_spread_ms();
    take_all(&all);
    while (!list_empty(&all)) {
        struct client *c = CONTAINER(all.next, struct client, deadline);
        list_remove(&c->deadline);
        list_append(&server.deadlines[c->deadline_kind], &c->deadline);
        drain(c);
    }
}

void client_close_all(const char *reason)
{
    struct link all;
    take_all(&all);
    while (!list_empty(&all))
        client_close(CONTAINER(all.next, struct client, deadline), reason);
}
