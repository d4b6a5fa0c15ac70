/* storm.c - sends many thousands of damaged requests to a running server.
 *
 *     storm PORT COUNT [SEED [SECONDS [TOKEN]]]
 *
 * This is mutation fuzzing from outside, against the real program with its timers and sockets.
 * storm makes COUNT requests of all kinds that the server supports, and damages half of them: it
 * flips bits, removes, duplicates and joins pieces, changes line ends, and inserts huge numbers,
 * NULs, deeply nested JSON, incomplete characters and very long fields. It sends them over up to 64
 * connections at a time, several on each, in pieces of any size. Some connections are half-closed
 * at their end, some are reset, and some do not read for a while; streams stay open for a moment.
 * If a TOKEN is given, most requests carry it. A connection lives for at most a second, and
 * requests that it did not begin to send move to another connection.
 *
 * The right answer to a damaged request is unknown. So storm checks what must hold for every
 * request: the server must send a sequence of answers, each with a status line and a body as long
 * as announced, and nothing may follow an answer that closes the connection. The server must
 * continue to accept and answer, and be healthy at the end. Then one line shows the numbers of
 * requests, connections and answers of each status. On a failure one line shows the error instead,
 * and the exit code is 1. storm.bats, which runs storm, checks for leaked memory and descriptors.
 *
 * The seed is printed. The same seed makes the same requests, but not with the same timing. */

#include "tool.h"

#include <sys/epoll.h>

enum {
    SLOTS = 64,
    REQUESTS_MAX = 6,       /* per connection */
    REQUEST_MAX = 40000,    /* bytes: more than the largest head or the tests' largest body */
    LIFE_US = 1000000,      /* of a connection */
    SILENCE_US = 20000000,  /* after this long without a byte, the server hangs */
    ANSWER_HEAD_MAX = 8192, /* bytes, far more than in any head of the server */
    RETURNED_MAX = SLOTS * REQUESTS_MAX,
};

/* ==== Requests =============================================================================== */

/* Examples that requests are made from. A '@' in targets and fields becomes an id from about
 * now. */
static const char *const targets[] = {
    /* Files of the page, and paths that do not exist or leave the folder. */
    "/",
    "/index.html",
    "/style.css",
    "/favicon.ico",
    "/icon.svg",
    "/nothing",
    "/folder/file.txt",
    "/%2e%2e/%2e%2e/etc/passwd",
    "*",
    "http://127.0.0.1/healthz",
    "/healthz",
    "/rooms",
    /* Streams: one room, several, the most allowed; with a name, history, a last id. */
    "/events",
    "/events?room=lobby&name=ann",
    "/events?room=a,b,c,d&history=20&name=%C3%A9",
    "/events?room=a&room=b&last_event_id=@",
    "/events?lastEventId=@&room=lobby",
    "/events?room=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16&name=bob",
    "/events?room=~hidden&history=500",
    /* Pages of history in both directions, and long polls. */
    "/messages",
    "/messages?room=a&after=@&limit=3",
    "/messages?before=@&limit=500",
    "/messages?after=0-0&wait=1&limit=1",
    "/messages?wait=1&room=b",
    "/messages?wait=60",
    "/messages?room=nobody%20is%20here",
    "/events?access_token=eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
};

/* Targets of a POST: first the valid ones, then two where POST is not allowed. */
static const char *const post_targets[] = {
    "/messages",
    "/messages",
    "/messages?room=a&name=ann&event=file",
    "/messages?room=b",
    "/events",
    "/",
};

static const char *const methods[] = { "GET", "GET", "GET", "GET", "GET", "HEAD", "OPTIONS", "PUT",
    "DELETE", "BREW" };

static const char *const fields[] = {
    "Last-Event-ID: @\r\n",
    "Last-Event-ID: nobody can read this\r\n",
    "Idempotency-Key: key-1\r\n",
    "Idempotency-Key: 0123456789012345678901234567890123456789012345678901234567890123\r\n",
    "Cookie: session=0123456789abcdef; theme=dark; ssechat=eyJhbGciOiJub25lIn0.e30.\r\n",
    "Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJuYW1lIjoiYW5uIiwicm9vbXMiOlsiYSJdLCJleHAiOjQwMDAwMDAwMDB9."
    "c2lnbmF0dXJlLXRoYXQtaXMtbm9uZS1idXQtbG9va3MtbGlrZQ\r\n",
    "X-Forwarded-For: 192.0.2.1, 2001:db8::1, unknown\r\n",
    "Forwarded: for=\"[2001:db8::1]:4711\";proto=https;by=203.0.113.43, for=192.0.2.1\r\n",
    "Origin: https://a.example\r\n",
    "Origin: http://127.0.0.1\r\n",
    "Origin: null\r\n",
    "Accept-Encoding: gzip, deflate;q=0.5, *;q=0\r\n",
    "Accept: text/event-stream\r\n",
    "If-None-Match: \"x\", W/\"0123456789abcdef\", *\r\n",
    "Access-Control-Request-Method: POST\r\n",
    "Access-Control-Request-Headers: content-type, idempotency-key\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, Upgrade\r\n",
    "Upgrade: websocket\r\n",
    "User-Agent: storm\r\n",
    "Range: bytes=0-1\r\n",
    "Expect: 100-continue\r\n",
    "Content-Length: 0\r\n",
};

/* Content types; the last one is refused with 415. */
static const char *const types[] = {
    "application/json",
    "application/json",
    "application/json; charset=utf-8",
    "application/octet-stream",
    "text/plain",
};

/* Bodies: every kind of JSON that the server accepts, and some bodies that it refuses. */
static const char *const bodies[] = {
    "{\"message\":\"hello\"}",
    "{\"name\":\"ann\",\"message\":\"hello \\u00e9 \\ud83d\\ude42\\n\\ttwo\",\"room\":\"a\"}",
    "{\"room\":\"b\",\"data\":\"one\\ntwo\\r\\nthree\\n\\n\"}",
    "{\"room\":\"c\",\"event\":\"news\",\"data\":{\"a\":[1,2.5e-3,{\"b\":null}],\"c\":\"x\\ny\"}}",
    "{\"data\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}",
    "{\"data\":-1234567890.123456789e+99,\"name\":null,\"unknown\":[true,false]}",
    "{\"data\":\"\xf0\x9f\x99\x82 \xe2\x80\xa8 \xc3\xa9\",\"event\":\"\xc3\xa9\"}",
    "{\"room\":\"~hidden\",\"message\":\"psst\"}",
    "not JSON at all",
    "",
};

/* Pieces to insert anywhere: the delimiters and numbers at which parsers fail. They have lengths,
 * because one of them is a NUL. */
#define WORD(text)            \
    {                         \
        text, sizeof text - 1 \
    }
static const struct {
    const char *at;
    size_t len;
} words[] = {
    /* Line ends and other delimiters. */
    WORD("\r\n"),
    WORD("\n"),
    WORD("\r"),
    WORD("\r\n\r\n"),
    WORD("\0"),
    WORD(" "),
    WORD("\t"),
    /* For a URL. */
    WORD("%00"),
    WORD("%2f%2e%2e"),
    WORD("%"),
    WORD("&room="),
    WORD(","),
    WORD("?"),
    WORD("#"),
    WORD("="),
    WORD("+"),
    WORD(":"),
    /* For a JSON string; then bytes that are not UTF-8, and a bidirectional control. */
    WORD("\""),
    WORD("\\u0000"),
    WORD("\\ud800"),
    WORD("\xf0\x9f"),
    WORD("\xed\xa0\x80"),
    WORD("\xff\xfe"),
    WORD("\xe2\x80\xae"),
    /* Numbers, and an id from the far future. */
    WORD("-1"),
    WORD("0x10"),
    WORD("18446744073709551616"),
    WORD("99999999999999999999999999999999"),
    WORD("4000000000000-18446744073709551615"),
    /* Versions, framing and chunks that contradict the request's own. */
    WORD("HTTP/1.0"),
    WORD("HTTP/1.1"),
    WORD("HTTP/2.0"),
    WORD("Content-Length: 5\r\n"),
    WORD("Content-Length: 18446744073709551615\r\n"),
    WORD("Transfer-Encoding: chunked\r\n"),
    WORD("Transfer-Encoding: gzip, chunked\r\n"),
    WORD("Host: h\r\n"),
    WORD("\r\n folded: field\r\n"),
    WORD("0\r\n\r\n"),
    WORD("ffffffffffffffff\r\n"),
    WORD("5;name=\"value\"\r\n"),
    /* Parameters, the beginning of a body, requests inside a request, and a forged event. */
    WORD("history=500"),
    WORD("wait=60"),
    WORD("limit=0"),
    WORD("{\"message\":"),
    WORD("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"),
    WORD("POST /messages HTTP/1.1\r\n"),
    WORD("data: x\n\nid: 1-1\n"),
};

#define COUNT(array) ((unsigned)(sizeof(array) / sizeof(array)[0]))

/* A request under construction. Its size is fixed, so there is nothing to free. */
struct text {
    size_t len;
    char at[REQUEST_MAX];
};

static uint64_t seed, start_ms;
static const char *token; /* NULL if none */

/* Appends bytes. Drops bytes that do not fit, so that a request never gets too long. */
static void add(struct text *t, const char *bytes, size_t len)
{
    if (len > sizeof t->at - t->len)
        len = sizeof t->at - t->len;
    memcpy(t->at + t->len, bytes, len);
    t->len += len;
}

static void add_string(struct text *t, const char *string)
{
    add(t, string, strlen(string));
}

static void add_number(struct text *t, const char *before, size_t number, bool hex)
{
    char digits[24];
    snprintf(digits, sizeof digits, hex ? "%zx" : "%zu", number);
    add_string(t, before);
    add_string(t, digits);
    add_string(t, "\r\n");
}

/* Adds a string in which each '@' becomes an id from the last or the next minute. */
static void add_with_ids(struct text *t, const char *string, uint64_t *random)
{
    for (; *string != '\0'; string++) {
        char id[48];
        int len = snprintf(id, sizeof id, "%llu-%u",
            (unsigned long long)start_ms - 60000 + below(random, 120000), below(random, 3));
        if (*string == '@')
            add(t, id, (size_t)len);
        else
            add(t, string, 1);
    }
}

/* Makes a long body, a deeply nested one, or one of the examples. */
static void make_body(struct text *body, uint64_t *random)
{
    body->len = 0;
    if (below(random, 12) == 0) { /* a long one */
        add_string(body, "{\"room\":\"a\",\"data\":\"");
        for (unsigned left = below(random, 12000); left > 0; left--)
            add(body, "x", 1);
        add_string(body, "\"}");
    } else if (below(random, 12) == 0) { /* a deep one */
        unsigned depth = 1 + below(random, 200);
        add_string(body, "{\"data\":");
        for (unsigned i = 0; i < depth; i++)
            add_string(body, i % 2 == 0 ? "[" : "{\"a\":");
        add_string(body, "1");
        for (unsigned i = depth; i > 0; i--)
            add_string(body, i % 2 == 1 ? "]" : "}");
        add_string(body, "}");
    } else {
        add_string(body, bodies[below(random, COUNT(bodies))]);
    }
}

/* Adds the body in chunks of any size, sometimes with an extension and a trailer. */
static void add_chunks(struct text *t, const struct text *body, uint64_t *random)
{
    for (size_t at = 0, len; at < body->len; at += len) {
        len = 1 + below(random, below(random, 2) == 0 ? 8 : 4000);
        if (len > body->len - at)
            len = body->len - at;
        add_number(t, "", len, true);
        add(t, body->at + at, len);
        add_string(t, "\r\n");
    }
    add_string(t, below(random, 8) == 0 ? "0;x=y\r\nTrailer: t\r\n\r\n" : "0\r\n\r\n");
}

/* Makes an undamaged request with any method, target, fields and body. */
static void make_valid(struct text *t, uint64_t *random)
{
    static struct text body;
    bool post = below(random, 5) < 2;
    t->len = 0;
    add_string(t, post ? "POST" : methods[below(random, COUNT(methods))]);
    add_string(t, " ");
    add_with_ids(t,
        post ? post_targets[below(random, COUNT(post_targets))]
             : targets[below(random, COUNT(targets))],
        random);
    add_string(t, below(random, 16) == 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n");
    if (below(random, 32) != 0)
        add_string(t, "Host: 127.0.0.1\r\n");
    if (token != NULL && below(random, 8) != 0) {
        add_string(t, "Authorization: Bearer ");
        add_string(t, token);
        add_string(t, "\r\n");
    }
    for (unsigned left = below(random, 4); left > 0; left--)
        add_with_ids(t, fields[below(random, COUNT(fields) - (post ? 1 : 0))], random);
    if (!post) {
        add_string(t, "\r\n");
        return;
    }
    make_body(&body, random);
    add_string(t, "Content-Type: ");
    add_string(t, types[below(random, COUNT(types))]);
    if (below(random, 3) == 0) {
        add_string(t, "\r\nTransfer-Encoding: chunked\r\n\r\n");
        add_chunks(t, &body, random);
    } else {
        add_number(t, "\r\nContent-Length: ", body.len, false);
        add_string(t, "\r\n");
        add(t, body.at, body.len);
    }
}

/* ==== Damage ================================================================================= */

/* Replaces `away` bytes at `at` with others. Most mutations use it. */
static void replace(struct text *t, size_t at, size_t away, const char *bytes, size_t len)
{
    static struct text rest;
    rest.len = 0;
    add(&rest, t->at + at + away, t->len - at - away);
    t->len = at;
    add(t, bytes, len);
    add(t, rest.at, rest.len);
}

/* Chooses a stretch of a text, usually a short one. Sets `*at` and returns the length. */
static size_t span(const struct text *t, size_t *at, uint64_t *random)
{
    *at = below(random, (unsigned)t->len);
    size_t most = t->len - *at, wanted = 1 + below(random, below(random, 4) == 0 ? 2000 : 20);
    return wanted < most ? wanted : most;
}

/* Joins the beginning of this request to the end of another. */
static void cross(struct text *t, uint64_t *random)
{
    static struct text other;
    make_valid(&other, random);
    size_t from = below(random, (unsigned)other.len), to = below(random, (unsigned)t->len);
    replace(t, to, t->len - to, other.at + from, other.len - from);
}

/* Removes the CR of the next line end, or adds a CR if there is none. */
static void change_line_end(struct text *t, size_t from)
{
    const char *lf = memchr(t->at + from, '\n', t->len - from);
    if (lf == NULL)
        return;
    size_t at = (size_t)(lf - t->at);
    if (at > 0 && t->at[at - 1] == '\r')
        replace(t, at - 1, 1, "", 0);
    else
        replace(t, at, 0, "\r", 1);
}

/* Replaces the next number with a limit of an integer type, or with a number in another form. */
static void change_number(struct text *t, size_t from, uint64_t *random)
{
    static const char *const numbers[] = { "0", "00", "-0", "1", "255", "65536", "4294967296",
        "9223372036854775808", "18446744073709551615", "18446744073709551616",
        "340282366920938463463374607431768211456", "1e9", "7fffffffffffffff" };
    while (from < t->len && (t->at[from] < '0' || t->at[from] > '9'))
        from++;
    size_t end = from;
    while (end < t->len && t->at[end] >= '0' && t->at[end] <= '9')
        end++;
    const char *number = numbers[below(random, COUNT(numbers))];
    if (end > from)
        replace(t, from, end - from, number, strlen(number));
}

/* Inserts the same piece many times: brackets, letters, fields. */
static void repeat(struct text *t, size_t at, uint64_t *random)
{
    static const char *const pieces[] = { "[", "{\"a\":", "a", "%41", "\xe2\x82", "X: y\r\n",
        "x=y&", "a,", "\r\n", " ", "0" };
    static struct text many;
    const char *piece = pieces[below(random, COUNT(pieces))];
    many.len = 0;
    for (unsigned left = 1 + below(random, below(random, 3) == 0 ? 9000 : 150); left > 0; left--)
        add_string(&many, piece);
    replace(t, at, 0, many.at, many.len);
}

/* Percent-encodes a byte, wherever it is. */
static void escape(struct text *t, size_t at)
{
    char escaped[8];
    snprintf(escaped, sizeof escaped, "%%%02x", (unsigned char)t->at[at]);
    replace(t, at, 1, escaped, 3);
}

/* Applies one of the mutations above. Leaves at least one byte, so that there is one to send. */
static void damage(struct text *t, uint64_t *random)
{
    static struct text copy;
    size_t at, len = span(t, &at, random);
    unsigned word = below(random, COUNT(words));
    char byte = (char)next_random(random);
    switch (below(random, 14)) {
    case 0:
    case 1:
        t->at[at] = (char)(t->at[at] ^ 1 << below(random, 8));
        break;
    case 2:
        replace(t, at, below(random, 2), &byte, 1);
        break;
    case 3:
        replace(t, at, len, "", 0);
        break;
    case 4:
        copy.len = 0;
        add(&copy, t->at + at, len);
        replace(t, at, 0, copy.at, copy.len);
        break;
    case 5:
    case 6:
        replace(t, at, 0, words[word].at, words[word].len);
        break;
    case 7:
        cross(t, random);
        break;
    case 8:
        change_line_end(t, at);
        break;
    case 9:
    case 10:
        change_number(t, at, random);
        break;
    case 11:
        repeat(t, at, random);
        break;
    case 12:
        escape(t, at);
        break;
    default: /* cut short */
        t->len = at + 1;
        break;
    }
    if (t->len == 0)
        add(t, "\n", 1);
}

/* Makes request `number`, which depends only on the seed and the number. Half of the requests stay
 * intact, so that there is something to break; the others are damaged once or a few times. */
static void make_request(struct text *t, uint64_t number)
{
    uint64_t random = seed ^ number << 20;
    make_valid(t, &random);
    if (below(&random, 2) == 0)
        return;
    unsigned times = below(&random, 2) == 0 ? 1 : 2 + below(&random, 4);
    while (times-- > 0)
        damage(t, &random);
}

/* ==== Answers ================================================================================ */

/* What a connection's parser expects next. storm cannot know whether a damaged request is a HEAD,
 * and so whether an announced body follows; it decides by the first bytes after the head. */
enum state {
    HEAD,
    BODY_FIRST, /* a body or, after a HEAD, the next answer's head */
    BODY,
    CHUNK_FIRST, /* the same, if the body has chunks */
    CHUNK_SIZE,
    CHUNK_DATA,
    CHUNK_END,
    LAST_LINE,
    PLAIN, /* a body until the connection ends */
    OVER,  /* nothing may follow */
};

/* How storm ends a connection, unless the server ends it first. */
enum manner { CLOSES, HALF_CLOSES, RESETS };

/* A connection: its requests, its behaviour, and the parser of its answers. */
struct slot {
    int fd;          /* -1 if none */
    uint64_t random; /* one per slot, so that no slot depends on the timing of the others */

    /* What it sends. */
    char *bytes; /* reused by all connections of the slot */
    size_t len, sent;
    unsigned count;                 /* requests in `bytes` */
    uint64_t numbers[REQUESTS_MAX]; /* the numbers of the requests */
    size_t ends[REQUESTS_MAX];      /* the end of each request in `bytes` */
    unsigned piece_max;             /* the most bytes in one send */
    bool pauses;                    /* it pauses between two sends */
    int64_t send_us;                /* it sends nothing before this time */
    int64_t read_us;                /* it reads nothing before this time */
    int64_t end_us;                 /* it is closed at this time */
    enum manner manner;
    size_t reset_at; /* RESETS: the number of bytes before the reset */
    bool sent_all;
    uint32_t events; /* the events that epoll watches */

    /* What it receives. */
    enum state state;
    bool closes;
    uint64_t left; /* bytes left of the body or the chunk */
    unsigned line_len;
    size_t head_len;
    char head[ANSWER_HEAD_MAX + 1];
};

static struct slot slots[SLOTS];
static int epoll, port;
static uint64_t wanted, begun, connections, resets, answers[600];
static uint64_t returned[RETURNED_MAX]; /* requests that no connection has begun to send */
static unsigned returned_count;         /* requests are taken from the end */
static int64_t heard_us;                /* when the server last sent anything */

/* Fails with the numbers of the requests, so that they can be made again. */
__attribute__((noreturn)) static void malformed(const struct slot *s, const char *why)
{
    fail("%s, in answer to requests %llu to %llu of seed %llu: \"%.*s\"", why,
        (unsigned long long)s->numbers[0], (unsigned long long)s->numbers[s->count - 1],
        (unsigned long long)seed, (int)s->head_len, s->head);
}

/* Returns the value of a field in the head, or NULL if the field is missing. */
static const char *field_of(const struct slot *s, const char *name)
{
    const char *at = strcasestr(s->head, name);
    return at != NULL ? at + strlen(name) : NULL;
}

/* Decides which kind of body follows a complete head (RFC 9112 6.3). */
static void end_head(struct slot *s)
{
    int status = atoi(s->head + 9);
    const char *length = field_of(s, "\r\nContent-Length: ");
    answers[status]++;
    s->closes = field_of(s, "\r\nConnection: close\r\n") != NULL;
    s->left = length != NULL ? strtoull(length, NULL, 10) : 0;
    s->line_len = 0;
    if (status < 200) /* 100 Continue: the final answer follows */
        s->state = HEAD;
    else if (length != NULL && s->left > 0)
        s->state = BODY_FIRST;
    else if (length != NULL || status == 204 || status == 304)
        s->state = s->closes ? OVER : HEAD;
    else if (field_of(s, "\r\nTransfer-Encoding: chunked\r\n") != NULL)
        s->state = CHUNK_FIRST;
    else if (s->closes)
        s->state = PLAIN;
    else if (status == 200 && field_of(s, "\r\nContent-Type: application/json\r\n") != NULL)
        s->state = HEAD; /* to a HEAD, without a page; a body would not pass for the next head */
    else
        malformed(
            s, "a head has no length, no chunks and no close, so the end of the body is unknown");
    if (s->state == HEAD)
        s->head_len = 0;
}

/* Takes one byte of a head, which must begin with a status line, whatever the request was. */
static void take_head(struct slot *s, char c)
{
    static const char form[] = "HTTP/1.1 ### ";
    size_t i = s->head_len;
    if (i == ANSWER_HEAD_MAX)
        malformed(s, "a head is longer than any that the server sends");
    s->head[s->head_len++] = c;
    s->head[s->head_len] = '\0';
    if (i < sizeof form - 1 && (form[i] == '#' ? c < '0' || c > '9' : c != form[i]))
        malformed(s, "expected a status line, got something else");
    if (i == 9 && (c < '1' || c > '5'))
        malformed(s, "expected a status from 100 to 599");
    if (c == '\0' || (c == '\n' && s->head[i - 1] != '\r'))
        malformed(s, "a head contains a NUL or a bare LF");
    if (i >= 16 && memcmp(s->head + i - 3, "\r\n\r\n", 4) == 0)
        end_head(s);
}

/* Ends an answer. Nothing may follow an answer that closes the connection. */
static void end_body(struct slot *s)
{
    s->state = s->closes ? OVER : HEAD;
    if (s->state == HEAD)
        s->head_len = 0;
}

/* Takes one byte of a chunk's size, or of a line end after a chunk. */
static void take_frame(struct slot *s, char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *digit = c != '\0' ? strchr(digits, c) : NULL;
    if (s->state != CHUNK_SIZE) {
        if (c != "\r\n"[s->line_len])
            malformed(s, "expected CR LF after a chunk, got something else");
        if (++s->line_len < 2)
            return;
        s->line_len = 0;
        if (s->state == LAST_LINE)
            end_body(s);
        else
            s->state = CHUNK_SIZE;
    } else if (digit != NULL && s->line_len < 8) {
        s->left = (s->line_len++ == 0 ? 0 : s->left * 16) + (uint64_t)(digit - digits);
    } else if (c == '\n' && s->line_len > 0) {
        s->state = s->left > 0 ? CHUNK_DATA : LAST_LINE;
        s->line_len = 0;
    } else if (c != '\r' || s->line_len == 0) {
        malformed(s, "expected a chunk size, got something else");
    }
}

/* Begins the next answer when a status line follows a head. No body from the server begins with
 * one, so the last answer was to a HEAD, and `line_len` bytes of the next answer have been read. */
static void begin_next_head(struct slot *s)
{
    if (s->closes)
        malformed(s, "the answer said `Connection: close`, but another one followed");
    s->state = HEAD;
    s->head_len = 0;
    for (unsigned i = 0; i < s->line_len; i++)
        take_head(s, "HTTP/"[i]);
}

/* Takes the bytes that belong to the current state, and returns their number. */
static size_t take(struct slot *s, const char *bytes, size_t len)
{
    size_t most = len < s->left ? len : (size_t)s->left;
    switch (s->state) {
    case HEAD:
        take_head(s, *bytes);
        return 1;
    case BODY_FIRST:
        /* Bytes that can begin a status line are counted in line_len until the line is certain. If
         * it is not a status line, they were the first bytes of the body. */
        if (*bytes == "HTTP/"[s->line_len]) {
            if (++s->line_len == 5)
                begin_next_head(s);
            return 1;
        }
        if (s->left < s->line_len)
            malformed(s, "a body is longer than its Content-Length");
        s->left -= s->line_len;
        s->state = BODY;
        if (s->left == 0)
            end_body(s);
        return 0;
    case CHUNK_FIRST:
        /* One byte is enough here, because no chunk size begins with an H. */
        s->line_len = *bytes == 'H';
        s->state = CHUNK_SIZE;
        if (s->line_len == 0)
            return 0;
        begin_next_head(s);
        return 1;
    case CHUNK_SIZE:
    case CHUNK_END:
    case LAST_LINE:
        take_frame(s, *bytes);
        return 1;
    case BODY:
    case CHUNK_DATA:
        s->left -= most;
        if (s->left == 0 && s->state == CHUNK_DATA)
            s->state = CHUNK_END;
        else if (s->left == 0)
            end_body(s);
        return most;
    case PLAIN:
        return len;
    case OVER:
        break;
    }
    malformed(s, "got bytes after an answer that closes the connection");
}

/* ==== Connections ============================================================================ */

/* Fails with a sentence that the suite looks for after it has stopped a server on purpose. */
__attribute__((noreturn)) static void refused(void)
{
    fail("the server does not accept connections: %s; seed %llu", strerror(errno),
        (unsigned long long)seed);
}

/* Closes a connection. Its first request counts as tried even if it was cut off. Later requests
 * that it did not begin to send move to another connection, so that every request is tried once. */
static void end_slot(struct slot *s)
{
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    unsigned tried = 1;
    while (tried < s->count && s->sent > s->ends[tried - 1])
        tried++;
    begun += tried;
    for (unsigned i = tried; i < s->count; i++)
        returned[returned_count++] = s->numbers[i];
    if (s->manner == RESETS)
        setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(s->fd);
    s->fd = -1;
    s->count = 0;
}

/* Sets the events that epoll watches on a connection. Most turns do not change them. */
static void watch(struct slot *s, int operation, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = s };
    if (operation == EPOLL_CTL_MOD && s->events == events)
        return;
    s->events = events;
    if (epoll_ctl(epoll, operation, s->fd, &event) < 0)
        fail("epoll: %s", strerror(errno));
}

/* Sends one piece. After the last one the connection waits for its answers, usually briefly. */
static void send_piece(struct slot *s, int64_t now)
{
    size_t most = s->len - s->sent, len = 1 + below(&s->random, s->piece_max);
    ssize_t n = send(s->fd, s->bytes + s->sent, len < most ? len : most, MSG_NOSIGNAL);
    if (n < 0 && errno == ECONNREFUSED)
        refused();
    if (n < 0 && errno != EAGAIN) {
        s->sent_all = true; /* the server has closed; its last answer can still be read */
        return;
    }
    s->sent += n > 0 ? (size_t)n : 0;
    s->send_us = s->pauses ? now + below(&s->random, 4000) : now;
    if (s->manner == RESETS && s->sent >= s->reset_at)
        end_slot(s);
    else if (s->sent == s->len)
        s->sent_all = true;
    if (s->fd < 0 || !s->sent_all)
        return;
    /* Seven in ten connections wait at most 40 ms for their answers, two at most 300 ms, and one
     * for the rest of its life, as half-closed ones do to get all their answers. */
    unsigned patience = below(&s->random, 10);
    int64_t end_us = now + below(&s->random, patience < 7 ? 40000 : 300000);
    if (s->manner == HALF_CLOSES)
        shutdown(s->fd, SHUT_WR);
    if (patience < 9 && s->manner != HALF_CLOSES && end_us < s->end_us)
        s->end_us = end_us;
}

/* Reads and checks answers. A body with a length must not end early, except by a reset: the kernel
 * sends a reset if a server closes a connection with unread bytes. */
static void receive(struct slot *s, int64_t now)
{
    char bytes[16384];
    ssize_t n = recv(s->fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n < 0 && errno == ECONNREFUSED)
        refused();
    heard_us = now;
    for (size_t at = 0; n > 0 && at < (size_t)n;)
        at += take(s, bytes + at, (size_t)n - at);
    if (n == 0 && s->state == BODY)
        malformed(s, "the connection was closed before the end of the body");
    resets += n < 0;
    if (n <= 0)
        end_slot(s);
}

/* Closes a connection whose time is over. Otherwise decides whether it may read and send now. */
static void update(struct slot *s, int64_t now)
{
    if (s->end_us <= now) {
        end_slot(s);
        return;
    }
    bool reads = s->read_us <= now, sends = !s->sent_all && s->send_us <= now;
    watch(s, EPOLL_CTL_MOD, (reads ? EPOLLIN : 0u) | (sends ? EPOLLOUT : 0u));
}

/* Returns the next request's number, or UINT64_MAX if none is left. Returned ones come first. */
static uint64_t next_number(void)
{
    static uint64_t next;
    return returned_count > 0 ? returned[--returned_count] : next < wanted ? next++ : UINT64_MAX;
}

/* Makes the requests of a connection and chooses its behaviour. Returns false if none are left. */
static bool plan(struct slot *s, int64_t now)
{
    static struct text request;
    char *bytes = s->bytes;
    uint64_t random = seed ^ ~connections << 20, number;
    unsigned count = 1 + below(&random, below(&random, 2) == 0 ? 2 : REQUESTS_MAX);
    *s = (struct slot) { .fd = -1, .bytes = bytes };
    while (s->count < count && (number = next_number()) != UINT64_MAX) {
        make_request(&request, number);
        memcpy(s->bytes + s->len, request.at, request.len);
        s->len += request.len;
        s->numbers[s->count] = number;
        s->ends[s->count++] = s->len;
    }
    if (s->count == 0)
        return false;
    /* Half of the connections send everything at once, the others in pieces of up to 4,000 or 100
     * bytes; four in ten are half-closed at their end, two are reset. */
    unsigned pieces = below(&random, 10), manner = below(&random, 10);
    s->piece_max = pieces < 5 ? (unsigned)s->len * 2 : 1 + below(&random, pieces < 8 ? 4000 : 100);
    s->pauses = pieces == 9;
    s->manner = manner < 4 ? HALF_CLOSES : manner < 6 ? RESETS : CLOSES;
    s->reset_at = 1 + below(&random, (unsigned)s->len * 2); /* past the end: at the close */
    s->end_us = now + LIFE_US;
    s->read_us = below(&random, 8) == 0 ? now + below(&random, LIFE_US) : now;
    s->random = random;
    return true;
}

/* Opens a connection. Returns false if no local port is free; the next turn tries again. */
static bool open_slot(struct slot *s)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int small = 2048, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    if (connections % 8 == 0) /* a small receive buffer causes short writes in the server */
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS) {
        if (errno != EADDRNOTAVAIL)
            refused();
        close(fd);
        return false;
    }
    s->fd = fd;
    watch(s, EPOLL_CTL_ADD, EPOLLOUT);
    connections++;
    return true;
}

/* ==== The loop =============================================================================== */

/* Fills the free slots. Returns how many slots are in use. */
static int fill_slots(int64_t now)
{
    int open = 0;
    for (struct slot *s = slots; s < slots + SLOTS; s++) {
        if (s->fd < 0 && s->count == 0 && !plan(s, now)) /* a planned slot got no port before */
            continue;
        if (s->fd < 0 && open_slot(s))
            s->end_us = now + LIFE_US;
        open++;
    }
    return open;
}

/* Runs one turn of the loop: serves readable and writable connections, then updates all. */
static void turn(int64_t now)
{
    struct epoll_event events[SLOTS];
    int n = epoll_wait(epoll, events, SLOTS, 2);
    for (int i = 0; i < n; i++) {
        struct slot *s = events[i].data.ptr;
        if (s->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
            receive(s, now); /* which may close it */
        if (s->fd >= 0 && (events[i].events & EPOLLOUT) && !s->sent_all)
            send_piece(s, now);
    }
    for (struct slot *s = slots; s < slots + SLOTS; s++)
        if (s->fd >= 0)
            update(s, now);
}

/* Prints the summary, in which the suite looks for statuses. */
static void print_summary(void)
{
    uint64_t all = 0;
    for (int status = 0; status < 600; status++)
        all += answers[status];
    printf("storm: seed %llu: %llu requests, %llu connections, %llu resets, %llu answers:",
        (unsigned long long)seed, (unsigned long long)begun, (unsigned long long)connections,
        (unsigned long long)resets, (unsigned long long)all);
    for (int status = 0; status < 600; status++)
        if (answers[status] > 0)
            printf(" %d %llu", status, (unsigned long long)answers[status]);
    printf("\n");
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 6) {
        fputs("usage: storm PORT COUNT [SEED [SECONDS [TOKEN]]]\n", stderr);
        return 2;
    }
    struct timespec unix_time;
    clock_gettime(CLOCK_REALTIME, &unix_time);
    start_ms = (uint64_t)unix_time.tv_sec * 1000;
    port = atoi(argv[1]);
    wanted = strtoull(argv[2], NULL, 10);
    token = argc > 5 ? argv[5] : NULL;
    seed = argc > 3 ? strtoull(argv[3], NULL, 10) : (uint64_t)now_us();
    int64_t now = now_us(), end_us = now + (argc > 4 ? atoi(argv[4]) : 600) * INT64_C(1000000);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    heard_us = now;
    for (struct slot *s = slots; s < slots + SLOTS; s++) {
        s->fd = -1;
        s->bytes = malloc((size_t)REQUESTS_MAX * REQUEST_MAX);
        if (s->bytes == NULL || epoll < 0)
            fail("out of memory, or no epoll: %s", strerror(errno));
    }
    for (; fill_slots(now) > 0; now = now_us()) {
        turn(now);
        if (now - heard_us > SILENCE_US)
            fail("the server has sent nothing for %d seconds; seed %llu", SILENCE_US / 1000000,
                (unsigned long long)seed);
        if (now > end_us)
            fail("timed out after %llu requests", (unsigned long long)begun);
    }
    struct reply reply = { 0 };
    int status = get(port, "/healthz", &reply);
    if (status != 200)
        fail("expected 200 for GET /healthz at the end, got: %s",
            status > 0 ? reply.body : "no answer");
    print_summary();
    return 0;
}
