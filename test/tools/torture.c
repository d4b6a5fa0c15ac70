/* torture.c - kills the server again and again, and checks that it keeps its promises.
 *
 *     torture --server PATH [--rounds 25] [--seconds 60] [--publishers 6] [--subscribers 12]
 *             [--window 40] [--seed N] [--folder DIR] [-- server option ...]
 *
 * This is crash testing: durability must survive SIGKILL at any moment. The server runs with a
 * journal on a fixed port. Publishers post messages with keys to three rooms and repeat each until
 * it is acknowledged; subscribers read one room or all three, and reconnect with the last id that
 * they saw. Meanwhile torture kills and restarts the server --rounds times at random moments, while
 * it serves or while it starts; now and then it also ends a server with SIGTERM. Then all clients
 * catch up, and the following must hold:
 *
 *   - every acknowledged message reached every subscriber of its room exactly once, with the
 *     acknowledged id, and in the order of ids across all rooms of a stream;
 *   - a message that was given up without an answer reached every subscriber once, or none of them;
 *   - the id of `ready` is not older than any id before it, and only newer ids follow; no gap is
 *     reported, except with --sync none after a record was torn;
 *   - after restarts and at the end, GET /messages returns the same messages, beginning with the
 *     oldest that is still held;
 *   - a repeated POST whose key is still held gets the first id.
 *
 * A failure is reported as soon as it is seen. A publisher begins message n only when all
 * subscribers of the room have message n - WINDOW, so that no subscriber can lag past the history,
 * and every gap is the server's fault.
 *
 * The seed is printed. The same seed makes the same decisions, but not with the same interleaving
 * of threads. Power loss is not tested: a killed process leaves the kernel's cache intact, so a
 * missing fsync does not show here. journal.bats tests the order of writes and syncs. */

#include "sse.h"
#include "tool.h"

#include <getopt.h>
#include <pthread.h>
#include <sys/stat.h>

enum {
    ROOMS = 3,
    PUBLISHERS_MAX = 64,
    SUBSCRIBERS_MAX = 64,
    MESSAGES_MAX = 1 << 20, /* per publisher */
    PAD_MAX = 600,          /* the most padding in a message, in characters */
    SERVER_ARGUMENTS_MAX = 64,
};

/* MESSAGE_OPEN: not answered yet. */
enum message_state { MESSAGE_OPEN, MESSAGE_ACKNOWLEDGED, MESSAGE_GIVEN_UP };

/* What publishers and subscribers know of a message. Both must learn the same id. */
struct message {
    struct id acknowledged, delivered; /* 0-0 if not known yet */
    uint8_t room, state;
    uint8_t readers; /* subscribers that have it */
};

/* A thread with one connection and at most one unanswered message. */
struct publisher {
    pthread_t thread;
    unsigned number;
    uint64_t random;
    int fd;
    struct reply reply;
    struct message *messages;
    unsigned count;
    bool pending;                  /* its last message has no answer yet */
    unsigned long long pending_at; /* `acknowledged` when its last message began */
};

/* A thread with one stream at a time, and all messages it has seen. */
struct subscriber {
    pthread_t thread;
    unsigned number, rooms; /* rooms: one bit per room */
    uint64_t random;
    bool restless;                 /* hangs up now and then */
    bool http10;                   /* uses HTTP/1.0, which has no chunks */
    bool has_last;                 /* `last` is set */
    struct id last;                /* the newest id seen, to resume from */
    uint8_t *seen[PUBLISHERS_MAX]; /* one byte per message: 1 when it has arrived */

    /* The current connection. */
    int fd;
    bool ready;
    struct sse sse; /* the parser of its stream */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* protects messages and counters */
static struct publisher publishers[PUBLISHERS_MAX];
static struct subscriber subscribers[SUBSCRIBERS_MAX];
static unsigned publisher_count = 6, subscriber_count = 12, window = 40, rounds = 25;
static unsigned readers_of[ROOMS], ready_count;
static volatile bool finishing, done; /* publishers must end; subscribers must end */
static unsigned long long seed, acknowledged, repeated, given_up, deliveries, connections;
static int port;
static int64_t end_us;
static char folder[4096] = "", log_path[4200], journal_path[4200];
static const char *server_arguments[SERVER_ARGUMENTS_MAX];

/* Returns whether the id is not known yet. */
static bool is_none(struct id id)
{
    return id.ms == 0 && id.seq == 0;
}

/* Ends the run if its time is over, because something is stuck. Any thread may call this. */
static void check_time(const char *doing)
{
    if (now_us() > end_us)
        fail("timed out before %s", doing);
}

/* Returns whether an event is a gap that can be right. With --sync none, the server cannot know
 * whether a message whose record is torn was acknowledged. */
static bool is_gap_after_torn_end(const struct sse *sse)
{
    bool syncs = true;
    for (int i = 0; server_arguments[i] != NULL; i++)
        syncs &= strcmp(server_arguments[i], "none") != 0;
    return !syncs && strcmp(sse->event, "gap") == 0 &&
           strstr(sse->data, "\"reason\":\"expired\"") != NULL &&
           count_lines(log_path, "torn at the end") > 0;
}

/* ==== Messages =============================================================================== */

/* Returns a number that decides the room and the length of a message. It depends only on the seed
 * and the arguments, so that a message need not be kept to be posted again. */
static uint64_t nature(unsigned publisher, unsigned number)
{
    uint64_t state = seed ^ ((uint64_t)publisher << 40 | number);
    return next_random(&state);
}

static unsigned room_of(unsigned publisher, unsigned number)
{
    return (unsigned)(nature(publisher, number) % ROOMS);
}

/* Writes the POST of a message. Its text begins with "publisher.number", by which subscribers
 * recognize it. */
static int write_request(char *out, size_t size, unsigned publisher, unsigned number)
{
    static const char pad[PAD_MAX + 1] = { 0 };
    char body[PAD_MAX + 256], padding[PAD_MAX + 1];
    unsigned len = (unsigned)(nature(publisher, number) >> 32) % PAD_MAX;
    memcpy(padding, pad, sizeof pad);
    memset(padding, 'x', len);
    int body_len =
        snprintf(body, sizeof body, "{\"room\":\"r%u\",\"name\":\"p%u\",\"message\":\"%u.%u %s\"}",
            room_of(publisher, number), publisher, publisher, number, padding);
    return snprintf(out, size,
        "POST /messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        "Idempotency-Key: key-%u-%u\r\nContent-Length: %d\r\n\r\n%s",
        publisher, number, body_len, body);
}

/* ==== Publishers ============================================================================= */

/* Checks a receipt: a 201, or a 200 for a repetition. A first POST must not get a 200. */
static void acknowledge(struct publisher *p, unsigned number, bool first)
{
    struct message *m = &p->messages[number];
    char room[16], text[64];
    struct id id;
    if (!text_after(p->reply.body, "{\"id\":\"", text, sizeof text) || !parse_id(text, &id) ||
        !text_after(p->reply.body, "\"room\":\"", room, sizeof room))
        fail("expected a receipt, got: %s", p->reply.body);
    if (room[0] != 'r' || (unsigned)(room[1] - '0') != m->room)
        fail("message %u.%u was published in the wrong room, %s", p->number, number, room);
    if (p->reply.status == 200 && first)
        fail("message %u.%u is new but was answered like a repetition", p->number, number);
    pthread_mutex_lock(&lock);
    if (!is_none(m->delivered) && compare_ids(m->delivered, id) != 0)
        fail("message %u.%u was delivered with id %llu-%llu but acknowledged with %llu-%llu",
            p->number, number, (unsigned long long)m->delivered.ms,
            (unsigned long long)m->delivered.seq, (unsigned long long)id.ms,
            (unsigned long long)id.seq);
    m->acknowledged = id;
    m->state = MESSAGE_ACKNOWLEDGED;
    acknowledged++;
    p->pending = false;
    repeated += p->reply.status == 200;
    pthread_mutex_unlock(&lock);
}

static void hang_up(struct publisher *p)
{
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

/* Makes one attempt, on the open connection or a new one. Returns whether there was an answer. One
 * time in 64 it does not wait for the answer, like a client whose network fails. */
static bool attempt(struct publisher *p, const char *request, size_t len)
{
    while (p->fd < 0) {
        check_time("a message was published");
        p->fd = connect_to(port);
        if (p->fd < 0)
            sleep_us(500 + below(&p->random, 3000));
    }
    bool sent = send_all(p->fd, request, len);
    if (sent && below(&p->random, 64) != 0 && read_reply(p->fd, &p->reply))
        return true;
    hang_up(p);
    return false;
}

/* Posts a message until it is acknowledged, across restarts of the server. Unless `insist` is set,
 * it gives up after one in six unanswered attempts; the message may then be stored or not. */
static void publish(struct publisher *p, unsigned number, bool insist)
{
    char request[PAD_MAX + 1024];
    struct message *m = &p->messages[number];
    size_t len = (size_t)write_request(request, sizeof request, p->number, number);
    bool first = true;
    for (;;) {
        check_time("a message was published");
        if (!attempt(p, request, len)) {
            first = false; /* this attempt may have published it, so a 200 is now allowed */
            if (insist || below(&p->random, 6) != 0)
                continue;
            pthread_mutex_lock(&lock);
            m->state = MESSAGE_GIVEN_UP;
            p->pending = false;
            given_up++;
            pthread_mutex_unlock(&lock);
            return;
        }
        if (p->reply.close)
            hang_up(p);
        if (p->reply.status == 201 || p->reply.status == 200)
            break;
        if (p->reply.status != 503 && p->reply.status != 507)
            fail("message %u.%u was refused: %s", p->number, number, p->reply.body);
        sleep_us(10000); /* the refusal is temporary: the server recovers */
    }
    acknowledge(p, number, first);
}

/* Returns whether every subscriber of its room has the message, or the message was given up. */
static bool is_read(const struct message *m)
{
    pthread_mutex_lock(&lock);
    bool read = m->state == MESSAGE_GIVEN_UP || m->readers == readers_of[m->room];
    pthread_mutex_unlock(&lock);
    return read;
}

static void await_read(const struct message *m, const char *doing)
{
    while (!is_read(m)) {
        check_time(doing);
        sleep_us(1000);
    }
}

/* Returns whether a message is still unanswered while the other publishers are far ahead. The
 * server remembers a key only while it holds the message, so it would rightly publish a late
 * repetition again. */
static bool is_far_ahead(void)
{
    bool far = false;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < publisher_count; i++)
        far |= publishers[i].pending &&
               acknowledged - publishers[i].pending_at >= window * publisher_count;
    pthread_mutex_unlock(&lock);
    return far;
}

/* Begins the publisher's next message when no other publisher is too far behind. */
static struct message *next_message(struct publisher *p)
{
    while (is_far_ahead()) {
        check_time("another publisher got its answer");
        sleep_us(1000);
    }
    if (p->count == MESSAGES_MAX)
        fail("publisher %u has no more messages; choose fewer --rounds", p->number);
    pthread_mutex_lock(&lock);
    struct message *m = &p->messages[p->count];
    m->room = (uint8_t)room_of(p->number, p->count);
    p->count++;
    p->pending = true;
    p->pending_at = acknowledged;
    pthread_mutex_unlock(&lock);
    return m;
}

/* Runs a publisher. It posts each message when the subscribers have read up to the window; when the
 * run must end, it posts a last message in each room. */
static void *run_publisher(void *argument)
{
    struct publisher *p = argument;
    p->fd = -1;
    while (!finishing) {
        next_message(p);
        publish(p, p->count - 1, false);
        if (p->count > window)
            await_read(&p->messages[p->count - 1 - window], "a subscriber caught up");
        if (below(&p->random, 4) == 0)
            sleep_us(below(&p->random, 4000));
    }
    /* The last message in each room: a subscriber that has it has everything before it. */
    bool last[ROOMS] = { false };
    while (!last[0] || !last[1] || !last[2]) {
        const struct message *m = next_message(p);
        publish(p, p->count - 1, true);
        last[m->room] = true;
        await_read(m, "the last messages arrived");
    }
    hang_up(p);
    return NULL;
}

/* ==== Subscribers: what an event means ======================================================= */

/* Updates the last id. The new id must not be older or, if `strictly` is set, the same. */
static void move_on(struct subscriber *s, struct id id, bool strictly, const char *what)
{
    if (s->has_last && compare_ids(s->last, id) >= (strictly ? 0 : 1))
        fail("subscriber %u: the id of a %s is too old: %s came after %llu-%llu", s->number, what,
            s->sse.id, (unsigned long long)s->last.ms, (unsigned long long)s->last.seq);
    s->last = id;
    s->has_last = true;
}

/* Checks a message that has arrived. It must be a published message in the right room, with its
 * key, not seen before, and with the id that the publisher and all other subscribers know. */
static void take_message(struct subscriber *s, struct id id)
{
    unsigned room, publisher, number;
    char text[64], key[64], wanted[64];
    /* First check the event itself: its id, room, text and key. Then check that it is new. */
    if (!text_after(s->sse.data, "{\"id\":\"", text, sizeof text) || strcmp(text, s->sse.id) != 0)
        fail("subscriber %u: the event's id differs from the id in its data: %s with %s", s->number,
            s->sse.id, s->sse.data);
    if (!text_after(s->sse.data, "\"room\":\"r", text, sizeof text) ||
        sscanf(text, "%u", &room) != 1 || room >= ROOMS || (s->rooms & 1u << room) == 0)
        fail(
            "subscriber %u: a message of a room that it does not read: %s", s->number, s->sse.data);
    const char *message = strstr(s->sse.data, "\"message\":\"");
    if (message == NULL || sscanf(message + 11, "%u.%u ", &publisher, &number) != 2 ||
        publisher >= publisher_count || number >= publishers[publisher].count)
        fail("subscriber %u: a message that no publisher sent: %s", s->number, s->sse.data);
    snprintf(wanted, sizeof wanted, "key-%u-%u", publisher, number);
    if (!text_after(s->sse.data, "\"key\":\"", key, sizeof key) || strcmp(key, wanted) != 0)
        fail("subscriber %u: a message without its key: %s", s->number, s->sse.data);
    if (s->seen[publisher][number] != 0)
        fail("subscriber %u: message %u.%u came twice, now with id %s", s->number, publisher,
            number, s->sse.id);
    s->seen[publisher][number] = 1;

    /* The message may arrive before or after the answer to its POST, so both sides compare. */
    struct message *m = &publishers[publisher].messages[number];
    pthread_mutex_lock(&lock);
    if (m->room != room)
        fail("message %u.%u came in the wrong room, r%u", publisher, number, room);
    if (!is_none(m->delivered) && compare_ids(m->delivered, id) != 0)
        fail("message %u.%u was delivered with two ids, %llu-%llu and %s", publisher, number,
            (unsigned long long)m->delivered.ms, (unsigned long long)m->delivered.seq, s->sse.id);
    if (!is_none(m->acknowledged) && compare_ids(m->acknowledged, id) != 0)
        fail("message %u.%u was acknowledged with id %llu-%llu but delivered with %s", publisher,
            number, (unsigned long long)m->acknowledged.ms, (unsigned long long)m->acknowledged.seq,
            s->sse.id);
    m->delivered = id;
    m->readers++;
    deliveries++;
    pthread_mutex_unlock(&lock);
}

/* Handles an event. A false `gap` or an unknown event is a failure. */
static void dispatch(struct sse *sse)
{
    struct subscriber *s = sse->owner;
    struct id id = { 0, 0 };
    if (s->sse.has_id && !parse_id(s->sse.id, &id))
        fail("subscriber %u: expected an id, got: %s", s->number, s->sse.id);
    if (s->sse.event[0] == '\0') {
        move_on(s, id, true, "message");
        take_message(s, id);
    } else if (strcmp(s->sse.event, "ready") == 0) {
        if (s->ready)
            fail("subscriber %u: expected one `ready` on a stream, got two", s->number);
        pthread_mutex_lock(&lock);
        ready_count += !s->has_last; /* its first `ready`, which run() waits for */
        pthread_mutex_unlock(&lock);
        s->ready = true;
        move_on(s, id, false, "ready");
    } else if (strcmp(s->sse.event, "presence") != 0 && strcmp(s->sse.event, "heartbeat") != 0 &&
               strcmp(s->sse.event, "busy") != 0 && !is_gap_after_torn_end(sse)) {
        fail("subscriber %u: an unexpected event %s: %s (last id %llu-%llu)", s->number,
            s->sse.event, s->sse.data, (unsigned long long)s->last.ms,
            (unsigned long long)s->last.seq);
    }
}

/* Ends the run because of invalid framing. */
__attribute__((noreturn)) static void break_off(
    struct sse *sse, const char *what, const char *bytes)
{
    const struct subscriber *s = sse->owner;
    fail("subscriber %u: %s: %s", s->number, what, bytes);
}

/* ==== Subscribers: connections =============================================================== */

/* Requests the stream from the last id on. Sends this id in the header or the URL, at random. */
static bool send_stream_request(struct subscriber *s)
{
    static const char *const rooms[] = { "", "r0", "r1", "r0,r1", "r2", "r0,r2", "r1,r2",
        "r0,r1,r2" };
    char request[512], query[64] = "", field[64] = "";
    bool in_header = below(&s->random, 2) == 0;
    if (s->has_last)
        snprintf(in_header ? field : query, sizeof field,
            in_header ? "Last-Event-ID: %llu-%llu\r\n" : "&last_event_id=%llu-%llu",
            (unsigned long long)s->last.ms, (unsigned long long)s->last.seq);
    int len = snprintf(request, sizeof request,
        "GET /events?room=%s&name=s%u%s HTTP/1.%d\r\nHost: 127.0.0.1\r\n%s\r\n", rooms[s->rooms],
        s->number, query, s->http10 ? 0 : 1, field);
    return send_all(s->fd, request, (size_t)len);
}

/* Reads one stream until it ends, or until a restless subscriber hangs up. */
static void read_stream(struct subscriber *s)
{
    static __thread char bytes[65536];
    s->ready = false;
    sse_begin(&s->sse, s->http10);
    while (!done) {
        struct pollfd readable = { .fd = s->fd, .events = POLLIN };
        if (poll(&readable, 1, 100) <= 0)
            continue;
        /* Reads pieces of any size, so that a kill can cut a stream anywhere. */
        ssize_t n = recv(s->fd, bytes, 1 + below(&s->random, sizeof bytes), 0);
        if (n <= 0)
            return;
        sse_take(&s->sse, bytes, (size_t)n);
        if (s->restless && below(&s->random, 100) == 0)
            return;
    }
}

/* Runs a subscriber: it opens one stream after the other, each from where the last one ended. */
static void *run_subscriber(void *argument)
{
    struct subscriber *s = argument;
    while (!done) {
        check_time("a subscriber had read everything");
        s->fd = connect_to(port);
        if (s->fd < 0) {
            sleep_us(500 + below(&s->random, 5000));
            continue;
        }
        pthread_mutex_lock(&lock);
        connections++;
        pthread_mutex_unlock(&lock);
        if (send_stream_request(s))
            read_stream(s);
        close(s->fd);
    }
    return NULL;
}

/* ==== The server ============================================================================= */

/* Starts a server. All servers of a run share one log and one journal. */
static pid_t start_server(void)
{
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0)
        fail("%s: %s", log_path, strerror(errno));
    pid_t pid = spawn(server_arguments, log);
    close(log);
    return pid;
}

static void await_server(pid_t pid)
{
    int fd, status;
    for (int64_t limit = now_us() + 1000 * (int64_t)TOOL_START_MS; (fd = connect_to(port)) < 0;) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            fail("the server ended while starting; see %s", log_path);
        if (now_us() > limit)
            fail("the server did not listen in time; see %s", log_path);
        sleep_us(1000);
    }
    close(fd);
}

/* Kills a server. It must still be running: a server that has ended by itself is a failure. */
static void kill_server(pid_t pid)
{
    int status = end_child(pid, SIGKILL);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail("the server ended by itself, with status %x; see %s", (unsigned)status, log_path);
}

static void end_server(pid_t pid)
{
    int status = end_child(pid, SIGTERM);
    if (status != 0)
        fail("after SIGTERM the server ended with status %x; see %s", (unsigned)status, log_path);
}

/* ==== After each restart ===================================================================== */

struct ids {
    struct id *at;
    size_t count, capacity;
};

static void add_id(struct ids *ids, struct id id)
{
    if (ids->count == ids->capacity) {
        ids->capacity = 2 * ids->capacity + 1024;
        ids->at = realloc(ids->at, ids->capacity * sizeof *ids->at);
        if (ids->at == NULL)
            fail("out of memory");
    }
    ids->at[ids->count++] = id;
}

static int compare_two(const void *a, const void *b)
{
    return compare_ids(*(const struct id *)a, *(const struct id *)b);
}

/* Reads the ids of a room's messages after an id, page by page, until there are at least `most`. */
static void read_ids(unsigned room, struct id after, size_t most, struct ids *ids)
{
    static struct reply reply;
    char path[128], text[64];
    ids->count = 0;
    for (bool more = true; more && ids->count < most;) {
        snprintf(path, sizeof path, "/messages?room=r%u&limit=%zu&after=%llu-%llu", room,
            most < 500 ? most : 500, (unsigned long long)after.ms, (unsigned long long)after.seq);
        if (get(port, path, &reply) != 200)
            fail("GET %s did not return 200", path);
        for (const char *at = reply.body; (at = strstr(at, "{\"id\":\"")) != NULL; at++) {
            if (!text_after(at, "{\"id\":\"", text, sizeof text) || !parse_id(text, &after))
                fail("expected an element with an id in a page, got: %.200s", at);
            add_id(ids, after);
        }
        more = strstr(reply.body, "\"more\":true") != NULL;
    }
}

/* Checks after a restart, while the clients continue, that the newest acknowledged messages of a
 * room are there. Streams do not show this, because they do not request old messages again. */
static void check_room(unsigned room)
{
    enum { NEWEST = 1000 };
    static struct ids wanted, found, oldest;
    wanted.count = 0;
    pthread_mutex_lock(&lock);
    for (unsigned i = 0; i < publisher_count; i++) {
        const struct publisher *p = &publishers[i];
        for (unsigned n = p->count > NEWEST ? p->count - NEWEST : 0; n < p->count; n++)
            if (p->messages[n].room == room && p->messages[n].state == MESSAGE_ACKNOWLEDGED)
                add_id(&wanted, p->messages[n].acknowledged);
    }
    pthread_mutex_unlock(&lock);
    qsort(wanted.at, wanted.count, sizeof *wanted.at, compare_two);
    size_t first = wanted.count > NEWEST ? wanted.count - NEWEST : 0;
    if (wanted.count == 0)
        return;
    struct id before = { wanted.at[first].ms - 1, 0 }; /* older than all wanted ids */
    read_ids(room, before, SIZE_MAX, &found);
    /* Reads the oldest held id last: what is still held now was held before. */
    read_ids(room, (struct id) { 0, 0 }, 1, &oldest);
    for (size_t i = first; i < wanted.count; i++)
        if ((oldest.count == 0 || compare_ids(wanted.at[i], oldest.at[0]) >= 0) &&
            bsearch(&wanted.at[i], found.at, found.count, sizeof *found.at, compare_two) == NULL)
            fail("room %u: acknowledged message %llu-%llu is missing after a restart", room,
                (unsigned long long)wanted.at[i].ms, (unsigned long long)wanted.at[i].seq);
}

/* Kills the server after it has served for a while or, one time in five, while it starts. Returns
 * the process id of the next server. */
static pid_t round_of(pid_t pid, uint64_t *random)
{
    if (below(random, 5) != 0) {
        /* While the server serves, the clients reconnect and one room is checked. */
        await_server(pid);
        check_room(below(random, ROOMS));
        sleep_us(below(random, 250000));
    } else {
        sleep_us(below(random, 15000)); /* perhaps it has not even begun to listen */
    }
    kill_server(pid);
    pid = start_server();
    if (below(random, 8) != 0)
        return pid;
    /* Now and then the next server gets a SIGTERM: a drain must not lose a message either. */
    await_server(pid);
    sleep_us(below(random, 100000));
    end_server(pid);
    return start_server();
}

/* ==== The end ================================================================================ */

/* Checks that each acknowledged message reached all subscribers of its room, and each message that
 * was given up reached all of them or none. */
static void check_messages(void)
{
    for (unsigned i = 0; i < publisher_count; i++) {
        const struct publisher *p = &publishers[i];
        for (unsigned n = 0; n < p->count; n++) {
            const struct message *m = &p->messages[n];
            if (m->state == MESSAGE_ACKNOWLEDGED && m->readers != readers_of[m->room])
                fail("message %u.%u, acknowledged as %llu-%llu, reached %u of %u subscribers, "
                     "expected all",
                    i, n, (unsigned long long)m->acknowledged.ms,
                    (unsigned long long)m->acknowledged.seq, m->readers, readers_of[m->room]);
            if (m->state == MESSAGE_GIVEN_UP && m->readers != 0 &&
                m->readers != readers_of[m->room])
                fail("message %u.%u was given up and reached %u of %u subscribers, expected "
                     "none or all",
                    i, n, m->readers, readers_of[m->room]);
        }
    }
}

/* Counts the messages of a room that were delivered with an id from `oldest` on. */
static unsigned delivered_since(unsigned room, struct id oldest)
{
    unsigned count = 0;
    for (unsigned i = 0; i < publisher_count; i++)
        for (unsigned n = 0; n < publishers[i].count; n++) {
            const struct message *m = &publishers[i].messages[n];
            count += m->room == room && m->readers > 0 && compare_ids(m->delivered, oldest) >= 0;
        }
    return count;
}

/* Compares the elements of a page with the messages of the streams. Returns the number of elements,
 * and sets `*last` to the last one's id. */
static unsigned check_page(const char *page, unsigned room, struct id *last)
{
    unsigned count = 0, publisher, number, in_room;
    char text[64];
    for (const char *at = page; (at = strstr(at, "{\"id\":\"")) != NULL; at++, count++) {
        struct id id;
        const char *message = strstr(at, "\"message\":\"");
        if (!text_after(at, "{\"id\":\"", text, sizeof text) || !parse_id(text, &id) ||
            sscanf(at + 7 + strlen(text), "\",\"room\":\"r%u\"", &in_room) != 1 ||
            in_room != room || message == NULL ||
            sscanf(message + 11, "%u.%u ", &publisher, &number) != 2 ||
            publisher >= publisher_count || number >= publishers[publisher].count)
            fail("room %u: GET /messages has a message that no publisher sent: %.200s", room, at);
        const struct message *m = &publishers[publisher].messages[number];
        if (m->readers == 0 || compare_ids(m->delivered, id) != 0)
            fail("room %u: GET /messages has message %u.%u with id %s, but the streams did not",
                room, publisher, number, text);
        if (compare_ids(*last, id) >= 0)
            fail("room %u: GET /messages is not in the order of ids at %s", room, text);
        *last = id;
    }
    return count;
}

/* Reads a room back, page by page. It must be complete from its oldest message on. Returns how many
 * messages it still holds. */
static unsigned check_history(unsigned room)
{
    struct reply reply = { 0 };
    struct id last = { 0, 0 }, oldest = { 0, 0 };
    unsigned count = 0;
    char path[128], text[64];
    bool more = true;
    while (more) {
        snprintf(path, sizeof path, "/messages?room=r%u&limit=500&after=%llu-%llu", room,
            (unsigned long long)last.ms, (unsigned long long)last.seq);
        if (get(port, path, &reply) != 200)
            fail("expected 200 for GET %s, got: %s", path, reply.body);
        if (count == 0 && (!text_after(reply.body, "\"oldest\":\"", text, sizeof text) ||
                              !parse_id(text, &oldest)))
            fail("room %u must hold messages, but is empty", room);
        unsigned on_page = check_page(reply.body, room, &last);
        if (count > 0 && strstr(reply.body, "\"gap\":false") == NULL)
            fail("room %u: GET /messages reports a gap between two pages", room);
        more = strstr(reply.body, "\"more\":true") != NULL;
        if (more && on_page == 0)
            fail("room %u: GET /messages says there is more, but returns no message", room);
        count += on_page;
    }
    /* Streams and history must agree on everything that is still held. */
    unsigned wanted = delivered_since(room, oldest);
    if (count != wanted)
        fail("room %u: GET /messages has %u messages from %s on, but the streams had %u", room,
            count, text, wanted);
    free(reply.bytes);
    return count;
}

/* Posts the publisher's last messages again. Each must get its first id. */
static void check_keys(struct publisher *p)
{
    char request[PAD_MAX + 1024], text[64];
    struct id id;
    p->fd = connect_to(port);
    for (unsigned n = p->count > 10 ? p->count - 10 : 0; n < p->count; n++) {
        const struct message *m = &p->messages[n];
        if (m->state != MESSAGE_ACKNOWLEDGED)
            continue;
        int len = write_request(request, sizeof request, p->number, n);
        if (p->fd < 0 || !send_all(p->fd, request, (size_t)len) || !read_reply(p->fd, &p->reply))
            fail("a repeated POST was not answered");
        if (p->reply.status != 200 || !text_after(p->reply.body, "{\"id\":\"", text, sizeof text) ||
            !parse_id(text, &id) || compare_ids(id, m->acknowledged) != 0)
            fail("message %u.%u was acknowledged with id %llu-%llu; expected 200 and that id "
                 "for its repetition, got %d %s",
                p->number, n, (unsigned long long)m->acknowledged.ms,
                (unsigned long long)m->acknowledged.seq, p->reply.status, p->reply.body);
    }
    hang_up(p);
}

/* ==== The run ================================================================================ */

/* Prepares publishers and subscribers. Half of the subscribers read all rooms, the others one; half
 * hang up now and then; one in five uses HTTP/1.0. */
static void prepare_people(uint64_t *random)
{
    for (unsigned i = 0; i < publisher_count; i++) {
        struct publisher *p = &publishers[i];
        p->number = i;
        p->random = next_random(random);
        p->messages = calloc(MESSAGES_MAX, sizeof *p->messages);
        if (p->messages == NULL)
            fail("out of memory");
    }
    for (unsigned i = 0; i < subscriber_count; i++) {
        struct subscriber *s = &subscribers[i];
        s->number = i;
        s->random = next_random(random);
        s->rooms = i % 2 == 0 ? 7 : 1u << i / 2 % ROOMS; /* 7: all three */
        s->restless = i % 4 < 2;
        s->http10 = i % 5 == 4;
        s->sse.owner = s;
        s->sse.take = dispatch;
        s->sse.broken = break_off;
        for (unsigned room = 0; room < ROOMS; room++)
            readers_of[room] += (s->rooms & 1u << room) != 0;
        for (unsigned n = 0; n < publisher_count; n++) {
            s->seen[n] = calloc(MESSAGES_MAX, 1);
            if (s->seen[n] == NULL)
                fail("out of memory");
        }
    }
}

static void start_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
    int error = pthread_create(thread, NULL, run, argument);
    if (error != 0)
        fail("pthread_create: %s", strerror(error));
}

/* Runs everything: first the subscribers, so that each has seen a `ready` and can resume, then the
 * publishers, then the kills. At the end come all checks, a last kill and the check of keys. */
static void run(uint64_t *random)
{
    pid_t pid = start_server();
    await_server(pid);
    for (unsigned i = 0; i < subscriber_count; i++)
        start_thread(&subscribers[i].thread, run_subscriber, &subscribers[i]);
    /* A subscriber without a first `ready` has no id to resume from, and would rightly miss what
     * was published before it connected. */
    for (bool all = false; !all; sleep_us(1000)) {
        check_time("the first streams were open");
        pthread_mutex_lock(&lock);
        all = ready_count == subscriber_count;
        pthread_mutex_unlock(&lock);
    }
    for (unsigned i = 0; i < publisher_count; i++)
        start_thread(&publishers[i].thread, run_publisher, &publishers[i]);
    for (unsigned i = 0; i < rounds; i++) {
        check_time("all kills were done");
        pid = round_of(pid, random);
    }
    await_server(pid);
    finishing = true; /* each publisher posts its last messages and waits until they are read */
    for (unsigned i = 0; i < publisher_count; i++)
        pthread_join(publishers[i].thread, NULL);
    done = true;
    for (unsigned i = 0; i < subscriber_count; i++)
        pthread_join(subscribers[i].thread, NULL);

    /* The threads have ended, so nothing below needs the lock. */
    check_messages();
    unsigned held = 0;
    for (unsigned room = 0; room < ROOMS; room++)
        held += check_history(room);
    kill_server(pid);
    pid = start_server();
    await_server(pid);
    for (unsigned i = 0; i < publisher_count; i++)
        check_keys(&publishers[i]);
    end_server(pid);
    printf("torture: %u kills, %llu messages acknowledged (%llu by repetition), %llu given up, "
           "%llu deliveries on %llu streams, %u held, %u compactions, %u torn tails\n",
        rounds + 1, acknowledged, repeated, given_up, deliveries, connections, held,
        count_lines(log_path, "compacted=1"), count_lines(log_path, "torn at the end"));
}

static void read_options(int argc, char **argv, const char **server, unsigned *seconds)
{
    static const struct option options[] = { { "server", 1, NULL, 's' }, { "rounds", 1, NULL, 'r' },
        { "seconds", 1, NULL, 't' }, { "publishers", 1, NULL, 'p' },
        { "subscribers", 1, NULL, 'u' }, { "window", 1, NULL, 'w' }, { "seed", 1, NULL, 'x' },
        { "folder", 1, NULL, 'f' }, { 0 } };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        unsigned long long number = optarg != NULL ? strtoull(optarg, NULL, 10) : 0;
        switch (c) {
        case 's':
            *server = optarg;
            break;
        case 'r':
            rounds = (unsigned)number;
            break;
        case 't':
            *seconds = (unsigned)number;
            break;
        case 'p':
            publisher_count = (unsigned)number;
            break;
        case 'u':
            subscriber_count = (unsigned)number;
            break;
        case 'w':
            window = (unsigned)number;
            break;
        case 'x':
            seed = number;
            break;
        case 'f':
            snprintf(folder, sizeof folder, "%s", optarg);
            break;
        default:
            exit(2);
        }
    }
    if (*server == NULL || publisher_count < 1 || publisher_count > PUBLISHERS_MAX ||
        subscriber_count < 2 || subscriber_count > SUBSCRIBERS_MAX || window < 1) {
        fputs("usage: torture --server PATH [--rounds N] [--seconds S] [--publishers P]\n"
              "       [--subscribers S] [--window N] [--seed N] [--folder DIR] [-- option ...]\n",
            stderr);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    const char *server = NULL;
    unsigned seconds = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    seed = (unsigned long long)time(NULL) * 1000 + (unsigned long long)getpid() % 1000;
    read_options(argc, argv, &server, &seconds);
    if (seconds == 0)
        seconds = 60 + rounds * 2;
    uint64_t random = seed;
    bool own_folder = folder[0] == '\0';
    if (own_folder) {
        const char *parent = getenv("TMPDIR");
        snprintf(folder, sizeof folder, "%s/torture.XXXXXX", parent != NULL ? parent : "/tmp");
        if (mkdtemp(folder) == NULL)
            fail("%s: %s", folder, strerror(errno));
    }
    snprintf(log_path, sizeof log_path, "%s/log", folder);
    snprintf(journal_path, sizeof journal_path, "%s/journal", folder);
    port = find_port(&random);
    printf("torture: seed %llu, port %d, folder %s\n", seed, port, folder);

    static char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    /* There are no limits per address, because all clients share one. */
    const char *arguments[] = { server, "--max-streams-per-ip", "0", "--post-rate", "0", "--listen",
        address, "--journal", journal_path };
    size_t count = sizeof arguments / sizeof *arguments;
    memcpy(server_arguments, arguments, sizeof arguments);
    for (int i = optind; i < argc && count + 1 < SERVER_ARGUMENTS_MAX; i++)
        server_arguments[count++] = argv[i];

    end_us = now_us() + 1000000 * (int64_t)seconds;
    prepare_people(&random);
    run(&random);
    if (own_folder) { /* nothing has failed, so the files are not needed */
        char lock_path[4200];
        snprintf(lock_path, sizeof lock_path, "%s/journal.lock", folder);
        unlink(lock_path);
        unlink(journal_path);
        unlink(log_path);
        rmdir(folder);
    }
    return 0;
}
