/* publishers.c - post messages with keys, each until it is answered.
 *
 * A publisher has one connection and at most one unanswered POST. It repeats the POST over a new
 * connection if the old one ends, and after a refusal; now and then it gives up. Sometimes it posts
 * what another publisher is just posting (so that a key is repeated while the first POST is in
 * flight), or what was acknowledged earlier (so that the key is still held, or not). */

#include "test/tools/havoc/havoc.h"

enum {
    PUBLISHERS = 10,
    BUSY_ROOMS = 4,   /* half of the messages go to these */
    REPEATED = 2000,  /* how far back a repeated message is */
    UNWELL_MS = 1000, /* /healthz tells of refusals at the latest after this */
    STUCK_MS = 6000,  /* from then on a stuck sync must not keep a POST waiting */
    STUCK_ANSWER_MS = 2000,
    LATE_MS = 9000, /* a head may take 10 s */
    IMPATIENT = 3,  /* publishers that do not wait for a stuck sync, but post something new */
    POST_MAX = 6000,
};

struct publisher {
    struct actor actor; /* first, so that an actor is a publisher */
    uint64_t random;
    struct answer answer;
    struct post post;
    bool pending; /* it has a message that is not answered */
    bool sent;    /* and waits for the answer */
    bool own;     /* and made it itself, so it insists */
    int64_t sent_us;
};

uint32_t silent_rooms;
bool volume;

static struct publisher publishers[PUBLISHERS];
static uint64_t accepted_order;
static int64_t accepted_us, refused_from_us, refused_us; /* 0: nothing was refused since */

/* ==== What to post =========================================================================== */

/* Returns a room that is not silent. */
static unsigned choose_room(struct publisher *p)
{
    unsigned room;
    do
        room = below(&p->random, below(&p->random, 2) == 0 ? BUSY_ROOMS : ROOMS);
    while ((silent_rooms & 1u << room) != 0);
    return room;
}

/* Chooses a message that another publisher is just posting. */
static bool choose_twin(const struct publisher *p, unsigned *message)
{
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        const struct publisher *q = &publishers[i];
        if (q == p || !q->sent || !q->own)
            continue;
        *message = q->post.message;
        counts[COUNT_TWINS]++;
        return true;
    }
    return false;
}

/* Chooses a message that was acknowledged not too long ago. */
static bool choose_repeated(struct publisher *p, unsigned *message)
{
    unsigned reach = message_count < REPEATED ? message_count : REPEATED;
    if (reach == 0)
        return false;
    *message = message_count - 1 - below(&p->random, reach);
    return messages[*message].state == MESSAGE_ACKNOWLEDGED &&
           (silent_rooms & 1u << messages[*message].room) == 0;
}

/* Chooses the next message. */
static void choose(struct publisher *p)
{
    unsigned kind = below(&p->random, 16), message;
    p->pending = true;
    p->own =
        !((kind < 2 && choose_twin(p, &message)) || (kind == 2 && choose_repeated(p, &message)));
    if (p->own)
        message = ledger_new(&p->random, choose_room(p), volume && below(&p->random, 2) == 0);
    p->post.message = message;
}

/* ==== Answers ================================================================================ */

/* Takes an accepted POST. */
static void take_accepted(struct publisher *p)
{
    ledger_acknowledge(&p->post, p->answer.status, p->answer.body);
    p->pending = false;
    if (p->answer.status == 201) {
        if (p->post.order > accepted_order)
            accepted_order = p->post.order;
        accepted_us = turn_us;
        refused_from_us = 0;
    }
}

/* Takes a refusal, which needs a reason. Publishers come back soon, and do not give up at once: not
 * because of the Retry-After, but to see whether the server recovers. */
static void take_refused(struct publisher *p)
{
    bool rooms = strstr(p->answer.body, "--max-rooms") != NULL;
    counts[COUNT_REFUSED]++;
    if (strcasestr(p->answer.bytes, "\r\nRetry-After: ") == NULL)
        broken("expected a Retry-After with: %s", p->answer.bytes);
    if (rooms ? lives[p->post.life].max_rooms >= ROOMS : !acts_excuse_refusals())
        broken(
            "a POST of message %u (room r%u) was refused without a reason, %lld ms after the last "
            "fault: %s",
            p->post.message, messages[p->post.message].room,
            (long long)(turn_us - disk_mended_us()) / 1000, p->answer.body);
    if (!rooms) {
        refused_us = turn_us;
        refused_from_us = refused_from_us != 0 ? refused_from_us : turn_us;
    }
    if (!p->own || (!finishing && below(&p->random, rooms ? 2 : 50) == 0)) {
        if (p->own)
            ledger_give_up(p->post.message);
        p->pending = false;
    }
}

/* Takes a 408. A server that must sync in its loop reads nothing meanwhile, so a head can be late
 * through no fault of its client, which posts again. */
static void take_late(const struct publisher *p)
{
    if (disk_blocked_us(p->sent_us) < p->sent_us + LATE_MS * 1000)
        broken("message %u was late, although the server was not blocked: %s", p->post.message,
            p->answer.bytes);
}

/* Takes an answer. */
static void take_answer(struct publisher *p)
{
    int64_t pause_us = below(&p->random, volume ? 15000 : 80000);
    p->sent = false;
    messages[p->post.message].open--;
    switch (p->answer.status) {
    case 200:
    case 201:
        take_accepted(p);
        break;
    case 503:
    case 507:
        take_refused(p);
        pause_us = 5000 + below(&p->random, 50000);
        break;
    case 408:
        take_late(p);
        break;
    default:
        broken("message %u in room r%u got an answer that it must not get: %s", p->post.message,
            messages[p->post.message].room, p->answer.bytes);
    }
    if (p->answer.close)
        actor_hang_up(&p->actor, pause_us);
    p->actor.wake_us = turn_us + pause_us;
}

/* ==== Connections ============================================================================ */

/* Ends a connection without an answer. The POST may have been accepted or not. */
static void lose(struct publisher *p)
{
    actor_hang_up(&p->actor, below(&p->random, 20000));
    if (p->sent && !finishing && (!p->own || below(&p->random, 8) == 0)) {
        if (p->own)
            ledger_give_up(p->post.message);
        p->pending = false;
    }
    p->sent = false;
}

/* Sends the POST, and sometimes does not wait for the answer, like a client whose network fails. */
static void send_post(struct publisher *p)
{
    char request[POST_MAX];
    if (p->actor.fd < 0 && !actor_connect(&p->actor, &p->random, 0))
        return;
    p->post.life = life;
    p->post.newest = ledger_newest();
    size_t len = ledger_post(p->post.message, request, sizeof request);
    p->post.order = order + 1;
    p->answer.len = 0;
    p->sent = true;
    p->sent_us = turn_us;
    p->actor.wake_us = INT64_MAX;
    if (!actor_send(&p->actor, request, len) || below(&p->random, 64) == 0)
        lose(p);
}

/* Acts for a publisher: takes an answer, or sends the next POST. */
static void act(struct actor *actor, bool ready)
{
    struct publisher *p = (struct publisher *)(void *)actor;
    if (ready) {
        if (!p->sent) { /* the server ends an idle connection */
            actor_hang_up(actor, actor->wake_us - turn_us);
            return;
        }
        int result = answer_read(&p->answer, actor->fd);
        if (result > 0)
            take_answer(p);
        else if (result < 0)
            lose(p);
        return;
    }
    if (p->sent || actor->wake_us > turn_us)
        return;
    if (!p->pending && finishing) {
        actor->wake_us = INT64_MAX;
        return;
    }
    if (!p->pending)
        choose(p);
    send_post(p);
}

/* ==== The run ================================================================================ */

void publishers_begin(uint64_t *random)
{
    for (unsigned i = 0; i < PUBLISHERS; i++) {
        publishers[i].random = next_random(random);
        publishers[i].actor.act = act;
        loop_add(&publishers[i].actor);
    }
}

bool publishers_are_done(void)
{
    for (unsigned i = 0; i < PUBLISHERS; i++)
        if (publishers[i].pending)
            return false;
    return true;
}

uint64_t publishers_accepted(void)
{
    return accepted_order;
}

int64_t publishers_accepted_us(void)
{
    return accepted_us;
}

/* Checks that a POST is answered in time. While a sync is stuck, the POSTs that wait for it have
 * time, and so has a POST whose key they have; but a new one must be refused at once. */
static void check_answer(const struct publisher *p)
{
    int64_t stuck_us = disk_stuck_since_us(), since_us = p->sent_us;
    bool is_new = messages[p->post.message].open == 1;
    if (stuck_us != 0 && is_new && since_us > stuck_us + STUCK_MS * 1000 &&
        turn_us > disk_blocked_us(since_us) + STUCK_ANSWER_MS * 1000)
        broken(
            "the POST of message %u has waited %d ms for its answer; syncs are stuck, so it must "
            "be refused at once",
            p->post.message, STUCK_ANSWER_MS);
    since_us = disk_mended_us() > since_us ? disk_mended_us() : since_us;
    if (stuck_us == 0 && turn_us > since_us + ANSWER_MS * 1000)
        broken(
            "the POST of message %u has waited %d ms for its answer", p->post.message, ANSWER_MS);
}

/* Lets the first publishers give up what waits for a stuck sync, so that new POSTs are made, too.
 */
static void be_impatient(void)
{
    int64_t stuck_us = disk_stuck_since_us();
    for (unsigned i = 0; i < IMPATIENT && stuck_us != 0; i++) {
        struct publisher *p = &publishers[i];
        if (!p->sent || finishing || turn_us < stuck_us + STUCK_MS * 1000 ||
            p->sent_us > stuck_us + STUCK_MS * 1000)
            continue;
        if (p->own)
            ledger_give_up(p->post.message);
        p->pending = p->sent = false;
        actor_hang_up(&p->actor, 0);
    }
}

/* Checks the answers that are due, and that /healthz tells of refusals that go on. */
void publishers_check(void)
{
    for (unsigned i = 0; i < PUBLISHERS; i++)
        if (publishers[i].sent && server_pid != 0 && publishers[i].post.life == life)
            check_answer(&publishers[i]);
    be_impatient();
    if (refused_from_us != 0 && turn_us - refused_from_us > UNWELL_MS * 1000 &&
        turn_us - refused_us < 500000 && health_bad_us() < refused_from_us)
        broken("POSTs have been refused for %lld ms, but /healthz says that all is well",
            (long long)(turn_us - refused_from_us) / 1000);
}
