/* starve.c - makes a server run out of memory at every place where it can.
 *
 *     starve --server PATH --folder DIR [--part memory|journal|keys] [--from N] [--step N]
 *     starve --server PATH --folder DIR [--part ...] --every K
 *
 * The server is the special build with faults.c, whose allocations fail on demand. The first form
 * starts it again and again: in the Nth run the Nth allocation fails, and N grows until a run makes
 * fewer than N allocations. So every allocation that the clients can cause fails once, which random
 * failures do not ensure. In each run the clients do the same mix of work, and the following must
 * hold:
 *
 *   - a server that fails to start prints one sentence and exits with 1;
 *   - after startup a failure affects at most one client, which gets a 503 or a `busy`, or loses
 *     its connection; every other client gets exactly what it should;
 *   - an acknowledged message is delivered and can be read back, or a gap is reported; if
 *     there is a journal, the message is in it;
 *   - at the end no descriptor is left open, SIGTERM ends the server with exit code 0, and no
 *     sanitizer reports anything.
 *
 * In the second form every Kth allocation fails while the clients repeat the same work a few times;
 * then no allocation fails. During the failures any client may be hurt, but the server must not
 * end, hang or spin. When memory is available again, everything must work.
 *
 * Several runs execute in parallel. A failure is reported with the number of its run; `--from N`
 * begins with that run. Allocations inside libc never fail, and in the first form only one
 * allocation per run does. */

#include "tool.h"

#include <dirent.h>
#include <getopt.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* What the clients do. Three short parts cost less than one long part, because a part runs once for
 * each of its allocations, so its cost grows with the square of its length. */
enum part { MEMORY, JOURNAL, KEYS, PARTS };

enum {
    JOBS = 3, /* parallel workers, which mostly wait */
    ANSWER_MAX = 1 << 20,
    REQUEST_MAX = 65536,
    STREAMS_MAX = 4,
    KEPT_MAX = 256, /* acknowledged messages in one run */
    ROUNDS = 4,     /* repetitions in the second form */
    FILLERS = 11,   /* posts of FILLER_BYTES: enough for a compaction */
    FILLER_BYTES = 7500,
    LARGE_BYTES = 54000,
    KEY_BEFORE = 2,    /* key of a message in the initial journal */
    IDLE_US = 1300000, /* time without a request: enough for a heartbeat and presence */
};

static const char *const part_names[] = { "memory", "journal", "keys" };

/* An event stream and everything that it has received. */
struct stream {
    int fd; /* -1 if it was hurt or closed */
    size_t len;
    char text[ANSWER_MAX];
};

/* An acknowledged message. */
struct kept {
    char room[8], id[48];
};

static const char *server;
static char folder[3000];                       /* this worker's folder */
static char journal_path[4000], log_path[4000]; /* in `folder` */
static char start_journal[4000];                /* each run begins with a copy of it */
static enum part part;
static unsigned long run, every;
static bool loose;                  /* any client may be hurt */
static unsigned hurt_count, serial; /* clients hurt in this run; the last idempotency key */
static char hurt_by[256], reader_token[2048], writer_token[2048];
static int port, metrics_port;
static pid_t pid;
static struct stream streams[STREAMS_MAX];
static struct kept kept[KEPT_MAX], from_before;
static unsigned kept_count;
static struct {
    unsigned long allocations, runs, starts, hurt, gaps;
} * sums; /* totals of all workers, in shared memory; not atomic, because they are only printed */
static char answer[ANSWER_MAX];
static size_t answer_len;

/* ==== Failures =============================================================================== */

/* Reads a file as a string, truncated to `size`; empty if that fails. Returns its length. */
static size_t read_whole(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 0;
    size_t len = 0;
    while (fd >= 0 && len < size - 1 && (n = read(fd, out + len, size - 1 - len)) > 0)
        len += (size_t)n;
    if (fd >= 0)
        close(fd);
    out[len] = '\0';
    return len;
}

/* Prints the number of the run, the error and the server's log, and ends the worker. */
__attribute__((noreturn, format(printf, 1, 2))) static void broken(const char *format, ...)
{
    static char what[8192], log[65536];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (tool_server > 0) {
        kill(tool_server, SIGKILL);
        waitpid(tool_server, NULL, 0);
        tool_server = 0;
    }
    read_whole(log_path, log, sizeof log);
    fail("%s, %s %lu: %s\n%s", part_names[part], every > 0 ? "every" : "run",
        every > 0 ? every : run, what, log);
}

/* Notes that a client did not get what it asked for. A failed allocation excuses one client. */
static void hurt(const char *what)
{
    if (loose)
        return;
    if (hurt_count++ > 0)
        broken("only one client may be hurt, but two are: %s, and %s", hurt_by, what);
    if (run == 0 || every > 0)
        broken("a client is hurt although no allocation fails: %s", what);
    snprintf(hurt_by, sizeof hurt_by, "%s", what);
}

/* ==== Requests =============================================================================== */

static int connect_or_break(void)
{
    int fd = connect_to(port);
    if (fd < 0)
        broken("connect: %s", strerror(errno));
    return fd;
}

/* Reads into `answer` until the server closes the connection. */
static void read_to_end(int fd)
{
    ssize_t n;
    answer_len = 0;
    while ((n = recv(fd, answer + answer_len, ANSWER_MAX - 1 - answer_len, 0)) > 0)
        answer_len += (size_t)n;
    if (n < 0 && errno == EAGAIN)
        broken("no answer within %d seconds", TOOL_ANSWER_SECONDS);
    answer[answer_len] = '\0';
}

/* Returns the status of the answer in `answer`, or 0 if the answer is incomplete. */
static int status_of_answer(bool head)
{
    const char *end = strstr(answer, "\r\n\r\n"), *length = strstr(answer, "\r\nContent-Length: ");
    if (end == NULL)
        return 0;
    if (strncmp(answer, "HTTP/1.1 ", 9) != 0)
        broken("expected an HTTP answer, got: %.200s", answer);
    size_t have = answer_len - (size_t)(end + 4 - answer);
    /* The answer to a HEAD has a length but no body. */
    if (!head && length != NULL && length < end && have < strtoul(length + 18, NULL, 10))
        return 0;
    return atoi(answer + 9);
}

/* Sends a request over its own connection and reads the answer. Returns its status, or 0 if no
 * complete answer arrives. The request must make the server close the connection. */
__attribute__((format(printf, 1, 2))) static int exchange(const char *format, ...)
{
    static char request[REQUEST_MAX];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(request, sizeof request, format, args);
    va_end(args);
    int fd = connect_or_break();
    if (len < 0 || (size_t)len >= sizeof request)
        broken("a request of the tool is too long");
    send_all(fd, request, (size_t)len); /* the answer shows whether this failed */
    read_to_end(fd);
    close(fd);
    return status_of_answer(strncmp(request, "HEAD ", 5) == 0);
}

/* Returns whether the status is the wanted one. A 503, or a connection closed without an answer,
 * counts as hurt; any other status is a failure. */
static bool is(int status, int wanted, const char *what)
{
    if (status == wanted)
        return true;
    if (status != 0 && status != 503)
        broken("%s: expected status %d, got %d: %.1000s", what, wanted, status, answer);
    hurt(what);
    return false;
}

#define END "Host: h\r\nConnection: close\r\n\r\n"

/* Returns fields with a token and the address of a client behind a proxy; empty outside KEYS. */
static const char *authorization(bool writes)
{
    static char line[3000];
    if (part != KEYS)
        return "";
    snprintf(line, sizeof line, "Authorization: Bearer %s\r\nX-Forwarded-For: 192.0.2.%u\r\n",
        writes ? writer_token : reader_token, serial % 250);
    return line;
}

/* Requests a path, and returns whether the status is the wanted one. */
static bool gets(const char *target, int wanted)
{
    return is(exchange("GET %s HTTP/1.1\r\n%s" END, target, authorization(false)), wanted, target);
}

/* Remembers the receipt in `answer`, whose message must be readable later. Returns its id. */
static const char *keep(const char *room)
{
    struct kept *k = &kept[kept_count++];
    if (kept_count == KEPT_MAX)
        broken("a run has more than %d messages", KEPT_MAX);
    snprintf(k->room, sizeof k->room, "%s", room);
    if (!text_after(answer, "{\"id\":\"", k->id, sizeof k->id))
        broken("expected a receipt, got: %.1000s", answer);
    return k->id;
}

/* Publishes a JSON body with a key. Returns the id, or NULL if the client was hurt or refused. */
static const char *posts(const char *room, const char *body, unsigned key, int wanted)
{
    int status = exchange("POST /messages HTTP/1.1\r\n%sContent-Type: application/json\r\n"
                          "Idempotency-Key: key-%u\r\nContent-Length: %zu\r\n" END "%s",
        authorization(true), key, strlen(body), body);
    return is(status, wanted, "a POST") && wanted < 400 ? keep(room) : NULL;
}

/* ==== Streams ================================================================================ */

/* Reads until the text has arrived. Returns false if the stream was closed, which counts as hurt. A
 * timeout is a failure, because the server must not forget a stream that stays open. */
static bool hears(struct stream *s, const char *text)
{
    int64_t end_us = now_us() + TOOL_ANSWER_SECONDS * INT64_C(1000000);
    while (s->fd >= 0 && memmem(s->text, s->len, text, strlen(text)) == NULL) {
        ssize_t n = recv(s->fd, s->text + s->len, ANSWER_MAX - s->len, 0);
        if (now_us() > end_us || (n < 0 && errno == EAGAIN)) /* heartbeats prevent EAGAIN */
            broken("a stream did not get \"%.100s\" in time; it got: %.*s", text, (int)s->len,
                s->text);
        s->len += n > 0 ? (size_t)n : 0;
        if (n > 0)
            continue;
        close(s->fd);
        s->fd = -1;
        hurt(text);
    }
    return s->fd >= 0;
}

/* Opens a stream and waits for its `ready`. A `busy` counts as hurt. */
static struct stream *opens(unsigned number, const char *target, const char *version)
{
    struct stream *s = &streams[number];
    char request[4096];
    int len = snprintf(request, sizeof request, "GET %s HTTP/%s\r\nHost: h\r\n%s\r\n", target,
        version, authorization(false));
    s->len = 0;
    s->fd = connect_or_break();
    send_all(s->fd, request, (size_t)len);
    /* Waits for any event first, because a wait for `ready` would not notice a `busy`. */
    while (s->fd >= 0 && memmem(s->text, s->len, "event: ready\n", 13) == NULL) {
        if (memmem(s->text, s->len, "event: busy\n", 12) != NULL) {
            close(s->fd);
            s->fd = -1;
            hurt("a stream is refused");
        } else {
            hears(s, "event: ");
            if (s->fd >= 0 && memmem(s->text, s->len, "event: busy\n", 12) == NULL)
                hears(s, "event: ready\n");
        }
    }
    return s;
}

static void closes(struct stream *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* Waits until a published message has reached both streams, unless they are closed. */
static void heard(const char *id)
{
    char line[64];
    if (id == NULL)
        return;
    snprintf(line, sizeof line, "id: %s\n", id);
    for (unsigned i = 0; i < 2; i++)
        if (streams[i].fd >= 0)
            hears(&streams[i], line);
}

/* ==== What the clients do ==================================================================== */

/* Reads one message back: a reader that resumes from just before it must get the message or a gap.
 * Returns whether the message is there. Tries twice, because the first GET may be hurt. */
static bool is_there(const struct kept *k)
{
    struct id id;
    char wanted[128];
    if (!parse_id(k->id, &id))
        broken("expected an id, got: %s", k->id);
    snprintf(wanted, sizeof wanted, "{\"messages\":[{\"id\":\"%s\"", k->id);
    for (int tries = 0; tries < 2; tries++) {
        int status = exchange("GET /messages?room=%s&after=%llu-%llu&limit=1 HTTP/1.1\r\n%s" END,
            k->room, (unsigned long long)(id.seq > 0 ? id.ms : id.ms - 1),
            (unsigned long long)(id.seq > 0 ? id.seq - 1 : UINT64_MAX), authorization(false));
        if (!is(status, 200, "reading back"))
            continue;
        if (strstr(answer, wanted) != NULL)
            return true;
        if (strstr(answer, "\"gap\":true") == NULL)
            broken("message %s of room %s was acknowledged, but neither the message nor a gap is "
                   "there",
                k->id, k->room);
        sums->gaps++;
        return false;
    }
    return false;
}

/* Reads back all messages that were acknowledged in this run. */
static void read_back(void)
{
    for (unsigned i = 0; i < kept_count; i++)
        is_there(&kept[i]);
}

/* Requests the metrics: all of them, or none. */
static void ask_for_metrics(void)
{
    int chat = port;
    port = metrics_port;
    if (gets("/metrics", 200) && strstr(answer, "\nprocess_max_fds ") == NULL)
        broken("the metrics are cut off: %.1000s", answer);
    port = chat;
}

/* Requests page files and a preflight, and sends invalid heads. None of them needs the hub. */
static void ask_for_pages(void)
{
    ask_for_metrics();
    gets("/", 200);
    is(exchange("GET /style.css HTTP/1.1\r\nAccept-Encoding: gzip\r\n" END), 200, "gzip");
    is(exchange("HEAD /style.css HTTP/1.1\r\n" END), 200, "HEAD");
    is(exchange("GET /style.css HTTP/1.1\r\nIf-None-Match: *\r\n" END), 304, "a style");
    is(exchange("OPTIONS /messages HTTP/1.1\r\nOrigin: https://a.example\r\n"
                "Access-Control-Request-Method: POST\r\n" END),
        204, "a preflight");
    gets("/nothing", 404);
    is(exchange("GET / HTTP/9.9\r\n\r\n"), 505, "a bad version");
    is(exchange("GET / HTTP/1.1\r\n\r\n"), 400, "no Host");
    gets("/healthz", 200);
}

/* Posts a message of each kind, a repeated key, a conflict, a chunked body and an invalid body. */
static void post_all_kinds(void)
{
    static char large[12000];
    int status;
    unsigned key = ++serial;
    /* A chat message; the same POST again; another message with the same key. */
    const char *id =
        posts("a", "{\"room\":\"a\",\"message\":\"hello\",\"name\":\"ann\"}", key, 201);
    char first[64];
    heard(id);
    if (id != NULL) {
        snprintf(first, sizeof first, "%s", id);
        id = posts("a", "{\"room\":\"a\",\"message\":\"hello\",\"name\":\"ann\"}", key, 200);
        if (id != NULL && strcmp(id, first) != 0)
            broken("the repeated POST: expected id %s, got %s", first, id);
        posts("a", "{\"room\":\"a\",\"message\":\"differs\"}", key, 422);
    }
    status = exchange("POST /messages HTTP/1.1\r\nContent-Type: application/json\r\n"
                      "Transfer-Encoding: chunked\r\n" END
                      "9\r\n{\"room\":\"\r\n10\r\nb\",\"data\":[1, 2]\r\n1\r\n}\r\n0\r\n\r\n");
    heard(is(status, 201, "a POST in chunks") ? keep("b") : NULL);
    status =
        exchange("POST /messages?room=c&name=bob&event=file HTTP/1.1\r\n"
                 "Content-Type: application/octet-stream\r\nContent-Length: 9\r\n" END "some data");
    if (is(status, 201, "a POST of bytes"))
        heard(keep("c"));
    /* A text larger than the first buffer of a connection. */
    memset(large, 'x', sizeof large);
    memcpy(large, "{\"room\":\"b\",\"data\":\"", 20);
    memcpy(large + sizeof large - 3, "\"}", 3);
    heard(posts("b", large, ++serial, 201));
    is(exchange("POST /messages HTTP/1.1\r\nContent-Type: application/json\r\n"
                "Content-Length: 11\r\n" END "{\"message\":"),
        400, "half a JSON document");
}

/* Posts a body larger than the scratch memory that the hub keeps between two turns, and requests a
 * page that contains it. An answer that runs out of memory halfway must not look complete. */
static void post_many_bytes(void)
{
    static char bytes[LARGE_BYTES + 1], base64[LARGE_BYTES / 3 * 4 + 1];
    memset(bytes, 'y', LARGE_BYTES);
    for (size_t i = 0; i < sizeof base64 - 1; i++)
        base64[i] = "eXl5"[i % 4];
    int status = exchange("POST /messages?room=d HTTP/1.1\r\nContent-Type: "
                          "application/octet-stream\r\nContent-Length: %d\r\n" END "%s",
        LARGE_BYTES, bytes);
    if (!is(status, 201, "a POST of many bytes"))
        return;
    const char *id = keep("d");
    if (gets("/messages?room=d&limit=1", 200) && strstr(answer, id) != NULL &&
        strstr(answer, base64) == NULL)
        broken("a page contains the message's id but not all of its bytes");
}

/* Starts a long poll, and posts the message that ends it. */
static void poll_for_one(void)
{
    char request[256];
    const char *last = kept_count > 0 ? kept[kept_count - 1].id : "0-0";
    int fd = connect_or_break();
    int len = snprintf(request, sizeof request,
        "GET /messages?room=polled&after=%s&wait=10 HTTP/1.1\r\n" END, last);
    send_all(fd, request, (size_t)len);
    const char *id =
        posts("polled", "{\"room\":\"polled\",\"message\":\"wake up\"}", ++serial, 201);
    if (id == NULL) { /* nothing to wait for */
        close(fd);
        return;
    }
    read_to_end(fd);
    close(fd);
    is(status_of_answer(false), 200, "a long poll");
}

/* Closes connections in the middle of a head, a body and a long poll. They get no answer, so the
 * only check is that the server continues. */
static void leave_in_the_middle(void)
{
    static const char *const halves[] = { "GET /he",
        "POST /messages HTTP/1.1\r\nHost: h\r\n"
        "Content-Length: 9\r\n"
        "Content-Type: application/json\r\n\r\n{",
        "GET /messages?wait=60 HTTP/1.1\r\nHost: h\r\n\r\n" };
    for (size_t i = 0; i < sizeof halves / sizeof halves[0]; i++) {
        int fd = connect_or_break();
        send_all(fd, halves[i], strlen(halves[i]));
        close(fd);
    }
}

/* Plays MEMORY: pages, streams in several rooms with and without chunks, messages, history, long
 * polls, resuming. */
static void play_memory(void)
{
    ask_for_pages();
    /* Two streams in the same rooms, in a different order, with chunks and without. */
    hears(opens(0, "/events?room=a,b,c&name=ann&history=20", "1.1"), "\"ann\"");
    hears(opens(1, "/events?room=a&room=c&room=b&name=bob", "1.0"), "\"bob\"");
    post_all_kinds();
    post_many_bytes();
    gets("/messages?room=a&limit=2", 200);
    gets("/messages?room=b&after=0-0", 200);
    gets("/messages?room=b&before=9000000000000-0&limit=1", 200);
    gets("/rooms", 200);
    poll_for_one();
    /* Resume from a message, from before the start, and from an invalid id. */
    if (kept_count > 0) {
        char target[256];
        snprintf(
            target, sizeof target, "/events?room=b,c,a&last_event_id=%s&name=late", kept[0].id);
        closes(opens(2, target, "1.1"));
        closes(opens(2, "/events?room=b&last_event_id=1000-0", "1.0"));
        closes(opens(2, "/events?history=1&room=c,d&last_event_id=what", "1.1"));
    }
    leave_in_the_middle();
    /* Two pipelined requests; only the first answer is checked. */
    is(exchange("GET /rooms HTTP/1.1\r\nHost: h\r\n\r\nGET /healthz HTTP/1.1\r\n" END), 200,
        "two at once");
}

/* Returns whether the server's log contains the text by now. */
static bool log_has(const char *text)
{
    static char log[65536];
    read_whole(log_path, log, sizeof log);
    return strstr(log, text) != NULL;
}

/* Checks that a key in the journal is remembered while its message is held. */
static void repeat_from_before(void)
{
    const char *body = "{\"room\":\"b\",\"data\":{\"from\":\"before\"}}";
    if (is_there(&from_before))
        posts("b", body, KEY_BEFORE, 200);
}

/* Plays JOURNAL: a restored room, files, and enough messages for a compaction. */
static void play_journal(void)
{
    static char filler[FILLER_BYTES];
    bool there = is_there(&from_before);
    struct stream *s = opens(0, "/events?room=a,b&history=500&name=ann", "1.1");
    if (there)
        hears(s, "{\"from\":\"before\"}");
    gets("/file.txt", 200);
    gets("/folder/", 200);
    gets("/nothing", 404);
    heard(posts("b", "{\"room\":\"b\",\"message\":\"hello\"}", ++serial, 201));
    repeat_from_before();
    memset(filler, 'x', sizeof filler);
    memcpy(filler, "{\"room\":\"a\",\"data\":\"", 20);
    memcpy(filler + sizeof filler - 3, "\"}", 3);
    kept_count = kept_count > 100 ? 0 : kept_count; /* --every plays several times */
    filler[9] = 'b'; /* the first large message, which makes the journal allocate, must stay held */
    heard(posts("b", filler, ++serial, 201));
    filler[9] = 'a';
    for (int i = 0; i < FILLERS; i++)
        posts("a", filler, ++serial, 201);
    for (int64_t end_us = now_us() + 2000000; !loose && !log_has("compacted=");) {
        if (now_us() > end_us)
            broken("the journal was not compacted within 2 seconds");
        sleep_us(1000);
    }
    heard(posts("b", "{\"room\":\"b\",\"message\":\"goodbye\"}", ++serial, 201));
    gets("/messages?room=a&limit=500", 200);
}

/* Plays KEYS: tokens in each of their three places, refusals, and addresses behind a proxy. */
static void play_keys(void)
{
    char target[3000];
    opens(0, "/events?room=a,b&name=mallory", "1.1");
    is(exchange("GET /rooms HTTP/1.1\r\n" END), 401, "no token");
    is(exchange("GET /rooms HTTP/1.1\r\nAuthorization: Bearer x.y.z\r\n" END), 401, "no token");
    is(exchange("GET /events?room=z&access_token=%s HTTP/1.1\r\n" END, reader_token), 403,
        "another room");
    is(exchange("GET /rooms HTTP/1.1\r\nCookie: a=b; ssechat=%s\r\n" END, reader_token), 200,
        "a cookie");
    heard(posts("a", "{\"room\":\"a\",\"message\":\"hello\"}", ++serial, 201));
    heard(posts("b", "{\"room\":\"b\",\"message\":\"hello\"}", ++serial, 201));
    snprintf(target, sizeof target, "/events?room=b&history=9&access_token=%s", reader_token);
    closes(opens(1, target, "1.1"));
    gets("/rooms", 200);
    gets("/messages?room=a", 200);
}

static void play(void)
{
    static void (*const parts[])(void) = { play_memory, play_journal, play_keys };
    parts[part]();
    read_back();
}

/* Checks that a new stream gets a new message. No client may be hurt, except the one that the
 * failed allocation excuses. */
static void is_alive(void)
{
    heard(posts("a", "{\"room\":\"a\",\"message\":\"still here\"}", ++serial, 201));
    struct stream *s = opens(3, "/events?room=a", "1.1");
    const char *id = posts("a", "{\"room\":\"a\",\"message\":\"fresh\"}", ++serial, 201);
    char line[64];
    snprintf(line, sizeof line, "id: %s\n", id != NULL ? id : "");
    if (s->fd >= 0 && id != NULL)
        hears(s, line);
    heard(id);
    closes(s);
}

/* ==== One server ============================================================================= */

static void copy_file(const char *from, const char *to)
{
    static char bytes[ANSWER_MAX];
    size_t len = read_whole(from, bytes, sizeof bytes);
    int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
        fail("%s: %s", to, strerror(errno));
    close(fd);
}

/* Counts the descriptors that the server has open. */
static unsigned descriptors(void)
{
    char path[64];
    unsigned count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *d = opendir(path);
    while (d != NULL && readdir(d) != NULL)
        count++;
    if (d == NULL)
        broken("the server has ended unexpectedly");
    closedir(d);
    return count;
}

/* Returns the server's CPU time in the kernel's ticks. */
static unsigned long long ticks(void)
{
    char path[64], line[1024];
    unsigned long long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    read_whole(path, line, sizeof line);
    const char *end = strrchr(line, ')');
    if (end == NULL || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                           &user, &system) != 2)
        broken("the server has ended unexpectedly");
    return user + system;
}

/* Starts the server for this part and run. Returns the descriptor of its log. */
static int start_server(void)
{
    char key[4000], www[4000], number[32];
    const char *arguments[32] = { server, "--listen", "127.0.0.1:0", "--max-streams-per-ip", "0",
        "--post-rate", "0", "--history", "256K", "--drain", "2", "--heartbeat", "1", "--cors",
        "https://a.example", "--metrics", "127.0.0.1:0" };
    unsigned count = 17;
    snprintf(key, sizeof key, "%s/../key", folder);
    snprintf(www, sizeof www, "%s/../www", folder);
    if (part == JOURNAL) {
        const char *more[] = { "--journal", journal_path, "--sync", "none", "--www", www,
            "--history", "16K" };
        memcpy(arguments + count, more, sizeof more);
    } else if (part == KEYS) {
        const char *more[] = { "--key", key, "--trust-proxy", "127.0.0.1", "--host", "h" };
        memcpy(arguments + count, more, sizeof more);
    }
    snprintf(number, sizeof number, "%lu", every > 0 ? every : run);
    setenv("FAIL_ALLOCATION", every > 0 ? "0" : number, 1);
    setenv("FAIL_ALLOCATION_EVERY", every > 0 ? number : "0", 1);
    int log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (log < 0)
        fail("%s: %s", log_path, strerror(errno));
    pid = spawn(arguments, log);
    return log;
}

/* Waits until the server listens. If it ends instead, sets `*status` and returns false. */
static bool await_start(int *status)
{
    static char log[65536];
    for (int64_t end_us = now_us() + 1000 * (int64_t)TOOL_START_MS; now_us() < end_us;) {
        bool ended = waitpid(pid, status, WNOHANG) == pid;
        read_whole(log_path, log, sizeof log);
        const char *line = strstr(log, "listening on http://127.0.0.1:");
        const char *metrics = strstr(log, "metrics on http://127.0.0.1:"); /* comes last */
        if (ended) {
            tool_server = 0;
            return false;
        }
        if (line != NULL && metrics != NULL && strchr(metrics, '\n') != NULL) {
            port = atoi(line + strlen("listening on http://127.0.0.1:"));
            metrics_port = atoi(metrics + strlen("metrics on http://127.0.0.1:"));
            return true;
        }
        sleep_us(300);
    }
    broken("the server neither listened nor ended in time");
}

/* Checks the server's log: no sanitizer report, no broken invariant, and one sentence if the start
 * failed but none otherwise. Returns how many allocations the server has made. */
static unsigned long check_log(bool started)
{
    static const char *const bad[] = { "ERROR: ", "Sanitizer", "runtime error", "Assertion",
        "assertion failed: " };
    static char log[65536];
    unsigned sentences = 0;
    read_whole(log_path, log, sizeof log);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (strstr(log, bad[i]) != NULL)
            broken("the server's log contains \"%s\"", bad[i]);
    /* A sentence for the operator begins with the program's name; a line of the log does not. */
    for (const char *at = log; (at = strstr(at, "ssechat: ")) != NULL; at++)
        sentences++;
    if (sentences != (started ? 0 : 1))
        broken("expected %u sentences in the server's log, got %u", started ? 0u : 1u, sentences);
    const char *line = strstr(log, "allocations=");
    if (line == NULL)
        broken("the server did not print the number of its allocations");
    return strtoul(line + 12, NULL, 10);
}

/* Checks that the journal contains the acknowledged messages of room `b`, which is never full. */
static void check_journal(void)
{
    static char journal[ANSWER_MAX];
    char line[64];
    read_whole(journal_path, journal, sizeof journal);
    for (unsigned i = 0; i < kept_count; i++) {
        snprintf(line, sizeof line, "\nid: %s\n", kept[i].id);
        if (strcmp(kept[i].room, "b") == 0 && strstr(journal, line) == NULL)
            broken("message %s was acknowledged but is not in the journal", kept[i].id);
    }
}

/* Waits until the server has closed the connections that clients left, sends SIGTERM, and expects a
 * `retry:` on the open stream and exit code 0. */
static void end_server(unsigned before)
{
    closes(&streams[1]);
    unsigned own = streams[0].fd >= 0; /* the one stream that stays open, for the drain */
    for (int64_t end_us = now_us() + 5000000; descriptors() != before + own;) {
        if (now_us() > end_us)
            broken(
                "expected %u open descriptors in the server, got %u", before + own, descriptors());
        sleep_us(500);
    }
    kill(pid, SIGTERM);
    if (own) {
        read_to_end(streams[0].fd);
        closes(&streams[0]);
        if (strstr(answer, "retry: ") == NULL)
            hurt("the end of a stream");
    }
    int status = end_child(pid, SIGTERM);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        broken("expected wait status 0 after SIGTERM, got %x", (unsigned)status);
}

/* Forgets the last run, and restores the initial journal. */
static void begin_run(void)
{
    hurt_count = 0;
    kept_count = 0;
    for (struct stream *s = streams; s < streams + STREAMS_MAX; s++)
        s->fd = -1;
    if (part == JOURNAL)
        copy_file(start_journal, journal_path);
}

/* Makes one run of the first form. Returns how many allocations the server has made. */
static unsigned long run_once(void)
{
    int status;
    begin_run();
    close(start_server());
    if (!await_start(&status)) {
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 1)
            broken("the server did not start: expected exit code 1, got wait status %x",
                (unsigned)status);
        sums->starts++;
        return check_log(false);
    }
    unsigned before = descriptors();
    play();
    is_alive();
    end_server(before);
    if (part == JOURNAL)
        check_journal();
    sums->hurt += hurt_count;
    return check_log(true);
}

/* Runs the second form. SIGWINCH turns the failures on and off. */
static void run_every(void)
{
    int status;
    begin_run();
    close(start_server());
    if (!await_start(&status))
        broken("the server did not start although no allocation fails");
    unsigned before = descriptors();
    kill(pid, SIGWINCH);
    loose = true;
    for (int i = 0; i < ROUNDS; i++) {
        closes(&streams[0]);
        closes(&streams[1]);
        play();
    }
    /* The server may retry what failed, but not in a loop without a pause. */
    unsigned long long worked = ticks();
    sleep_us(IDLE_US);
    worked = ticks() - worked;
    if (worked * 1000000 / (unsigned long long)sysconf(_SC_CLK_TCK) > IDLE_US / 2)
        broken("the server uses CPU time although there is no request");
    /* Memory is available again: from here on everything must work. */
    kill(pid, SIGWINCH);
    closes(&streams[0]);
    closes(&streams[1]);
    loose = false;
    kept_count = 0;
    play();
    is_alive();
    end_server(before);
    check_log(true);
}

/* ==== All runs =============================================================================== */

static void write_text(const char *name, const char *text, mode_t mode)
{
    char path[4000];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        fail("%s: %s", path, strerror(errno));
    close(fd);
}

static void make_folder(const char *name)
{
    char path[4000];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        fail("%s: %s", path, strerror(errno));
}

/* Makes a token with the key in the folder, by running the server program. */
static void make_token(const char *more, char *out, size_t size)
{
    char command[10000];
    snprintf(command, sizeof command,
        "'%s' token --key '%s/key' --sub ann --rooms a,b %s 2>/dev/null", server, folder, more);
    FILE *pipe = popen(command, "re");
    if (pipe == NULL || fgets(out, (int)size, pipe) == NULL || pclose(pipe) != 0)
        fail("the server program made no token");
    out[strcspn(out, "\n")] = '\0';
}

/* Makes the journal that each run begins with: a server without failures writes it. */
static void make_journal(void)
{
    int status;
    copy_file("/dev/null", start_journal);
    begin_run();
    close(start_server());
    if (!await_start(&status))
        broken("the server did not start although no allocation fails");
    for (int i = 0; i < 3; i++) {
        posts("a", "{\"room\":\"a\",\"message\":\"from before\"}", ++serial, 201);
        if (posts("b", "{\"room\":\"b\",\"data\":{\"from\":\"before\"}}", ++serial, 201) != NULL &&
            serial == KEY_BEFORE)
            from_before = kept[kept_count - 1];
    }
    end_child(pid, SIGTERM);
    copy_file(journal_path, start_journal);
}

/* Makes every JOBSth run, in the worker's own folder. The first worker also makes a run without a
 * failure, in which no client may be hurt. */
static void work(unsigned worker, unsigned long from, unsigned long step)
{
    char name[32];
    size_t len = strlen(folder);
    snprintf(name, sizeof name, "%u", worker);
    make_folder(name);
    snprintf(folder + len, sizeof folder - len, "/%s", name);
    snprintf(journal_path, sizeof journal_path, "%s/journal", folder);
    snprintf(log_path, sizeof log_path, "%s/log", folder);
    serial = (worker + 1) * 1000000; /* this worker's own idempotency keys */
    if (every > 0) {
        run_every();
        return;
    }
    if (worker == 0)
        run_once(); /* without a failure */
    unsigned long allocations;
    /* A run that made fewer than `run` allocations had no failure, so it was the last one. */
    for (run = from + worker * step; (allocations = run_once()) >= run; run += JOBS * step)
        sums->runs++;
    sums->allocations = allocations;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "server", 1, NULL, 's' }, { "folder", 1, NULL, 'f' },
        { "part", 1, NULL, 'p' }, { "from", 1, NULL, 'n' }, { "step", 1, NULL, 't' },
        { "every", 1, NULL, 'e' }, { NULL, 0, NULL, 0 } };
    unsigned long from = 1, step = 1;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 's')
            server = optarg;
        else if (option == 'f')
            snprintf(folder, sizeof folder, "%s", optarg);
        else if (option == 'n')
            from = strtoul(optarg, NULL, 10);
        else if (option == 't')
            step = strtoul(optarg, NULL, 10);
        else if (option == 'e')
            every = strtoul(optarg, NULL, 10);
        else if (option == 'p')
            for (part = MEMORY; part < KEYS && strcmp(part_names[part], optarg) != 0;)
                part++;
    }
    if (server == NULL || folder[0] == '\0' || from == 0 || step == 0) {
        fputs("usage: starve --server PATH --folder DIR ...; see the source\n", stderr);
        return 2;
    }
    sums = mmap(NULL, sizeof *sums, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (sums == MAP_FAILED)
        fail("out of memory");
    /* The workers share files to serve, a key, two tokens and the initial journal. */
    make_folder("www");
    make_folder("www/folder");
    write_text("www/file.txt", "a file", 0600);
    write_text("www/folder/index.html", "<p>", 0600);
    write_text("key", "0123456789abcdef0123456789abcdef", 0600);
    make_token("", reader_token, sizeof reader_token);
    make_token("--publish", writer_token, sizeof writer_token);
    snprintf(start_journal, sizeof start_journal, "%s/start", folder);
    snprintf(journal_path, sizeof journal_path, "%s/journal", folder);
    snprintf(log_path, sizeof log_path, "%s/log", folder);
    if (part == JOURNAL) {
        unsigned long wanted = every; /* the journal is made without failures */
        every = 0;
        make_folder("0");
        size_t len = strlen(folder);
        snprintf(folder + len, sizeof folder - len, "/0"); /* so that ../www exists */
        make_journal();
        folder[len] = '\0';
        every = wanted;
    }
    unsigned jobs = every > 0 ? 1 : JOBS;
    pid_t workers[JOBS];
    for (unsigned i = 0; i < jobs; i++) {
        fflush(NULL);
        workers[i] = fork();
        if (workers[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            work(i, from, step);
            _exit(0);
        }
    }
    bool good = true;
    for (unsigned i = 0; i < jobs; i++) {
        int status = 1;
        good &= workers[i] > 0 && waitpid(workers[i], &status, 0) == workers[i] && status == 0;
    }
    if (good && every == 0)
        printf("%s: about %lu allocations; %lu failed: %lu starts, %lu clients hurt, %lu gaps\n",
            part_names[part], sums->allocations, sums->runs, sums->starts, sums->hurt, sums->gaps);
    return good ? 0 : 1;
}
