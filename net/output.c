/* output.c - sending to sockets that may be full.
 *
 * What a client owns of an answer is only what the socket did not take: most often nothing. A
 * stream never has two unfinished pieces: what was begun (private bytes, a frame, a snapshot) is
 * finished before anything else is written, a heartbeat included. */

#include "net/output.h"

#include "net/limits.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned files_closed;

static enum outcome flush_file(struct client *c);

ssize_t output_send(struct client *c, struct iovec *pieces, int count, int flags)
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
    return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM ? 0 : -1;
}

/* Takes `n` bytes off the front. */
static size_t take(struct span *bytes, size_t n)
{
    if (n > bytes->len)
        n = bytes->len;
    if (n > 0) { /* what is empty may have no address */
        bytes->at += n;
        bytes->len -= n;
    }
    return n;
}

/* Keeps `bytes` to be sent later; those from `hold` on after the replay. */
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

enum outcome output_answer(struct client *c, struct span head, struct span body)
{
    struct iovec pieces[2] = { { span_bytes(head), head.len }, { span_bytes(body), body.len } };
    ssize_t sent = output_send(c, pieces, body.len > 0 ? 2 : 1, 0);
    if (sent < 0)
        return GONE_RESET;
    if ((size_t)sent == head.len + body.len)
        return SENT_ALL;
    take(&body, (size_t)sent - take(&head, (size_t)sent));
    return keep(c, head, head.len, body);
}

enum outcome output_stream(struct client *c, struct span bytes, size_t hold)
{
    ssize_t sent = 0;
    if (hold == bytes.len) { /* no replay: most often all goes at once, and nothing is kept */
        struct iovec piece = { span_bytes(bytes), bytes.len };
        sent = output_send(c, &piece, 1, 0);
        if (sent < 0)
            return GONE_RESET;
        if ((size_t)sent == bytes.len)
            return SENT_ALL;
    }
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

/* Sends the private bytes, up to the hold, then the rest and the file. When all is sent the output
 * is given back. */
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
        ssize_t sent = output_send(c, pieces, 2, more ? MSG_MORE : 0);
        if (sent <= 0)
            return sent < 0 ? GONE_RESET : SENT_SOME;
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

enum { SENDFILE_BYTES = 256 << 10 }; /* in one turn */

/* One bounded piece of the file behind the answer; other clients have their turn before the next
 * one. */
static enum outcome flush_file(struct client *c)
{
    struct output *out = c->out;
    off_t at = (off_t)out->file_at;
    if (out->file_left == 0)
        return SENT_ALL;
    size_t want = out->file_left < SENDFILE_BYTES ? (size_t)out->file_left : SENDFILE_BYTES;
    ssize_t sent = sendfile(c->fd, out->file, &at, want);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return SENT_SOME;
    if (sent <= 0)
        return sent == 0 ? GONE_FILE_CUT : GONE_RESET;
    out->file_at = (uint64_t)at;
    out->file_left -= (uint64_t)sent;
    return out->file_left == 0 ? SENT_ALL : SENT_SOME;
}

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
