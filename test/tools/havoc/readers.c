/* readers.c - read streams, and resume them.
 *
 * Half of the readers hang up now and then; some use HTTP/1.0; some read a byte at a time, with
 * pauses, so that the server cuts them when they lag past the history. Visitors read the quiet
 * rooms, and stay away in between, so that these rooms can be forgotten. All connections of a run
 * are kept and checked once more at its end, when every id is known. */

#include "test/tools/havoc/havoc.h"

enum {
    READERS = 16,
    SLOW_FROM = 12, /* the kinds of readers, by their numbers */
    VISITORS_FROM = 14,
    PIECE_BYTES = 32768,
    SLOW_BUFFER = 2048, /* bytes that the kernel holds for a slow reader */
    LATE_MS = 10000,    /* a live reader has every message that soon */
    SILENT_MS = 15000,  /* and something, be it a heartbeat */
    REACH = 8,          /* connections by which a reader may go back */
};

struct reader {
    struct actor actor; /* first, so that an actor is a reader */
    struct sse sse;
    struct segment now;
    struct segment *past; /* all earlier connections */
    size_t past_count;
    uint64_t random;
    char name[32];
    uint32_t rooms;
    bool http10, restless, slow, visitor;
    bool has_last;
    struct id last; /* to resume from */
    int64_t heard_us;
    bool again, caught_up; /* at the end of the run */
};

static struct reader readers[READERS];

/* ==== Events ================================================================================= */

/* Takes a gap. It comes before all messages, and says from which id on something is lost. */
static void take_gap(struct reader *r)
{
    struct segment *s = &r->now;
    char text[64], reason[32];
    unsigned room;
    struct id after;
    if (!text_after(r->sse.data, "\"room\":\"r", text, sizeof text) ||
        sscanf(text, "%u", &room) != 1 || room >= ROOMS || (s->rooms & 1u << room) == 0 ||
        (s->gaps & 1u << room) != 0 || s->count > 0 || s->ready)
        broken("%s: expected one gap at most for each of its rooms, before all messages, got: %s",
            r->name, r->sse.data);
    if (!text_after(r->sse.data, "\"reason\":\"", reason, sizeof reason) ||
        !text_after(r->sse.data, "\"after\":\"", text, sizeof text) || !parse_id(text, &after) ||
        compare_ids(after, s->from) != 0)
        broken("%s: expected a gap after %llu-%llu, got: %s", r->name,
            (unsigned long long)s->from.ms, (unsigned long long)s->from.seq, r->sse.data);
    if (!text_after(r->sse.data, "\"oldest\":\"", text, sizeof text))
        s->empty |= 1u << room;
    else if (!parse_id(text, &s->oldest[room]))
        broken("%s: expected an id, got: %s", r->name, r->sse.data);
    segment_gap(s, room, reason);
    counts[strcmp(reason, "expired") == 0     ? COUNT_EXPIRED
           : strcmp(reason, "restarted") == 0 ? COUNT_RESTARTED
                                              : COUNT_UNKNOWN]++;
}

/* Takes the `ready` event: the replay is over. */
static void take_ready(struct reader *r, struct id id)
{
    struct segment *s = &r->now;
    if (s->ready || is_before(id, s->last) ||
        (s->resumes && s->gaps == 0 && is_before(id, s->from)))
        broken("%s: resumed from %llu-%llu, last %llu-%llu: an unexpected `ready` with the id %s",
            r->name, (unsigned long long)s->from.ms, (unsigned long long)s->from.seq,
            (unsigned long long)s->last.ms, (unsigned long long)s->last.seq, r->sse.id);
    s->ready = true;
    s->ready_id = s->last = id;
    segment_check_replay(s);
    segment_check(s);
    counts[COUNT_CLEAN] += s->resumes && s->gaps == 0;
    r->caught_up |= r->again;
}

/* Takes an event of a stream. */
static void take_event(struct sse *sse)
{
    struct reader *r = sse->owner;
    struct id id = no_id;
    if (sse->has_id && !parse_id(sse->id, &id))
        broken("%s: expected an id, got: %s", r->name, sse->id);
    if (strcmp(sse->event, "presence") == 0 || strcmp(sse->event, "heartbeat") == 0)
        return;
    if (strcmp(sse->event, "busy") == 0) {
        counts[COUNT_BUSY]++;
        return;
    }
    if (strcmp(sse->event, "gap") == 0) {
        take_gap(r);
        return;
    }
    if (!sse->has_id)
        broken("%s: expected an event with an id, got %s: %s", r->name, sse->event, sse->data);
    if (strcmp(sse->event, "ready") == 0) {
        take_ready(r, id);
    } else {
        unsigned number = ledger_deliver(r->name, r->now.life, id, sse->event, sse->data);
        segment_add(&r->now, messages[number].room, id);
    }
    r->last = id;
    r->has_last = true;
}

/* Ends the run because of invalid framing. */
__attribute__((noreturn)) static void take_broken(
    struct sse *sse, const char *what, const char *bytes)
{
    const struct reader *r = sse->owner;
    broken("%s: %s: %s", r->name, what, bytes);
}

/* ==== Connections ============================================================================ */

/* Goes back to an id that the reader really got before, on one of its latest connections or on any.
 */
static void go_back(struct reader *r)
{
    unsigned reach = (unsigned)r->past_count;
    if (below(&r->random, 2) == 0 && reach > REACH)
        reach = REACH;
    const struct segment *s = &r->past[r->past_count - 1 - below(&r->random, reach)];
    if (s->count > 0)
        r->last = s->ids[below(&r->random, (unsigned)s->count)];
}

/* Writes the request. A reader resumes from its last id, in the header or the URL; now and then it
 * goes back to an earlier one, or begins with the latest messages instead. */
static size_t write_request(struct reader *r, char *out, size_t size)
{
    char query[512] = "", field[64] = "";
    size_t len = 0;
    bool commas = below(&r->random, 2) == 0;
    for (unsigned room = 0; room < ROOMS; room++)
        if ((r->rooms & 1u << room) != 0)
            len += (size_t)snprintf(query + len, sizeof query - len, "%sr%u",
                len == 0 ? "room="
                : commas ? ","
                         : "&room=",
                room);
    if (r->has_last && !finishing && below(&r->random, 6) == 0 && r->past_count > 0)
        go_back(r);
    if (!finishing && below(&r->random, 16) == 0)
        r->has_last = false;
    r->now.resumes = r->has_last;
    r->now.from = r->has_last ? r->last : no_id;
    if (!r->has_last && below(&r->random, 2) == 0)
        snprintf(query + len, sizeof query - len, "&history=%u", 1 + below(&r->random, 60));
    else if (r->has_last && below(&r->random, 2) == 0)
        snprintf(query + len, sizeof query - len, "&last_event_id=%llu-%llu",
            (unsigned long long)r->last.ms, (unsigned long long)r->last.seq);
    else if (r->has_last)
        snprintf(field, sizeof field, "Last-Event-ID: %llu-%llu\r\n",
            (unsigned long long)r->last.ms, (unsigned long long)r->last.seq);
    return (size_t)snprintf(out, size, "GET /events?%s HTTP/1.%d\r\nHost: 127.0.0.1\r\n%s\r\n",
        query, r->http10 ? 0 : 1, field);
}

/* Opens a stream. */
static void begin(struct reader *r)
{
    char request[1024];
    if (!actor_connect(&r->actor, &r->random, r->slow ? SLOW_BUFFER : 0))
        return;
    r->now = (struct segment) { .reader = r->name, .life = life, .rooms = r->rooms };
    size_t len = write_request(r, request, sizeof request);
    r->now.requested = order + 1;
    if (!actor_send(&r->actor, request, len)) {
        actor_hang_up(&r->actor, 1000);
        return;
    }
    sse_begin(&r->sse, r->http10);
    r->heard_us = turn_us;
    counts[COUNT_STREAMS]++;
    if (r->slow) {
        r->actor.events = 0;
        r->actor.wake_us = turn_us;
    }
}

/* Ends a connection, and keeps what it got. */
static void end(struct reader *r)
{
    segment_check(&r->now);
    actor_hang_up(
        &r->actor, 1000 * (int64_t)(r->visitor && !finishing ? 500 + below(&r->random, 4000)
                                                             : below(&r->random, 100)));
    if (!r->now.ready && r->now.count == 0)
        return;
    if (r->past_count % 64 == 0)
        r->past = grow(r->past, (r->past_count + 64) * sizeof *r->past);
    if (r->now.count > 0)
        r->now.ids = grow(r->now.ids, r->now.count * sizeof *r->now.ids);
    r->past[r->past_count++] = r->now;
    r->now = (struct segment) { .reader = r->name };
}

/* Lets a slow reader wait for its next byte, sometimes long. */
static void pause_slow(struct reader *r)
{
    int64_t pause_us = below(&r->random, 600) == 0 ? 2000000 : below(&r->random, 1500);
    r->actor.events = 0;
    r->actor.wake_us = turn_us + pause_us;
}

/* Acts for a reader: connects, or reads what has come. */
static void act(struct actor *actor, bool ready)
{
    struct reader *r = (struct reader *)(void *)actor;
    static char bytes[PIECE_BYTES];
    (void)ready;
    if (actor->fd < 0) {
        begin(r);
        return;
    }
    bool slow = r->slow && !finishing;
    ssize_t n = recv(
        actor->fd, bytes, slow ? 1 + below(&r->random, 3) : 1 + below(&r->random, PIECE_BYTES), 0);
    if (n < 0 && errno == EAGAIN) {
        if (slow)
            pause_slow(r);
        else
            *actor = (struct actor) { actor->fd, POLLIN, INT64_MAX, act };
        return;
    }
    if (n <= 0) {
        counts[COUNT_OVERRUN] += r->slow && server_pid > 0 && r->now.life == life;
        end(r);
        return;
    }
    r->heard_us = turn_us;
    sse_take(&r->sse, bytes, (size_t)n);
    unsigned patience = r->visitor ? 20 : 300;
    if ((r->restless || r->visitor) && !finishing && below(&r->random, patience) == 0)
        end(r);
    else if (slow)
        pause_slow(r);
}

/* ==== The run ================================================================================ */

/* Returns a set of rooms: a few, or 16 of those that are not quiet. */
static uint32_t choose_rooms(struct reader *r, unsigned number)
{
    uint32_t all = (1u << QUIET_FROM) - 1, some = 0;
    if (r->visitor)
        return number % 2 == 0 ? (1u << ROOMS) - 1 - all
                               : 1u << (QUIET_FROM + below(&r->random, ROOMS - QUIET_FROM));
    if (number % 3 == 0)
        return all;
    for (unsigned i = 0; i < 1 + number % 3 * 2; i++)
        some |= 1u << below(&r->random, i < 2 ? 4 : QUIET_FROM); /* the first rooms are busy */
    return some;
}

void readers_begin(uint64_t *random)
{
    for (unsigned i = 0; i < READERS; i++) {
        struct reader *r = &readers[i];
        r->random = next_random(random);
        snprintf(r->name, sizeof r->name, "stream %u", i);
        r->http10 = i % 4 == 3;
        r->restless = i % 2 == 0;
        r->slow = i >= SLOW_FROM && i < VISITORS_FROM;
        r->visitor = i >= VISITORS_FROM;
        r->rooms = choose_rooms(r, i);
        r->sse.owner = r;
        r->sse.take = take_event;
        r->sse.broken = take_broken;
        r->actor.act = act;
        loop_add(&r->actor);
    }
}

/* Checks that a live reader is not left without messages that were acknowledged a while ago. */
static void check_late(const struct reader *r)
{
    for (size_t i = ledger_after(r->now.last); i < entry_count; i++) {
        const struct entry *e = &entries[i];
        if ((r->rooms & 1u << messages[e->message].room) != 0 && e->acked > r->now.requested &&
            e->life == life && turn_us > disk_blocked_us(e->acked_us) + LATE_MS * 1000)
            broken("%s: message %u, acknowledged as %llu-%llu, has not come within %d s", r->name,
                e->message, (unsigned long long)e->id.ms, (unsigned long long)e->id.seq,
                LATE_MS / 1000);
    }
}

void readers_check(void)
{
    for (unsigned i = 0; i < READERS; i++) {
        struct reader *r = &readers[i];
        if (r->actor.fd < 0 || server_pid == 0 || r->now.life != life)
            continue;
        segment_check(&r->now);
        if (r->slow)
            continue;
        if (r->now.ready)
            check_late(r);
        if (turn_us > disk_blocked_us(r->heard_us) + SILENT_MS * 1000)
            broken(
                "%s: nothing has come for %d s, not even a heartbeat", r->name, SILENT_MS / 1000);
    }
}

bool readers_are_done(void)
{
    bool done = true;
    for (unsigned i = 0; i < READERS; i++) {
        struct reader *r = &readers[i];
        if (!r->again && r->actor.fd >= 0)
            end(r);
        r->again = true;
        done &= r->caught_up;
    }
    return done;
}

void readers_check_all(void)
{
    for (unsigned i = 0; i < READERS; i++)
        for (size_t n = 0; n < readers[i].past_count; n++)
            segment_check(&readers[i].past[n]);
}
