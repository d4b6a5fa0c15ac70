/* tool.h - shared by the test tools: child servers, connections, answers, time, random numbers.
 *
 * A tool that cannot continue prints the reason on standard error, kills its server and exits with
 * 1. Every wait has a limit, so that a test fails instead of hanging. Sockets block, because a tool
 * that waits for an answer has nothing else to do; a tool with many connections has its own epoll
 * loop. Each tool is one .c file that includes this header, so its functions are static inline. */

#ifndef TOOL_H
#define TOOL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    TOOL_ANSWER_SECONDS = 20, /* the longest wait for a byte */
    TOOL_START_MS = 30000,    /* the longest wait for a server to start, or to end */
};

static volatile pid_t tool_server; /* the child that `fail` kills */

/* Prints one sentence, kills the server and exits. Threads and forked workers can call it: it ends
 * only the calling process and its server. */
__attribute__((noreturn, format(printf, 1, 2))) static inline void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    fflush(NULL);
    if (tool_server > 0)
        kill(tool_server, SIGKILL);
    _exit(1);
}

/* ---- Time and chance ---- */

static inline int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static inline void sleep_us(int64_t us)
{
    struct timespec time = { .tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000 * 1000) };
    nanosleep(&time, NULL);
}

/* Returns the next number of splitmix64. The same state gives the same numbers, so a seed repeats a
 * run's decisions. */
static inline uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* Returns a random number from 0 to limit - 1. */
static inline unsigned below(uint64_t *state, unsigned limit)
{
    return (unsigned)(next_random(state) % limit);
}

/* ---- A server as a child ---- */

/* Finds a free port below the range for outgoing connections, so that none of those takes it while
 * the server is down. The port stays the same over all restarts, so that clients can reconnect. */
static inline int find_port(uint64_t *random)
{
    /* SO_REUSEADDR, as in the server: connections in TIME_WAIT do not make a port busy. */
    for (int tries = 0; tries < 1000; tries++) {
        struct sockaddr_in address = { .sin_family = AF_INET };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
        int port = 10000 + (int)below(random, 20000);
        address.sin_port = htons((uint16_t)port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        bool is_free = bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
        close(fd);
        if (is_free)
            return port;
    }
    fail("no port is free");
}

/* Starts a program with `log` as its standard error. PR_SET_PDEATHSIG kills the program when the
 * thread that started it ends, so that a killed tool leaves no server running. */
static inline pid_t spawn(const char *const *argv, int log)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        fail("fork: %s", strerror(errno));
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
        execv(argv[0], (char **)(uintptr_t)argv);
        _exit(127);
    }
    tool_server = pid;
    return pid;
}

/* Reads a server's standard error into `text` until it names the port. Returns the port, or 0 if
 * the server ends, does not listen in time, or writes more than fits into `text`. */
static inline int await_listening(int log, char *text, size_t size)
{
    size_t len = 0;
    int64_t end_us = now_us() + 1000 * (int64_t)TOOL_START_MS;
    for (;;) {
        struct pollfd ready = { .fd = log, .events = POLLIN };
        if (len + 1 >= size || poll(&ready, 1, (int)((end_us - now_us()) / 1000) + 1) <= 0)
            return 0;
        ssize_t n = read(log, text + len, size - len - 1);
        if (n <= 0)
            return 0;
        len += (size_t)n;
        text[len] = '\0';
        const char *line = strstr(text, "listening on http://127.0.0.1:");
        if (line != NULL && strchr(line, '\n') != NULL)
            return atoi(line + strlen("listening on http://127.0.0.1:"));
    }
}

/* Ends the child with a signal, and returns its status from waitpid. */
static inline int end_child(pid_t pid, int signal)
{
    int status;
    tool_server = 0;
    kill(pid, signal);
    for (int64_t end_us = now_us() + 1000 * (int64_t)TOOL_START_MS; now_us() < end_us;) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
        sleep_us(200);
    }
    kill(pid, SIGKILL);
    fail("the server did not end within %d seconds of the signal", TOOL_START_MS / 1000);
}

/* Counts the lines of a server's log that contain the text; 0 if there is no log. */
static inline unsigned count_lines(const char *path, const char *text)
{
    FILE *log = fopen(path, "re");
    char line[4096];
    unsigned count = 0;
    while (log != NULL && fgets(line, sizeof line, log) != NULL)
        count += strstr(line, text) != NULL;
    if (log != NULL)
        fclose(log);
    return count;
}

/* ---- Connections ---- */

/* Opens a blocking connection to 127.0.0.1 with a limit on every wait. Returns -1 if nothing
 * listens on the port. */
static inline int connect_to(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    struct timeval limit = { .tv_sec = TOOL_ANSWER_SECONDS };
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Sends all bytes. Returns false if the peer closes the connection or reads nothing in time. */
static inline bool send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* An answer with Content-Length. The next answer reuses the memory. */
struct reply {
    int status;
    char *body; /* followed by a NUL */
    size_t len;
    bool close; /* the server closes the connection */
    char *bytes;
    size_t capacity;
};

/* Reads more bytes after the first `have`. Returns the result of recv. */
static inline ssize_t reply_more(struct reply *r, int fd, size_t have)
{
    if (have + 4096 > r->capacity) {
        r->capacity = 2 * r->capacity + 8192;
        r->bytes = realloc(r->bytes, r->capacity);
        if (r->bytes == NULL)
            fail("out of memory");
    }
    ssize_t n = recv(fd, r->bytes + have, r->capacity - have - 1, 0);
    if (n < 0 && errno == EAGAIN)
        fail("no answer within %d seconds", TOOL_ANSWER_SECONDS);
    if (n > 0)
        r->bytes[have + (size_t)n] = '\0';
    return n;
}

/* Reads one answer. Returns false if the connection ends before the answer is complete. Bytes after
 * the answer are an error, because no tool that calls this pipelines. */
static inline bool read_reply(int fd, struct reply *r)
{
    size_t have = 0, head = 0;
    for (char *end = NULL; end == NULL;) {
        ssize_t n = reply_more(r, fd, have);
        if (n <= 0)
            return false;
        have += (size_t)n;
        end = strstr(r->bytes, "\r\n\r\n");
        head = end != NULL ? (size_t)(end + 4 - r->bytes) : 0;
    }
    const char *length = strcasestr(r->bytes, "\r\nContent-Length: ");
    if (length == NULL || length > r->bytes + head || strncmp(r->bytes, "HTTP/1.1 ", 9) != 0)
        fail("expected the head of an answer with Content-Length, got: %.*s", (int)head, r->bytes);
    r->len = strtoul(length + 18, NULL, 10);
    r->status = atoi(r->bytes + 9);
    const char *close = strcasestr(r->bytes, "\r\nConnection: close\r\n");
    r->close = close != NULL && close < r->bytes + head;
    while (have < head + r->len) {
        ssize_t n = reply_more(r, fd, have);
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    if (have > head + r->len)
        fail("got bytes after an answer: %s", r->bytes + head + r->len);
    r->body = r->bytes + head;
    return true;
}

/* Sends a GET over its own connection. Returns the status, or 0 if no complete answer arrives. */
static inline int get(int port, const char *path, struct reply *r)
{
    char request[1024];
    int fd = connect_to(port);
    int len = snprintf(request, sizeof request,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", path);
    r->status = 0;
    if (fd >= 0 && (!send_all(fd, request, (size_t)len) || !read_reply(fd, r)))
        r->status = 0;
    if (fd >= 0)
        close(fd);
    return r->status;
}

/* ---- Values ---- */

struct id {
    uint64_t ms, seq;
};

static inline bool parse_id(const char *text, struct id *id)
{
    unsigned long long ms, seq;
    int len = 0;
    if (sscanf(text, "%llu-%llu%n", &ms, &seq, &len) != 2 || len == 0)
        return false;
    *id = (struct id) { ms, seq };
    return true;
}

/* Returns a number below, equal to or above 0 if a is older than, the same as or newer than b. */
static inline int compare_ids(struct id a, struct id b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;
    return (a.seq > b.seq) - (a.seq < b.seq);
}

/* Copies the text of a JSON string without escapes, from the end of `before` to the next quote.
 * Returns false if `before` is missing or the text does not fit. A JSON parser is not needed,
 * because the tools know what they look for. */
static inline bool text_after(const char *json, const char *before, char *out, size_t size)
{
    const char *at = strstr(json, before);
    if (at == NULL)
        return false;
    at += strlen(before);
    size_t len = strcspn(at, "\"");
    if (len >= size)
        return false;
    memcpy(out, at, len);
    out[len] = '\0';
    return true;
}

#endif
