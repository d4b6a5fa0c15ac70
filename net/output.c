/* output.c - sending on non-blocking sockets, which may accept only some of the bytes.
 *
 * An answer is sent first and copied afterwards: only the bytes that a short write left over are
 * kept in a struct output, and client.c arms EPOLLOUT to send them when the socket has room. Most
 * answers fit into the socket buffer and allocate nothing. A body that stays valid, like an
 * embedded file of the page, is never copied: `rest` points to it. sendfile(2) sends a file from
 * the disk.
 *
 * There is no queue of outgoing buffers, because there is never more than one thing to send: the
 * answers of one connection follow each other (RFC 9112 9.3.2), and a stream's backlog is its
 * cursor in the ring. A stream finishes what it has begun (private bytes, a frame, a snapshot)
 * before anything else is written: a heartbeat in the middle of a frame would damage both.
 *
 *     bytes: 0 ────────── sent ────────── hold ────────── len, then `rest`, then the file
 *               is sent         to send         kept until       (a stream has neither)
 *                               now             output_release
 */

#include "net/output.h"

#include "net/limits.h"
#include "net/request_log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned files_closed;

static enum outcome flush_file(struct client *c);

/* ==== Counting =============================================================================== */

static uint64_t sent_bytes; /* to all clients */
static bool logs;           /* bytes also count for the lines of --access-log */

static ssize_t note_sent(const struct client *c, ssize_t sent)
{
    if (logs && sent > 0)
        request_log_sent(c->fd, (size_t)sent);
    return sent;
}

uint64_t output_sent_bytes(void)
{
    return sent_bytes;
}

void output_log(void)
{
    logs = true;
}

/* ==== Sending ================================================================================ */

/* Counts what a send has sent, and returns it. If the kernel is short of memory, the socket counts
 * as full, because the shortage may pass and the client can stay. */
static inline ssize_t accepted(ssize_t sent)
{
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM ? 0 : -1;
    sent_bytes += (uint64_t)sent;
    return sent;
}

/* EPIPE is an error here, not a signal (MSG_NOSIGNAL). */
static ssize_t send_bytes(const struct client *c, struct span bytes, int flags)
{
    return accepted(send(c->fd, bytes.at, bytes.len, flags | MSG_NOSIGNAL));
}

/* Is not inlined, because each delivery would then save a register for it: five instructions. */
__attribute__((noinline)) static ssize_t send_noted(
    const struct client *c, struct span bytes, int flags)
{
    return note_sent(c, send_bytes(c, bytes, flags));
}

ssize_t output_send(struct client *c, struct span bytes, int flags)
{
    return logs ? send_noted(c, bytes, flags) : send_bytes(c, bytes, flags);
}

ssize_t output_send_pieces(struct client *c, struct iovec *pieces, int count, int flags)
{
    /* The count is a size_t with glibc, and an int with musl: this type fits both. */
    struct msghdr message = { .msg_iov = pieces, .msg_iovlen = (unsigned short)count };
    return note_sent(c, accepted(sendmsg(c->fd, &message, flags | MSG_NOSIGNAL)));
}

/* Removes up to `n` bytes from the front and returns how many, so that the result of send(2) can be
 * spread over several spans. */
static size_t take(struct span *bytes, size_t n)
{
    if (n > bytes->len)
        n = bytes->len;
    if (n > 0) { /* an empty span may have no address, and NULL + 0 is undefined in C */
        bytes->at += n;
        bytes->len -= n;
    }
    return n;
}

/* ==== Kept bytes ============================================================================== */

/* Copies `bytes` to send them later, those from `hold` on only after the replay. Clients that
 * request a lot and read nothing could fill the memory with such copies, so limits_buffer must
 * allow each copy; if it does not, the client is closed. Each address has a share, so that the
 * copies of one client do not close the connections of others. */
static enum outcome keep(struct client *c, struct span bytes, size_t hold, struct span rest)
{
    must(c->out == NULL);
    struct output *out = NULL;
    if (limits_buffer(BUFFERED_ANSWERS, c->peer, 0, bytes.len))
        out = malloc(sizeof *out + bytes.len);
    if (out == NULL)
        return GONE_NO_MEMORY;
    limits_count_buffer(BUFFERED_ANSWERS, c->peer, 0, bytes.len);
    *out = (struct output) { .len = bytes.len, .hold = hold, .rest = rest, .file = -1 };
    if (bytes.len > 0)
        memcpy(out->bytes, bytes.at, bytes.len);
    c->out = out;
    return SENT_SOME;
}

/* Gives back the memory of what has been sent, once that is half of it. So the memory that counts
 * against the limits goes down as the client reads, and each byte is moved at most twice. If
 * realloc(3) fails, the old block stays. */
static void shrink(struct client *c)
{
    struct output *out = c->out;
    size_t left = out->len - out->sent;
    if (out->sent < left || out->sent == 0)
        return;
    limits_count_buffer(BUFFERED_ANSWERS, c->peer, out->len, left);
    memmove(out->bytes, out->bytes + out->sent, left);
    out->len = left;
    out->hold -= out->sent;
    out->sent = 0;
    struct output *shrunk = realloc(out, sizeof *out + left);
    if (shrunk != NULL)
        c->out = shrunk;
}

/* Frees the kept bytes, and closes the file that is being sent, which belongs to the output. */
void output_free(struct client *c)
{
    if (c->out == NULL)
        return;
    if (c->out->file >= 0) {
        close(c->out->file);
        files_closed++;
    }
    limits_count_buffer(BUFFERED_ANSWERS, c->peer, c->out->len, 0);
    free(c->out);
    c->out = NULL;
}

/* ==== Sending ================================================================================= */

/* Sends head and body in one system call, so that they share packets. After a short write only the
 * rest of the head is copied; for the rest of the body a pointer is kept. */
enum outcome output_answer(struct client *c, struct span head, struct span body)
{
    struct iovec pieces[2] = { { span_bytes(head), head.len }, { span_bytes(body), body.len } };
    ssize_t sent = body.len > 0 ? output_send_pieces(c, pieces, 2, 0) : output_send(c, head, 0);
    if (sent < 0)
        return GONE_RESET;
    if ((size_t)sent == head.len + body.len)
        return SENT_ALL;
    take(&body, (size_t)sent - take(&head, (size_t)sent));
    return keep(c, head, head.len, body);
}

/* Sends the bytes up to `hold` before memory is needed for the rest, so that a stream that must be
 * closed for lack of memory has at least got its `retry:`. The stream's first turn sends the replay
 * and the bytes from `hold` on; MSG_MORE joins all three. */
enum outcome output_stream(struct client *c, struct span bytes, size_t hold)
{
    struct span now = { bytes.at, hold };
    ssize_t sent = output_send(c, now, hold < bytes.len ? MSG_MORE : 0);
    if (sent < 0)
        return GONE_RESET;
    if ((size_t)sent == bytes.len)
        return SENT_ALL;
    take(&bytes, (size_t)sent);
    return keep(c, bytes, hold - (size_t)sent, (struct span) { NULL, 0 });
}

void output_release(struct client *c)
{
    if (c->out != NULL)
        c->out->hold = c->out->len;
}

enum outcome output_piece(struct client *c, struct span bytes)
{
    return output_stream(c, bytes, bytes.len);
}

/* Sends the private bytes up to `hold`, then `rest`, then the file. If bytes follow `hold`,
 * SENT_ALL means that the replay is next: the output stays until output_release has moved `hold`.
 * Otherwise the output is freed before SENT_ALL is returned.
 *
 * MSG_MORE makes the kernel wait for the next call before it sends an incomplete packet;
 * TCP_NODELAY alone would send one packet per piece. */
enum outcome output_flush(struct client *c)
{
    struct output *out = c->out;
    while (out->sent < out->hold || out->rest.len > 0) {
        struct span held = { out->bytes + out->sent, out->hold - out->sent };
        struct iovec pieces[2] = {
            { span_bytes(held), held.len },
            { span_bytes(out->rest), out->rest.len },
        };
        bool more = out->hold < out->len || out->file_left > 0;
        ssize_t sent = output_send_pieces(c, pieces, 2, more ? MSG_MORE : 0);
        if (sent < 0)
            return GONE_RESET;
        if (sent == 0) {
            shrink(c);
            return SENT_SOME;
        }
        size_t taken = take(&held, (size_t)sent);
        out->sent += taken;
        take(&out->rest, (size_t)sent - taken);
    }
    if (out->hold < out->len)
        return SENT_ALL;
    enum outcome flushed = flush_file(c);
    if (flushed == SENT_ALL)
        output_free(c);
    return flushed;
}

/* ==== Files ================================================================================== */

/* The most that one client gets of its file per turn. A reader on a fast network could otherwise
 * keep the loop in sendfile(2) until the end of the file. */
enum { SENDFILE_BYTES = 64 << 10 };

/* Sends one bounded piece of the file that follows the head, without copying it to user space.
 * Returns SENT_SOME after a full piece: the socket is still writable, so level-triggered epoll
 * reports it again in the next turn, after the other clients.
 *
 * The price: if a file is not in the page cache, sendfile(2) waits for the disk, and every client
 * waits with it. sendfile(2) does not support MSG_NOSIGNAL; the process ignores SIGPIPE. */
static enum outcome flush_file(struct client *c)
{
    struct output *out = c->out;
    if (out->file_left == 0)
        return SENT_ALL;
    size_t want = out->file_left < SENDFILE_BYTES ? (size_t)out->file_left : SENDFILE_BYTES;
    ssize_t sent = sendfile(c->fd, out->file, NULL, want);
    if (sent == 0) /* the file became shorter: only closing can tell the client */
        return GONE_FILE_CUT;
    sent = note_sent(c, accepted(sent));
    if (sent < 0)
        return GONE_RESET;
    out->file_left -= (uint64_t)sent;
    return out->file_left == 0 ? SENT_ALL : SENT_SOME;
}

/* Copies the head and sends it with MSG_MORE, so that it shares a packet with the beginning of the
 * file. Takes ownership of `file`, even on failure. */
enum outcome output_file(struct client *c, struct span head, int file, uint64_t left)
{
    enum outcome outcome = keep(c, head, head.len, (struct span) { NULL, 0 });
    if (is_gone(outcome)) {
        close(file);
        return outcome;
    }
    c->out->file = file;
    c->out->file_left = left;
    return output_flush(c);
}

unsigned output_files_closed(void)
{
    return files_closed;
}

/* ==== Before a body ========================================================================== */

/* Tells the client to send the body (RFC 9110 10.1.1). All earlier answers are already in the
 * kernel; if these 25 bytes do not fit after them, the client has stopped reading, and keeping the
 * bytes for later is not worth a state. */
enum outcome output_continue(struct client *c)
{
    struct span line = SPAN("HTTP/1.1 100 Continue\r\n\r\n");
    ssize_t sent = output_send(c, line, 0);
    if (sent == (ssize_t)line.len)
        return SENT_ALL;
    return sent < 0 ? GONE_RESET : GONE_BLOCKED;
}
