/* floor.c - the price of the kernel: the least that an event server can do.
 *
 *     floor HEAD_BYTES MESSAGE_BYTES ANSWER_BYTES
 *
 * A bare epoll loop over the same sockets with the same options. A GET turns its connection into a
 * stream and gets HEAD_BYTES; a POST gets an answer of ANSWER_BYTES, and its message is sent to
 * every stream as MESSAGE_BYTES, with one send() per stream; a POST to /quiet is sent to no stream.
 * The sizes are those of the server that it is compared with. The floor parses, checks and keeps
 * nothing, and cannot fail gracefully. It is not a server: it only makes the system calls that
 * every server needs.
 *
 * A ratio to the floor shows what a server adds, on any machine. The floor is not a lower bound for
 * several messages at a time: it sends each separately, but ssechat sends all together.
 *
 * Like ssechat, it prints its address on standard error. */

#include "../tools/tool.h"

#include <sys/epoll.h>
#include <sys/resource.h>

enum {
    FDS_MAX = 1 << 20,
    EVENTS_PER_TURN = 256,
    TEXT_MAX_BYTES = 65536,
    NUMBER_BYTES = 9, /* '~' and eight digits: see load.c */
};

static char head[TEXT_MAX_BYTES], message[TEXT_MAX_BYTES], answer[TEXT_MAX_BYTES];
static size_t head_bytes, message_bytes, answer_bytes;
static int streams[FDS_MAX];
static unsigned count;

/* Returns a size from the command line, within the bounds that fill_texts needs. */
static size_t size_of(const char *argument)
{
    size_t bytes = strtoul(argument, NULL, 10);
    if (bytes < 128 || bytes >= TEXT_MAX_BYTES)
        return bytes < 128 ? 128 : TEXT_MAX_BYTES - 1;
    return bytes;
}

/* Writes valid HTTP of exactly the given sizes, padded with dots. */
static void fill_texts(void)
{
    static const char begin[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                "Transfer-Encoding: chunked\r\nX-Filler: ";
    static const char ready[] = "\r\n\r\n00000011\r\nevent: ready\ndata:\n\r\n";
    memset(head, '.', sizeof head);
    memset(message, '.', sizeof message);
    memset(answer, '.', sizeof answer);
    memcpy(head, begin, sizeof begin - 1);
    memcpy(head + head_bytes - (sizeof ready - 1), ready, sizeof ready - 1);
    int lead = snprintf(message, sizeof message, "%08zx\r\ndata: ", message_bytes - 12);
    message[lead] = '.';
    memcpy(message + message_bytes - 4, "\n\n\r\n", 4);
    int len = snprintf(answer, sizeof answer,
        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %03zu\r\n\r\n",
        (size_t)100);
    size_t body = answer_bytes - (size_t)len;
    len = snprintf(answer, sizeof answer,
        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %03zu\r\n\r\n",
        body);
    answer[len] = '.';
}

/* Puts the number of the message (see load.c) into the text and sends the text to each stream. A
 * stream that does not take all of it ends the run, because the floor has no cursors. */
static void broadcast(const char *request, size_t len)
{
    const char *number = memchr(request, '~', len);
    if (number != NULL && (size_t)(number - request) + NUMBER_BYTES <= len)
        memcpy(message + 32, number, NUMBER_BYTES);
    for (unsigned i = 0; i < count; i++)
        if (send(streams[i], message, message_bytes, MSG_NOSIGNAL | MSG_DONTWAIT) !=
            (ssize_t)message_bytes)
            fail("a stream did not take its whole message: %s", strerror(errno));
}

/* Reads a request, whose first letters identify its kind. load.c sends it in one piece. */
static void read_request(int epoll, int fd)
{
    char request[16384];
    ssize_t n = recv(fd, request, sizeof request, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
        close(fd);
        return;
    }
    if (request[0] == 'G') {
        send(fd, head, head_bytes, MSG_NOSIGNAL);
        streams[count++] = fd;
        return;
    }
    if (memcmp(request, "POST /q", 7) != 0)
        broadcast(request, (size_t)n);
    send(fd, answer, answer_bytes, MSG_NOSIGNAL);
}

static void accept_all(int epoll, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4)
        fail("usage: floor HEAD_BYTES MESSAGE_BYTES ANSWER_BYTES");
    head_bytes = size_of(argv[1]);
    message_bytes = size_of(argv[2]);
    answer_bytes = size_of(argv[3]);
    fill_texts();
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int on = 1, low = 16384, timeout = 60000, idle = 60,
        listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t len = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* The options that net/listen.c sets, because they cost time; accepted sockets inherit them. */
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, sizeof low);
    setsockopt(listener, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
    setsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    if (bind(listener, (struct sockaddr *)&address, len) < 0 || listen(listener, 4096) < 0)
        fail("listen: %s", strerror(errno));
    getsockname(listener, (struct sockaddr *)&address, &len);
    fprintf(stderr, "listening on http://127.0.0.1:%d\n", ntohs(address.sin_port));
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS_PER_TURN], event = { .events = EPOLLIN, .data.fd = listener };
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS_PER_TURN, -1);
        for (int i = 0; i < ready; i++)
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                read_request(epoll, events[i].data.fd);
    }
}
