/* pages.c - read history by pages, and /healthz.
 *
 * A poller follows one room with after=ID, sometimes with a long poll, and moves to another room
 * now and then. A census reads each room from its oldest message to its newest: so every message
 * that must still be held is missed even if no stream asks for it. */

#include "test/tools/havoc/havoc.h"

enum {
    PAGERS = 5,
    CENSUS_FROM = 3,       /* the pagers from here on take the census */
    HEALTH_US = 200000,    /* between two looks at /healthz */
    REACH = 1500,          /* messages back from the newest, for half of the ids to begin from */
    TRIES = 3,             /* of a census to read a room that drops messages meanwhile */
    PAGE_ANSWER_MS = 5000, /* the longest wait for a page that does not wait for messages */
};

struct pager {
    struct actor actor; /* first, so that an actor is a pager */
    uint64_t random;
    struct answer answer;
    struct segment now; /* the page that is being read, or, in a census, the room */
    char name[32];
    bool census, sent, waits;
    unsigned room, limit;
    struct id from; /* 0-0: from the oldest */
    bool from_oldest;
    int64_t sent_us;
    unsigned rooms_read; /* by the census, since pages_again */
    unsigned tries;      /* of the census, for its room */
};

static struct pager pagers[PAGERS];

static struct {
    unsigned room;
    struct id from;
    bool is_set;
} probe; /* where the next pager that moves on begins */

/* The client of /healthz. */
static struct {
    struct actor actor;
    uint64_t random;
    struct answer answer;
    bool sent;
    unsigned life;
    int64_t sent_us, bad_us;
} health;

/* ==== Pages ================================================================================== */

void pages_probe(unsigned room, struct id from)
{
    probe.room = room;
    probe.from = from;
    probe.is_set = true;
}

/* Chooses an id that a client has got, from the latest or from all. */
static struct id choose_id(struct pager *p)
{
    size_t reach = below(&p->random, 2) == 0 && entry_count > REACH ? REACH : entry_count;
    return entries[entry_count - 1 - below(&p->random, (unsigned)reach)].id;
}

/* Moves on to another room: from its oldest message on, or from any id that a client has got. */
static void next_room(struct pager *p)
{
    p->tries = 0;
    p->room = p->census ? (p->room + 1) % ROOMS : below(&p->random, ROOMS);
    p->from_oldest = p->census || entry_count == 0 || below(&p->random, 8) == 0;
    p->from = p->from_oldest ? no_id : choose_id(p);
    if (p->census || !probe.is_set)
        return;
    p->room = probe.room;
    p->from = probe.from;
    p->from_oldest = probe.is_set = false;
}

/* Checks a page's messages, and adds them to the segment. Returns what follows them. */
static const char *take_messages(struct pager *p, const char *body)
{
    char text[64];
    struct id id;
    const char *at = body;
    for (const char *next; (next = strstr(at, "{\"id\":\"")) != NULL; at = next + 1) {
        if (!text_after(next, "{\"id\":\"", text, sizeof text) || !parse_id(text, &id))
            broken("%s: expected an element with an id, got: %.200s", p->name, next);
        unsigned number = ledger_deliver(p->name, p->now.life, id, NULL, next);
        segment_add(&p->now, messages[number].room, id);
    }
    const char *tail = strstr(at, "],\"oldest\":");
    if (tail == NULL)
        broken("%s: expected a page, got: %.300s", p->name, body);
    return tail;
}

/* Notes, for a page with a gap and for one from the oldest message, that it has all that is held.
 */
static void note_whole(struct pager *p, bool gap)
{
    if (gap)
        segment_gap(&p->now, p->room, NULL);
    p->now.gaps |= 1u << p->room;
    p->now.whole |= 1u << p->room;
    p->now.empty |= 1u << p->room; /* unless a message comes */
    counts[COUNT_PAGE_GAPS] += gap;
}

/* Begins a room again, or the next request: forgets what has come. */
static void forget(struct pager *p)
{
    free(p->now.ids);
    p->now = (struct segment) { .reader = p->name };
}

/* Checks the pages so far; they are complete if there is no more. */
static void check_page(const struct pager *p, bool more)
{
    const struct segment *s = &p->now;
    segment_check(s);
    if (more)
        return;
    segment_check_replay(s);
    if ((s->gaps & 1u << p->room) != 0)
        segment_check_held(s, p->room);
    /* Rooms over --max-rooms may be back after the next start. */
    if (p->census && s->count == 0 && lives[s->life].max_rooms >= ROOMS)
        check_empty(p->room, s->requested);
}

/* Takes a gap between two pages of a census: the room has dropped what comes next, so the census
 * begins the room again. It leaves the room if that happens often, because after damage a room
 * tells a gap although it still holds everything from that page on. */
static void take_gap_between(struct pager *p)
{
    p->now.from = p->from;
    segment_gap(&p->now, p->room, NULL);
    forget(p);
    p->from = no_id;
    p->from_oldest = true;
    if (++p->tries < TRIES)
        return;
    p->rooms_read++;
    next_room(p);
}

/* Takes a page that has come: checks it, and goes on from its end. A census keeps the segment over
 * all pages of a room. */
static void take_page(struct pager *p)
{
    struct segment *s = &p->now;
    if (p->answer.status == 503 && p->waits && lives[s->life].max_rooms < ROOMS) {
        next_room(p); /* a held request needs a room, and there are too many */
        return;
    }
    if (p->answer.status != 200)
        broken("%s: expected a page, got: %s", p->name, p->answer.bytes);
    const char *body = p->answer.body, *end = body + strlen(body);
    const char *tail = end - body > 200 ? end - 200 : body;
    bool gap = strstr(tail, "\"gap\":true") != NULL, more = strstr(tail, "\"more\":true") != NULL;
    size_t before = s->count;
    counts[COUNT_PAGES]++;
    if (gap && before > 0) {
        take_gap_between(p);
        return;
    }
    if (gap && p->from_oldest)
        broken("%s: a page from the oldest message on must not tell a gap: %s", p->name, tail);
    if (gap || p->from_oldest)
        note_whole(p, gap);
    tail = take_messages(p, body);
    check_page(p, more);
    if (more && s->count == before)
        broken("%s: a page says that there is more, but has no message", p->name);
    char text[64];
    if (text_after(tail, "\"newest\":\"", text, sizeof text) && parse_id(text, &p->from))
        p->from_oldest = false;
    p->rooms_read += p->census && !more;
    if (!more || !p->census)
        forget(p);
    if (p->census ? !more : below(&p->random, more ? 30 : 4) == 0)
        next_room(p);
}

/* Requests a page. A census of a room is one request in many pages. */
static void send_request(struct pager *p)
{
    char request[512], after[80], wait[32] = "";
    if (p->actor.fd < 0 && !actor_connect(&p->actor, &p->random, 0))
        return;
    bool goes_on = p->census && p->now.count > 0;
    p->waits = !p->census && !p->from_oldest && !finishing && below(&p->random, 4) == 0;
    p->limit = p->census ? 500 : 1 + below(&p->random, below(&p->random, 2) == 0 ? 10 : 500);
    if (!goes_on)
        p->now = (struct segment) { .reader = p->name,
            .is_page = true,
            .life = life,
            .rooms = 1u << p->room,
            .resumes = true,
            .from = p->from,
            .requested = order + 1 };
    if (p->waits)
        snprintf(wait, sizeof wait, "&wait=%u", 1 + below(&p->random, 2));
    snprintf(after, sizeof after, "%llu-%llu", (unsigned long long)p->from.ms,
        (unsigned long long)p->from.seq);
    int len = snprintf(request, sizeof request,
        "GET /messages?room=r%u&after=%s&limit=%u%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", p->room,
        after, p->limit, wait);
    p->answer.len = 0;
    p->sent = true;
    p->sent_us = turn_us;
    p->actor.wake_us = INT64_MAX;
    if (!actor_send(&p->actor, request, (size_t)len))
        p->actor.wake_us = turn_us; /* reading tells that the connection has ended */
}

/* Ends a connection without an answer. A census begins its room again, with another server. */
static void lose(struct pager *p)
{
    actor_hang_up(&p->actor, below(&p->random, 20000));
    p->sent = false;
    forget(p);
    if (p->census) {
        p->from = no_id;
        p->from_oldest = true;
    }
}

/* Acts for a pager: takes a page, or requests the next one. */
static void act(struct actor *actor, bool ready)
{
    struct pager *p = (struct pager *)(void *)actor;
    if (p->sent) {
        int result = answer_read(&p->answer, actor->fd);
        if (result < 0)
            lose(p);
        if (result <= 0)
            return;
        p->sent = false;
        actor->wake_us = turn_us + below(&p->random, p->census ? 40000 : 200000);
        take_page(p);
        if (finishing || p->now.count > 0)
            actor->wake_us = turn_us + 1000;
        if (p->answer.close)
            lose(p);
        return;
    }
    if (ready)
        lose(p); /* the server ends an idle connection */
    else
        send_request(p);
}

void pages_again(void)
{
    for (unsigned i = CENSUS_FROM; i < PAGERS; i++)
        pagers[i].rooms_read = 0;
}

void pages_describe(void)
{
    for (unsigned i = 0; i < PAGERS; i++)
        note("%s: %u rooms read, room r%u, %s, from %llu-%llu, %zu messages, fd %d, due in %lld us",
            pagers[i].name, pagers[i].rooms_read, pagers[i].room,
            pagers[i].sent ? "waiting" : "idle", (unsigned long long)pagers[i].from.ms,
            (unsigned long long)pagers[i].from.seq, pagers[i].now.count, pagers[i].actor.fd,
            (long long)(pagers[i].actor.wake_us - turn_us));
}

bool pages_are_done(void)
{
    for (unsigned i = CENSUS_FROM; i < PAGERS; i++)
        if (pagers[i].rooms_read <= ROOMS) /* the first one may have begun earlier */
            return false;
    return true;
}

/* ==== /healthz =============================================================================== */

/* Takes the answer of /healthz: 503 only for a reason. */
static void take_health(void)
{
    int status = health.answer.status;
    counts[COUNT_HEALTH]++;
    if (status == 503) {
        counts[COUNT_UNWELL]++;
        health.bad_us = turn_us;
    }
    if (status != 200 && (status != 503 || !acts_excuse_refusals()))
        broken("/healthz says without a reason: %s", health.answer.bytes);
}

/* Acts for the client of /healthz. */
static void act_health(struct actor *actor, bool ready)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    int result = -1;
    if (health.sent && (result = answer_read(&health.answer, actor->fd)) == 0)
        return;
    if (result > 0)
        take_health();
    bool ended = result < 0 && (health.sent || ready);
    health.sent = false;
    if (ended) {
        actor_hang_up(actor, 5000);
    } else if (result > 0) {
        actor->wake_us = turn_us + HEALTH_US;
    } else if (actor->fd >= 0 || actor_connect(actor, &health.random, 0)) {
        health.sent = true;
        health.sent_us = turn_us;
        health.life = life;
        health.answer.len = 0;
        actor->wake_us = INT64_MAX;
        if (!actor_send(actor, request, sizeof request - 1))
            actor->wake_us = turn_us;
    }
}

int64_t health_bad_us(void)
{
    return health.bad_us;
}

/* ==== The run ================================================================================ */

void pages_begin(uint64_t *random)
{
    for (unsigned i = 0; i < PAGERS; i++) {
        struct pager *p = &pagers[i];
        p->random = next_random(random);
        p->census = i >= CENSUS_FROM;
        p->room = i == CENSUS_FROM ? 0 : below(&p->random, ROOMS);
        p->from_oldest = true;
        snprintf(p->name, sizeof p->name, p->census ? "census %u" : "pager %u", i);
        p->now.reader = p->name;
        p->actor.act = act;
        loop_add(&p->actor);
    }
    health.random = next_random(random);
    health.actor.act = act_health;
    loop_add(&health.actor);
}

/* Returns whether a request has waited too long for its answer. */
static bool is_late(bool sent, unsigned in_life, int64_t sent_us, int64_t waits_ms)
{
    return sent && in_life == life && server_pid > 0 &&
           turn_us > disk_blocked_us(sent_us) + (PAGE_ANSWER_MS + waits_ms) * 1000;
}

/* Checks that pages and /healthz are answered in time, whatever the disk does. */
void pages_check(void)
{
    bool late = is_late(health.sent, health.life, health.sent_us, 0);
    for (unsigned i = 0; i < PAGERS; i++)
        late |= is_late(
            pagers[i].sent, pagers[i].now.life, pagers[i].sent_us, pagers[i].waits ? 2000 : 0);
    if (late)
        broken("a page or /healthz was not answered within %d ms", PAGE_ANSWER_MS);
}
