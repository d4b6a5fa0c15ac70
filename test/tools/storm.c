/* storm.c - sends a running server many thousand damaged requests.
 *
 *     storm PORT COUNT [SEED [SECONDS [TOKEN]]]
 *
 * This is mutation fuzzing from outside, against the real program with its timers and sockets. It
 * makes COUNT requests of all kinds that the server knows, and damages half of them: bits turned
 * over, pieces cut out, doubled or put into each other, line ends changed, numbers made huge, NULs,
 * deep JSON, half characters, endless fields. They go over up to 64 connections at a time, several
 * on each, in pieces of any size. Some connections are half closed at their end, some are reset,
 * and some do not read for a while; streams are kept for a bit. With a TOKEN most requests carry
 * it. A connection lives for a second at most, and a request that did not get its turn on it is the
 * first one on another.
 *
 * Which answer is right cannot be known for a damaged request. So storm checks what holds for every
 * one: whatever the server sends must be a sequence of answers, each with a status line and as much
 * body as it announces, and nothing may follow the answer that closes. The server must go on
 * accepting and answering, and be healthy at the end. Then one line tells how many requests,
 * connections and answers of each status there were; otherwise one line says what is wrong, and the
 * exit code is 1. Whether memory or descriptors are lost is for the suite that runs it, storm.bats.
 *
 * The seed is printed. The same seed makes the same requests, though not at the same moments. */

#include "tool.h"

#include <sys/epoll.h>

enum {
    SLOTS = 64,
    REQUESTS_MAX = 6,       /* on one connection */
    REQUEST_MAX = 40000,    /* bytes: over the largest head, and over the tests' largest body */
    LIFE_US = 1000000,      /* of a connection */
    SILENCE_US = 20000000,  /* from the server on all connections: it hangs */
    ANSWER_HEAD_MAX = 8192, /* bytes, far more than any head of ours */
    RETURNED_MAX = SLOTS * REQUESTS_MAX,
};

/* ==== Requests =============================================================================== */

/* The seeds: a '@' in targets and fields becomes an id from about now. */
static const char *const targets[] = {
    /* Files of the page, and paths that lead nowhere or out of it. */
    "/",
    "/index.html",
    "/style.css",
    "/chat.js",
    "/icon.svg",
    "/nothing",
    "/folder/file.txt",
    "/%2e%2e/%2e%2e/etc/passwd",
    "*",
    "http://127.0.0.1/healthz",
    "/healthz",
    "/rooms",
    /* Streams: one room, several, the most there may be; with a name, history, a last id. */
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

/* Those of a POST: where it may go, and two places where it may not. */
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

/* Content types, of which the last one is refused (415). */
static const char *const types[] = {
    "application/json",
    "application/json",
    "application/json; charset=utf-8",
    "application/octet-stream",
    "text/plain",
};

/* Bodies: JSON of every kind that the server accepts, and some that it refuses. */
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

/* Pieces that are put in anywhere: the delimiters and numbers at which parsers go wrong. With their
 * lengths, because one of them is a NUL. */
#define WORD(text)            \
    {                         \
        text, sizeof text - 1 \
    }
static const struct {
    const char *at;
    size_t len;
} words[] = {
    /* Line ends, and bytes that end something else. */
    WORD("\r\n"),
    WORD("\n"),
    WORD("\r"),
    WORD("\r\n\r\n"),
    WORD("\0"),
    WORD(" "),
    WORD("\t"),
    /* In a URL. */
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
    /* In a JSON string; then bytes that are not UTF-8, and a bidirectional control. */
    WORD("\""),
    WORD("\\u0000"),
    WORD("\\ud800"),
    WORD("\xf0\x9f"),
    WORD("\xed\xa0\x80"),
    WORD("\xff\xfe"),
    WORD("\xe2\x80\xae"),
    /* Numbers, and an id of the far future. */
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
    /* Parameters, the beginning of a body, requests inside a request, and a false event. */
    WORD("history=500"),
    WORD("wait=60"),
    WORD("limit=0"),
    WORD("{\"message\":"),
    WORD("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"),
    WORD("POST /messages HTTP/1.1\r\n"),
    WORD("data: x\n\nid: 1-1\n"),
};

#define COUNT(array) ((unsigned)(sizeof(array) / sizeof(array)[0]))

/* A request that is being made. Fixed in size: nothing here has to be freed. */
struct text {
    size_t len;
    char at[REQUEST_MAX];
};

static uint64_t seed, start_ms;
static const char *token; /* or NULL */

/* Bytes that do not fit are dropped, so a request never gets too long. */
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

/* Adds a string in which each '@' becomes an id of the last minute or of the next. */
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

/* A long body, a deep one, or one of the examples. */
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

/* The body in chunks of one byte to a few thousand, sometimes with an extension and a trailer. */
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

/* A request that is right, of any method, target, fields and body. */
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

/* Replaces `away` bytes at a place by others. All damage is made of this. */
static void replace(struct text *t, size_t at, size_t away, const char *bytes, size_t len)
{
    static struct text rest;
    rest.len = 0;
    add(&rest, t->at + at + away, t->len - at - away);
    t->len = at;
    add(t, bytes, len);
    add(t, rest.at, rest.len);
}

/* Draws a stretch of a text, most often a short one: its place in `*at`, its length as the
 * result. */
static size_t span(const struct text *t, size_t *at, uint64_t *random)
{
    *at = below(random, (unsigned)t->len);
    size_t most = t->len - *at, wanted = 1 + below(random, below(random, 4) == 0 ? 2000 : 20);
    return wanted < most ? wanted : most;
}

/* Joins the beginning of this request and the end of another one. */
static void cross(struct text *t, uint64_t *random)
{
    static struct text other;
    make_valid(&other, random);
    size_t from = below(random, (unsigned)other.len), to = below(random, (unsigned)t->len);
    replace(t, to, t->len - to, other.at + from, other.len - from);
}

/* The next line end from a place on loses its CR, or gets one if it has none. */
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

/* The next number from a place on becomes one at which an integer type ends, or one in another
 * form. */
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

/* Puts in the same piece many times: brackets, letters, fields. */
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

/* A byte in percent-encoding, wherever it stands. */
static void escape(struct text *t, size_t at)
{
    char escaped[8];
    snprintf(escaped, sizeof escaped, "%%%02x", (unsigned char)t->at[at]);
    replace(t, at, 1, escaped, 3);
}

/* One of the mutations above. A request never gets empty, so that there is always a byte to
 * send. */
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

/* Makes request `number`. It depends on the seed and the number alone, whatever the connections do.
 * Half of the requests stay whole, so that there is something to break; the others are damaged once
 * or a few times. */
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

/* Where the parser of a connection stands. A damaged request may have been a HEAD or not, so storm
 * does not know whether the body that an answer announces is sent; it tells by the first bytes
 * behind the head. */
enum state {
    HEAD,
    BODY_FIRST, /* a body, or after a HEAD the next answer's head */
    BODY,
    CHUNK_FIRST, /* the same for a body in chunks */
    CHUNK_SIZE,
    CHUNK_DATA,
    CHUNK_END,
    LAST_LINE,
    PLAIN, /* a body up to the close */
    OVER,  /* nothing may follow */
};

/* How a connection ends, if the server does not end it. */
enum manner { CLOSES, HALF_CLOSES, RESETS };

/* A connection: its requests, its behaviour, and the parser of its answers. */
struct slot {
    int fd;          /* -1: there is none */
    uint64_t random; /* its own, so that its behaviour does not depend on the others' timing */

    /* What it sends. */
    char *bytes; /* the memory stays with the slot, for all its connections */
    size_t len, sent;
    unsigned count;                 /* requests in `bytes` */
    uint64_t numbers[REQUESTS_MAX]; /* of its requests */
    size_t ends[REQUESTS_MAX];      /* where each ends in `bytes` */
    unsigned piece_max;             /* bytes in one send */
    bool pauses;                    /* between two sends */
    int64_t send_us;                /* it sends nothing before this time */
    int64_t read_us;                /* it reads nothing before this time */
    int64_t end_us;                 /* it is closed at this time */
    enum manner manner;
    size_t reset_at; /* RESETS: after so many bytes */
    bool sent_all;
    uint32_t events; /* what epoll watches it for */

    /* What it receives. */
    enum state state;
    bool closes;
    uint64_t left; /* of the body, or the chunk */
    unsigned line_len;
    size_t head_len;
    char head[ANSWER_HEAD_MAX + 1];
};

static struct slot slots[SLOTS];
static int epoll, port;
static uint64_t wanted, begun, connections, resets, answers[600];
static uint64_t returned[RETURNED_MAX]; /* requests that did not get their turn */
static unsigned returned_count;         /* the last one is taken first */
static int64_t heard_us;                /* when the server last sent anything */

/* The numbers of the requests are printed, so that they can be made again. */
__attribute__((noreturn)) static void malformed(const struct slot *s, const char *why)
{
    fail("%s, in answer to the requests %llu to %llu of seed %llu: \"%.*s\"", why,
        (unsigned long long)s->numbers[0], (unsigned long long)s->numbers[s->count - 1],
        (unsigned long long)seed, (int)s->head_len, s->head);
}

/* The value of a field in the head, from its first byte on; NULL if it is not there. */
static const char *field_of(const struct slot *s, const char *name)
{
    const char *at = strcasestr(s->head, name);
    return at != NULL ? at + strlen(name) : NULL;
}

/* The head is complete: decides which kind of body follows (RFC 9112 6.3). */
static void end_head(struct slot *s)
{
    int status = atoi(s->head + 9);
    const char *length = field_of(s, "\r\nContent-Length: ");
    answers[status]++;
    s->closes = field_of(s, "\r\nConnection: close\r\n") != NULL;
    s->left = length != NULL ? strtoull(length, NULL, 10) : 0;
    s->line_len = 0;
    if (status < 200) /* 100 Continue: the answer itself is still to come */
        s->state = HEAD;
    else if (length != NULL && s->left > 0)
        s->state = BODY_FIRST;
    else if (length != NULL || status == 204 || status == 304)
        s->state = s->closes ? OVER : HEAD;
    else if (field_of(s, "\r\nTransfer-Encoding: chunked\r\n") != NULL)
        s->state = CHUNK_FIRST;
    else if (s->closes)
        s->state = PLAIN;
    else
        malformed(s, "a head has neither a length, chunks nor a close, so its end cannot be known");
    if (s->state == HEAD)
        s->head_len = 0;
}

/* One byte of a head. The first ones must be a status line, whatever the request was. */
static void take_head(struct slot *s, char c)
{
    static const char form[] = "HTTP/1.1 ### ";
    size_t i = s->head_len;
    if (i == ANSWER_HEAD_MAX)
        malformed(s, "a head is longer than any of ours");
    s->head[s->head_len++] = c;
    s->head[s->head_len] = '\0';
    if (i < sizeof form - 1 && (form[i] == '#' ? c < '0' || c > '9' : c != form[i]))
        malformed(s, "a status line was expected and something else came");
    if (i == 9 && (c < '1' || c > '5'))
        malformed(s, "a status from 100 to 599 was expected");
    if (c == '\0' || (c == '\n' && s->head[i - 1] != '\r'))
        malformed(s, "a head has a NUL or a bare LF");
    if (i >= 16 && memcmp(s->head + i - 3, "\r\n\r\n", 4) == 0)
        end_head(s);
}

/* The answer is complete. After one that closes nothing may follow. */
static void end_body(struct slot *s)
{
    s->state = s->closes ? OVER : HEAD;
    if (s->state == HEAD)
        s->head_len = 0;
}

/* One byte of a chunk's size, or of the lines between chunks. */
static void take_frame(struct slot *s, char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *digit = c != '\0' ? strchr(digits, c) : NULL;
    if (s->state != CHUNK_SIZE) {
        if (c != "\r\n"[s->line_len])
            malformed(s, "CR LF was expected behind a chunk and something else came");
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
        malformed(s, "a chunk's size was expected and something else came");
    }
}

/* The bytes behind the head begin a status line, and no body of ours does. So the answer was one to
 * a HEAD, and `line_len` bytes of the next answer have been taken already. */
static void begin_next_head(struct slot *s)
{
    if (s->closes)
        malformed(s, "the answer said `Connection: close`, and another one followed");
    s->state = HEAD;
    s->head_len = 0;
    for (unsigned i = 0; i < s->line_len; i++)
        take_head(s, "HTTP/"[i]);
}

/* Takes as many bytes as belong to the present state, and returns how many. */
static size_t take(struct slot *s, const char *bytes, size_t len)
{
    size_t most = len < s->left ? len : (size_t)s->left;
    switch (s->state) {
    case HEAD:
        take_head(s, *bytes);
        return 1;
    case BODY_FIRST:
        /* The first bytes of a status line are only counted, in line_len, until it is clear whether
         * they are one. If not, they were the first bytes of the body. */
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
        /* One byte is enough here: no chunk's size begins with an H. */
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
    malformed(s, "nothing was expected behind an answer that closes, and more bytes came");
}

/* ==== Connections ============================================================================ */

/* The suite looks for this sentence: it stops servers on purpose. */
__attribute__((noreturn)) static void refused(void)
{
    fail("the server does not accept connections: %s; seed %llu", strerror(errno),
        (unsigned long long)seed);
}

/* Closes a connection. Its first request counts as tried even if it was cut off; those after it of
 * which nothing was sent go to another connection, so that every request is tried once. */
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

/* Changes what epoll watches a connection for, only if that is different: most turns change
 * nothing. */
static void watch(struct slot *s, int operation, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = s };
    if (operation == EPOLL_CTL_MOD && s->events == events)
        return;
    s->events = events;
    if (epoll_ctl(epoll, operation, s->fd, &event) < 0)
        fail("epoll: %s", strerror(errno));
}

/* Sends one piece; the socket says when it is full. After the last one a connection waits a while
 * for its answers, most often a short one. */
static void send_piece(struct slot *s, int64_t now)
{
    size_t most = s->len - s->sent, len = 1 + below(&s->random, s->piece_max);
    ssize_t n = send(s->fd, s->bytes + s->sent, len < most ? len : most, MSG_NOSIGNAL);
    if (n < 0 && errno == ECONNREFUSED)
        refused();
    if (n < 0 && errno != EAGAIN) {
        s->sent_all = true; /* the server has closed; its last answer is still to be read */
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
    /* Seven of ten connections wait at most 40 ms for their answers, two wait 300 ms, and one waits
     * as long as it lives. A half-closed one always does, since it must get all of them. */
    unsigned patience = below(&s->random, 10);
    int64_t end_us = now + below(&s->random, patience < 7 ? 40000 : 300000);
    if (s->manner == HALF_CLOSES)
        shutdown(s->fd, SHUT_WR);
    if (patience < 9 && s->manner != HALF_CLOSES && end_us < s->end_us)
        s->end_us = end_us;
}

/* Reads and checks. A body with a length may not end early, except by a reset: the kernel sends one
 * when a server closes a connection with bytes unread. */
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

/* Decides what a connection waits for now: its turn to send, to read, or neither for a while. */
static void update(struct slot *s, int64_t now)
{
    if (s->end_us <= now) {
        end_slot(s);
        return;
    }
    bool reads = s->read_us <= now, sends = !s->sent_all && s->send_us <= now;
    watch(s, EPOLL_CTL_MOD, (reads ? EPOLLIN : 0u) | (sends ? EPOLLOUT : 0u));
}

/* The next request to send, returned ones first; UINT64_MAX when there is none left. */
static uint64_t next_number(void)
{
    static uint64_t next;
    return returned_count > 0 ? returned[--returned_count] : next < wanted ? next++ : UINT64_MAX;
}

/* Makes the requests of a connection, and draws how it behaves. False when there are none left. */
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
     * bytes; four of ten are half closed at their end, two are reset. */
    unsigned pieces = below(&random, 10), manner = below(&random, 10);
    s->piece_max = pieces < 5 ? (unsigned)s->len * 2 : 1 + below(&random, pieces < 8 ? 4000 : 100);
    s->pauses = pieces == 9;
    s->manner = manner < 4 ? HALF_CLOSES : manner < 6 ? RESETS : CLOSES;
    s->reset_at = 1 + below(&random, (unsigned)s->len * 2); /* or when it is given up */
    s->end_us = now + LIFE_US;
    s->read_us = below(&random, 8) == 0 ? now + below(&random, LIFE_US) : now;
    s->random = random;
    return true;
}

/* Opens a connection. False when the system has no local port free at the moment: it is tried again
 * in the next turn. */
static bool open_slot(struct slot *s)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    int small = 2048, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0)
        fail("socket: %s", strerror(errno));
    if (connections % 8 == 0) /* a small receive buffer: the server meets short writes */
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

/* Fills the free slots. Returns how many connections there are. */
static int fill_slots(int64_t now)
{
    int open = 0;
    for (struct slot *s = slots; s < slots + SLOTS; s++) {
        if (s->fd < 0 && s->count == 0 && !plan(s, now)) /* one with a plan had no port before */
            continue;
        if (s->fd < 0 && open_slot(s))
            s->end_us = now + LIFE_US;
        open++;
    }
    return open;
}

/* One turn of the loop: what is readable or writable, then every connection's plans. */
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

/* The suite prints this line and looks for statuses in it. */
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
            fail("no memory or no epoll: %s", strerror(errno));
    }
    for (; fill_slots(now) > 0; now = now_us()) {
        turn(now);
        if (now - heard_us > SILENCE_US)
            fail("the server has sent nothing for %d seconds; seed %llu", SILENCE_US / 1000000,
                (unsigned long long)seed);
        if (now > end_us)
            fail("the time was over after %llu requests", (unsigned long long)begun);
    }
    struct reply reply = { 0 };
    int status = get(port, "/healthz", &reply);
    if (status != 200)
        fail("GET /healthz was expected to give 200 at the end, and gave: %s",
            status > 0 ? reply.body : "no answer");
    print_summary();
    return 0;
}
