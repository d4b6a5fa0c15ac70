/* hostile.c - the hostile addresses: one process with an epoll loop.
 *
 * Each address stays within its limits, 64 streams and 96 connections, and does what costs the
 * server most. Requests are sent whenever the socket takes more, so that there is always a next
 * one; answers are dropped in the kernel. What ends is begun again at once, and what was refused
 * after a short pause. */

#include "test/bench/abuse/abuse.h"

#include <sys/epoll.h>

enum {
    ADDRESSES_MAX = 10,
    CONNECTIONS = 96, /* of an address */
    EVENTS_PER_TURN = 64,
    READ_BYTES = 1 << 16,
    GARBAGE_BYTES = 1 << 16,
    CARRY = 16,           /* bytes kept of the last read, to find `ready` across two reads */
    PAUSE_US = 100000,    /* before a refused connection is opened again */
    NAME_US = 2400000,    /* a stream with a name stays that long: 20 a second are opened */
    UNREAD_US = 500000,   /* and a connection with unread answers */
    MESSAGES = 500,       /* of each of 16 rooms, for a replay */
    POSTS_PER_FILLER = 8, /* an address has 20 small ones, or one large one */
    FILLERS_NET = 9,
};

/* What a connection does. Streams come last. */
enum part {
    ASK_PAGE,
    ASK_HEAD,
    ASK_FLOOD,
    POST_LARGE,
    UNREAD_PAGE,
    ASK_ONCE,
    REPLAY,
    SPEAK,
    SHOW_NAME,
    TAKE_ROOMS,
    UNREAD_REPLAY,
    PARTS
};

/* How many connections of an address play each part. */
static const uint8_t casts[ATTACK_COUNT][PARTS] = {
    [PAGES] = { [ASK_PAGE] = 96 },
    [HEADS] = { [ASK_HEAD] = 96 },
    [FLOODS] = { [ASK_FLOOD] = 96 },
    [REPLAYS] = { [REPLAY] = 64 },
    [POSTS] = { [POST_LARGE] = 20 },
    [GARBAGE] = { [SPEAK] = 64 },
    [NAMES] = { [SHOW_NAME] = 48, [TAKE_ROOMS] = 16 },
    [CHURN] = { [ASK_ONCE] = 96 },
    [UNREAD] = { [UNREAD_PAGE] = 32, [UNREAD_REPLAY] = 64 },
    [EVERYTHING] = { [ASK_PAGE] = 10,
        [ASK_HEAD] = 10,
        [ASK_FLOOD] = 6,
        [POST_LARGE] = 4,
        [UNREAD_PAGE] = 2,
        [REPLAY] = 20,
        [SPEAK] = 20,
        [SHOW_NAME] = 14,
        [TAKE_ROOMS] = 6,
        [UNREAD_REPLAY] = 4 },
};

/* ==== What is sent =========================================================================== */

#define POST "POST /messages"
#define SIXTEEN                                                                                  \
    "m0000,m0001,m0002,m0003,m0004,m0005,m0006,m0007,m0008,m0009,m0010,m0011,m0012,m0013,m0014," \
    "m0015"

static const struct request forms[] = {
    { "page", "GET /messages?room=c0&limit=500", NULL, NULL },
    { "page", "GET /messages?room=c1&limit=500", NULL, NULL },
    { "page", "GET /messages?room=<64:%22>&limit=500", NULL, NULL },
    { "page", "GET /messages?room=lines&limit=500", NULL, NULL },
    { "head", "HEAD /messages?room=c0&limit=500", NULL, NULL },
    { "head", "HEAD /messages?room=c1&limit=500", NULL, NULL },
    { "head", "HEAD /messages?room=<64:%22>&limit=500", NULL, NULL },
    { "head", "HEAD /rooms", NULL, NULL },
    { "once", "HEAD /healthz", "Connection: close\r\n", NULL },
    { "flood", "GET /messages?room=none<7900:&>", NULL, NULL },
    { "flood", "GET /messages?room=none&<3900:a&>", NULL, NULL },
    { "flood", "GET /messages?room=<230:a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,>a", NULL, NULL },
    { "flood", "GET /", "Accept-Encoding: <16000:,>\r\n", NULL },
    { "flood", "GET /healthz", "Connection: <16000:,>\r\n", NULL },
    { "post", POST, "", "{\"event\":\"e\",\"data\":[<31900:1,>0]}" },
    { "post", POST, "", "{\"event\":\"e\",\"data\":\"<18000:\\n>\"}" },
    { "post", POST, "", "{\"event\":\"e\",\"data\":\"<32000:\xc2\x85>\"}" },
    { "post", POST, "", "{\"event\":\"e\",\"data\":\"<64000:z>\"}" },
    { "post", POST, "", "{\"event\":\"e\",\"data\":[<31900:1,>]}" },
};

/* The requests of each part, one after the other. */
static struct text scripts[PARTS];
static const char *const part_forms[PARTS] = { [ASK_PAGE] = "page",
    [ASK_HEAD] = "head",
    [ASK_FLOOD] = "flood",
    [POST_LARGE] = "post",
    [UNREAD_PAGE] = "page",
    [ASK_ONCE] = "once" };

static void write_scripts(void)
{
    for (enum part part = 0; part < REPLAY; part++)
        for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
            if (strcmp(forms[i].name, part_forms[part]) == 0)
                text_request(&scripts[part], &forms[i], 0);
    uint64_t seed = 1;
    while (scripts[SPEAK].len < GARBAGE_BYTES) {
        uint64_t bytes = next_random(&seed);
        text_add(&scripts[SPEAK], &bytes, sizeof bytes);
    }
}

/* Writes the request of a stream. `number` differs for each. */
static void write_stream(struct text *t, enum part part, unsigned number)
{
    static const char *const targets[PARTS] = {
        [REPLAY] = "GET /events?room=" SIXTEEN "&history=500",
        [UNREAD_REPLAY] = "GET /events?room=" SIXTEEN "&history=500",
        [SPEAK] = "GET /events",
        [SHOW_NAME] = "GET /events?name=<28:%F0%9F%98%80>#",
        [TAKE_ROOMS] = "GET /events?room=<15:#>",
    };
    char rooms[512] = "GET /events?room=";
    struct request form = { .target = targets[part] };
    if (part == TAKE_ROOMS) {
        for (unsigned i = 0; i < 16; i++)
            snprintf(rooms + strlen(rooms), sizeof rooms - strlen(rooms), "%sx%u-%u",
                i > 0 ? "," : "", number, i);
        form.target = rooms;
    }
    t->len = 0;
    text_request(t, &form, number % 10000);
}

/* ==== Connections ============================================================================ */

struct foe {
    int fd; /* -1: to be opened at due_us */
    enum part part;
    uint32_t address;
    bool asked, ready; /* its stream */
    size_t sent;       /* of the script */
    int64_t due_us;    /* when it is opened, or when one that does not stay is closed */
    uint8_t carried;
    char carry[CARRY];
};

static struct foe foes[ADDRESSES_MAX * CONNECTIONS];
static unsigned foe_count, stream_number;
static struct assault *assault;
static uint64_t chance = 1;
static int epoll;

/* Returns a random time after now, with this mean. */
static int64_t later(int64_t mean_us)
{
    return now_us() + below(&chance, (unsigned)(2 * mean_us));
}

static bool is_unread(const struct foe *f)
{
    return f->part == UNREAD_PAGE || f->part == UNREAD_REPLAY;
}

/* Opens the connection. */
static void begin(struct foe *f)
{
    int small = 4096;
    struct epoll_event event = { .events = EPOLLOUT, .data.ptr = f };
    f->fd = machine_connect(f->address, assault->port);
    if (is_unread(f))
        setsockopt(f->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    else
        event.events |= EPOLLIN;
    f->due_us = is_unread(f) ? later(UNREAD_US) : INT64_MAX;
    f->asked = f->ready = false;
    f->sent = 0;
    f->carried = 0;
    assault->connects++;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, f->fd, &event) < 0)
        fail("epoll: %s", strerror(errno));
}

/* Closes the connection, and opens it again after a time. */
static void end(struct foe *f, int64_t pause_us)
{
    close(f->fd);
    f->fd = -1;
    f->due_us = now_us() + pause_us;
    if (pause_us == 0)
        begin(f);
}

static void watch(struct foe *f, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = f };
    epoll_ctl(epoll, EPOLL_CTL_MOD, f->fd, &event);
}

/* Sends a stream's request. */
static void ask_stream(struct foe *f)
{
    static struct text request;
    write_stream(&request, f->part, stream_number++);
    f->asked = send(f->fd, request.at, request.len, MSG_NOSIGNAL) == (ssize_t)request.len;
    assault->requests++;
    watch(f, f->part == UNREAD_REPLAY ? 0 : EPOLLIN);
}

/* Sends the next bytes of the script. */
static void send_script(struct foe *f)
{
    if (f->part == ASK_ONCE)
        watch(f, EPOLLIN);
    const struct text *script = &scripts[f->part];
    ssize_t n = send(f->fd, script->at + f->sent, script->len - f->sent, MSG_NOSIGNAL);
    f->sent += n > 0 ? (size_t)n : 0;
    if (f->sent == script->len) {
        f->sent = 0;
        assault->requests++;
    }
}

/* Reads from a stream that is not ready yet. Returns what recv did. */
static ssize_t find_ready(struct foe *f)
{
    static char bytes[CARRY + READ_BYTES];
    memcpy(bytes, f->carry, f->carried);
    ssize_t n = recv(f->fd, bytes + f->carried, READ_BYTES, 0);
    if (n <= 0)
        return n;
    size_t len = f->carried + (size_t)n;
    f->ready = memmem(bytes, len, "event: ready", 12) != NULL;
    f->carried = (uint8_t)(len < 12 ? len : 12);
    memcpy(f->carry, bytes + len - f->carried, f->carried);
    return n;
}

/* Reads what a connection has received. */
static void take(struct foe *f)
{
    bool waits = f->part >= REPLAY && !f->ready;
    ssize_t n = waits ? find_ready(f) : recv(f->fd, NULL, 1 << 20, MSG_TRUNC);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        end(f, PAUSE_US);
    } else if ((waits && f->ready && f->part == REPLAY) || (n > 0 && f->part == ASK_ONCE)) {
        end(f, 0);
    } else if (waits && f->ready && f->part == SPEAK) {
        watch(f, EPOLLIN | EPOLLOUT);
    } else if (waits && f->ready && f->part == SHOW_NAME) {
        f->due_us = later(NAME_US);
    }
}

/* Opens and closes what is due. */
static void take_turns(int64_t now)
{
    for (unsigned i = 0; i < foe_count; i++) {
        struct foe *f = &foes[i];
        if (f->fd < 0 && f->due_us <= now)
            begin(f);
        else if (f->fd >= 0 && f->due_us <= now)
            end(f, 0);
    }
}

/* ==== The process ============================================================================ */

/* Casts the parts of all addresses. */
static void cast(void)
{
    for (unsigned address = 1; address <= assault->addresses; address++)
        for (enum part part = 0; part < PARTS; part++)
            for (unsigned i = 0; i < casts[assault->attack][part]; i++) {
                if (part == TAKE_ROOMS && !machine_has_network())
                    continue;
                struct foe *f = &foes[foe_count++];
                *f = (struct foe) { .fd = -1, .part = part };
                f->address = machine_address(assault->net, address);
            }
}

void hostile_work(void *with)
{
    assault = with;
    epoll = epoll_create1(EPOLL_CLOEXEC);
    write_scripts();
    cast();
    for (int64_t turns_us = 0; !assault->stop;) {
        struct epoll_event events[EVENTS_PER_TURN];
        int64_t now = now_us();
        if (now >= turns_us) {
            take_turns(now);
            turns_us = now + 1000;
        }
        int count = epoll_wait(epoll, events, EVENTS_PER_TURN, 1);
        for (int i = 0; i < count; i++) {
            struct foe *f = events[i].data.ptr;
            if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))
                take(f);
            else if (events[i].events & EPOLLOUT && f->part >= REPLAY && !f->asked)
                ask_stream(f);
            else if (events[i].events & EPOLLOUT)
                send_script(f);
        }
    }
    for (unsigned i = 0; i < foe_count; i++)
        if (foes[i].fd >= 0)
            close(foes[i].fd);
}

/* ==== Filling ================================================================================ */

/* Posts one message, from an address that has not posted much. */
static void fill_one(struct line *l, int port, const struct request *form, unsigned number)
{
    static struct text request;
    request.len = 0;
    text_request(&request, form, number);
    if (line_ask(l, port, &request) != 201)
        fail("expected 201 for %.100s, got: %.300s", request.at, l->answer.at);
}

void hostile_fill(int port)
{
    static const struct request large[] = {
        { .target = POST,
            .fields = "",
            .body = "{\"room\":\"c0\",\"event\":\"e\",\"data\":\"<10600:\\u0001>\"}" },
        { .target = POST,
            .fields = "",
            .body = "{\"room\":\"c1\",\"event\":\"e\",\"data\":\"<32000:\xc2\x85>\"}" },
        { .target = POST,
            .fields = "",
            .body = "{\"room\":\"lines\",\"event\":\"e\",\"data\":\"<14000:\\n>\"}" },
    };
    static const struct request small[] = {
        { .target = POST, .fields = "", .body = "{\"data\":\"\",\"room\":\"m#\"}" },
        { .target = POST,
            .fields = "",
            .body = "{\"data\":\"\",\"event\":\"<64:\\\">\",\"room\":\"<64:\\\">\"}" },
        { .target = POST, .fields = "", .body = "{\"message\":\"hello\",\"room\":\"chat\"}" },
    };
    static const unsigned times[] = { 16 * MESSAGES, MESSAGES, MESSAGES };
    struct line line = { .fd = -1 };
    unsigned filler = 0;
    for (unsigned i = 0; i < 3 * POSTS_PER_FILLER; i++) {
        line.address = machine_address(FILLERS_NET, ++filler);
        fill_one(&line, port, &large[i % 3], 0);
        line_close(&line);
    }
    for (unsigned form = 0; form < 3; form++)
        for (unsigned i = 0; i < times[form]; i++) {
            if (i % POSTS_PER_FILLER == 0) {
                line_close(&line);
                line.address = machine_address(FILLERS_NET, ++filler);
            }
            fill_one(&line, port, &small[form], i % 16);
        }
    line_close(&line);
    free(line.answer.at);
}
