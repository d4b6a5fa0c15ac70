/* check.c - what must hold for every stream and every page.
 *
 * A reader that resumes from an id that it really got:
 *
 *   - gets what was acknowledged before its request and follows that id, before `ready`; or it gets
 *     a `gap` for the room, and then all that the room holds from the gap's `oldest` on;
 *   - gets every later message in order, without leaving one out, until its connection ends;
 *   - gets no id that is not after the id asked for, except after a gap that is `unknown` or
 *     `restarted`, which begins with the oldest message held; and within a connection ids only
 * grow. So a message comes twice only if such a gap is in between;
 *   - gets no gap without a reason.
 *
 * The reasons for a gap are: for `expired`, that the room can have had more bytes than half of
 * --history after the id, or that a life in between may have forgotten rooms; for all gaps, that a
 * breach came after the id was given.
 *
 * A breach excuses a missing message without a gap only where the server cannot know better: the
 * message is not in the file that the server started with, the file was not cut within a snapshot,
 * and the reader's id is not after all ids in that file. An id after those, from a future that was
 * lost, must give a gap, for as long as the server remembers that future: 16 starts. */

#include "test/tools/havoc/havoc.h"

enum { FUTURES = 15 }; /* starts after which a lost future is still known; one less than 16 */

/* A start on a file that is not as a server left it. */
struct breach {
    unsigned life;    /* that began with it */
    struct id before; /* ids from here on were given by this life, or later ones */
    struct contents contents;
};

static struct breach *breaches;
static size_t breach_count;

/* Rooms that were seen empty: what was acknowledged before that is gone for good. */
static struct {
    uint64_t requested, seen; /* the order of the request and of its answer; 0: never */
} empty_rooms[ROOMS];

/* Orders ids, for bsearch(3). */
static int compare_two(const void *a, const void *b)
{
    return compare_ids(*(const struct id *)a, *(const struct id *)b);
}

void check_breach(const struct contents *contents, struct id before)
{
    if (!is_before(ledger_newest(), before))
        broken("the tool's mistake: a breach must not be older than an id");
    breaches = grow(breaches, (breach_count + 1) * sizeof *breaches);
    breaches[breach_count++] = (struct breach) { life, before, *contents };
    memset(empty_rooms, 0, sizeof empty_rooms);
    counts[COUNT_BREACHES]++;
    note("breach: %zu messages in %zu bytes, up to %llu-%llu", contents->count, contents->bytes,
        (unsigned long long)contents->top.ms, (unsigned long long)contents->top.seq);
}

/* Returns the last id before another one. */
static struct id id_before(struct id id)
{
    return id.seq > 0 ? (struct id) { id.ms, id.seq - 1 } : (struct id) { id.ms - 1, UINT64_MAX };
}

/* ==== Excuses ================================================================================ */

/* Returns whether there was a breach after an id was given, up to a life. */
static bool was_breached(struct id id, unsigned in_life)
{
    for (size_t i = breach_count; i-- > 0;)
        if (breaches[i].life <= in_life && is_before(id, breaches[i].before))
            return true;
    return false;
}

/* Returns whether a room can have dropped a message after an id, for lack of history or because it
 * was forgotten. */
static bool was_dropped(unsigned room, struct id after, unsigned in_life)
{
    unsigned since = ledger_life_of(after);
    uint64_t least = UINT64_MAX;
    for (unsigned l = since; l <= in_life; l++) {
        if (l > 0 && life_forgets(&lives[l]))
            return true;
        if (l > 0 && lives[l].history < least)
            least = lives[l].history;
    }
    return ledger_bytes_after(room, after, since) >= least / 2;
}

/* Returns whether a message can be missing without a gap, for a reader that resumed from an id. */
static bool is_lost_unnoticed(struct id from, struct id id, unsigned in_life)
{
    for (size_t i = 0; i < breach_count && breaches[i].life <= in_life; i++) {
        const struct breach *b = &breaches[i];
        const struct contents *c = &b->contents;
        if (is_before(id, b->before) && !c->cut_snapshot &&
            bsearch(&id, c->ids, c->count, sizeof *c->ids, compare_two) == NULL &&
            (compare_ids(from, c->top) <= 0 || (c->count > 0 && in_life - b->life >= FUTURES)))
            return true;
    }
    return false;
}

bool check_may_be_gone(unsigned room, struct id id)
{
    return was_breached(id, life) || was_dropped(room, id_before(id), life);
}

/* Returns whether a message that became known as safe in a later life was already stored in this
 * one: nothing but the server has changed the file since. */
static bool was_stored(const struct entry *e, unsigned in_life)
{
    if (e->life <= in_life)
        return true;
    for (size_t i = breach_count; i-- > 0 && breaches[i].life > in_life;)
        if (breaches[i].life <= e->life)
            return false;
    return true;
}

/* Returns whether a replay begins with the oldest message of the room, and not only with what
 * follows `from`. After damage, a gap that is not `unknown` can have the oldest before `from`. */
static bool is_from_oldest(const struct segment *s, unsigned room)
{
    uint32_t bit = 1u << room;
    return (s->whole & bit) != 0 || ((s->empty & bit) == 0 && is_before(s->from, s->oldest[room]));
}

/* ==== A connection as it runs ================================================================ */

void segment_add(struct segment *s, unsigned room, struct id id)
{
    uint32_t bit = 1u << room;
    if ((s->rooms & bit) == 0)
        broken("%s: a message of room r%u, which it does not read", s->reader, room);
    if (s->count > 0 && !is_before(s->ids[s->count - 1], id))
        broken("%s: the id %llu-%llu came after %llu-%llu", s->reader, (unsigned long long)id.ms,
            (unsigned long long)id.seq, (unsigned long long)s->ids[s->count - 1].ms,
            (unsigned long long)s->ids[s->count - 1].seq);
    if (s->ready && !is_before(s->ready_id, id))
        broken("%s: the live id %llu-%llu is not after that of `ready`", s->reader,
            (unsigned long long)id.ms, (unsigned long long)id.seq);
    if (s->resumes && (s->whole & bit) == 0 && !is_before(s->from, id))
        broken("%s: resumed from %llu-%llu and got %llu-%llu in room r%u, again or too late",
            s->reader, (unsigned long long)s->from.ms, (unsigned long long)s->from.seq,
            (unsigned long long)id.ms, (unsigned long long)id.seq, room);
    if ((s->begun & bit) == 0)
        s->first[room] = id;
    if (!s->is_page && (s->gaps & bit) != 0 && (s->begun & bit) == 0 && !s->ready &&
        ((s->empty & bit) != 0 ||
            (is_from_oldest(s, room) && compare_ids(s->oldest[room], id) != 0)))
        broken("%s: the gap of room r%u says that the oldest is %llu-%llu, but the replay begins "
               "with %llu-%llu",
            s->reader, room, (unsigned long long)s->oldest[room].ms,
            (unsigned long long)s->oldest[room].seq, (unsigned long long)id.ms,
            (unsigned long long)id.seq);
    s->begun |= bit;
    s->last = id;
    check_forgotten(s, room, id);
    if (s->count == s->capacity) {
        s->capacity = 2 * s->capacity + 64;
        s->ids = grow(s->ids, s->capacity * sizeof *s->ids);
    }
    s->ids[s->count++] = id;
}

void segment_gap(struct segment *s, unsigned room, const char *reason)
{
    bool expired = reason == NULL || strcmp(reason, "expired") == 0;
    bool excused =
        was_breached(s->from, s->life) || (expired && was_dropped(room, s->from, s->life));
    if (!s->resumes || !excused)
        broken(
            "%s: a gap in room r%u, after %llu-%llu, %s, without a reason (%llu bytes since life "
            "%u)",
            s->reader, room, (unsigned long long)s->from.ms, (unsigned long long)s->from.seq,
            reason != NULL ? reason : "on a page",
            (unsigned long long)ledger_bytes_after(room, s->from, ledger_life_of(s->from)),
            ledger_life_of(s->from));
    s->gaps |= 1u << room;
    if (reason == NULL || strcmp(reason, "unknown") == 0)
        s->whole |= 1u << room;
}

/* ==== What has not come ====================================================================== */

/* Returns the id after which everything of a room must have come. */
static struct id base_of(const struct segment *s, unsigned room)
{
    static const struct id never = { UINT64_MAX, UINT64_MAX };
    uint32_t bit = 1u << room;
    bool replayed =
        (s->begun & bit) != 0 && (!s->ready || compare_ids(s->first[room], s->ready_id) <= 0);
    if (!s->resumes)
        return replayed ? s->first[room] : s->ready_id;
    if ((s->gaps & bit) == 0)
        return s->from;
    if ((s->empty & bit) == 0)
        return is_from_oldest(s, room) ? id_before(s->oldest[room]) : s->from;
    /* A page does not name the oldest message: its first one is that. */
    return replayed ? s->first[room] : s->ready ? s->ready_id : never;
}

/* Returns whether an entry has come. */
static bool has_come(const struct segment *s, struct id id)
{
    return s->count > 0 && bsearch(&id, s->ids, s->count, sizeof *s->ids, compare_two) != NULL;
}

/* Handles an entry that has not come: excuses it, or fails. If a gap told of it, a pager asks once
 * more, from the id just before it, and must be told again. */
static void handle_missing(const struct segment *s, const struct entry *e, bool replay)
{
    unsigned room = messages[e->message].room;
    bool told = (s->gaps & 1u << room) != 0 || !s->resumes;
    if (told ? was_breached(e->id, s->life) : is_lost_unnoticed(s->from, e->id, s->life)) {
        counts[COUNT_EXCUSED] += !told && replay;
        if (told && e > entries)
            pages_probe(room, e[-1].id);
        return;
    }
    broken(
        "%s (life %u): %s %llu-%llu%s misses message %u of room r%u, %llu-%llu (%s, life %u), %s",
        s->reader, s->life, s->resumes ? "resumed from" : "began, ready with",
        (unsigned long long)(s->resumes ? s->from : s->ready_id).ms,
        (unsigned long long)(s->resumes ? s->from : s->ready_id).seq,
        told && s->resumes ? " with a gap" : "", e->message, room, (unsigned long long)e->id.ms,
        (unsigned long long)e->id.seq, e->acked != 0 ? "acknowledged" : "delivered to others",
        e->life, replay ? "which was acknowledged before the request" : "but has a later one");
}

/* Returns the ids after which the rooms of a segment must have come, and the least of them. */
static struct id bases_of(const struct segment *s, struct id *bases)
{
    struct id least = { UINT64_MAX, UINT64_MAX };
    for (unsigned room = 0; room < ROOMS; room++) {
        if ((s->rooms & 1u << room) == 0)
            continue;
        bases[room] = base_of(s, room);
        if (is_before(bases[room], least))
            least = bases[room];
    }
    return least;
}

void segment_check_replay(const struct segment *s)
{
    struct id bases[ROOMS], least = bases_of(s, bases);
    for (size_t i = ledger_after(least); i < entry_count; i++) {
        const struct entry *e = &entries[i];
        unsigned room = messages[e->message].room;
        if ((s->rooms & 1u << room) != 0 && e->acked != 0 && e->acked < s->requested &&
            is_before(bases[room], e->id) && !has_come(s, e->id))
            handle_missing(s, e, true);
    }
}

void segment_check(const struct segment *s)
{
    if (!s->ready && !s->resumes)
        return;
    struct id bases[ROOMS], least = bases_of(s, bases);
    for (size_t i = ledger_after(least); i < entry_count && is_before(entries[i].id, s->last);
         i++) {
        const struct entry *e = &entries[i];
        unsigned room = messages[e->message].room;
        if ((s->rooms & 1u << room) != 0 && is_before(bases[room], e->id) &&
            was_stored(e, s->life) && !has_come(s, e->id))
            handle_missing(s, e, false);
    }
}

void segment_check_held(const struct segment *s, unsigned room)
{
    struct id before = s->count > 0 ? s->ids[0] : (struct id) { UINT64_MAX, UINT64_MAX };
    for (size_t i = ledger_after(before); i-- > 0;) {
        const struct entry *e = &entries[i];
        if (messages[e->message].room != room || e->acked == 0 || e->acked >= s->requested ||
            compare_ids(e->id, before) >= 0)
            continue;
        if (!check_may_be_gone(room, e->id))
            broken("%s: message %u, acknowledged as %llu-%llu, is no longer in room r%u, although "
                   "nothing can have displaced it",
                s->reader, e->message, (unsigned long long)e->id.ms, (unsigned long long)e->id.seq,
                room);
        return; /* the older ones went before it */
    }
}

/* ==== Forgotten rooms ======================================================================== */

void check_empty(unsigned room, uint64_t requested)
{
    counts[COUNT_FORGOTTEN]++;
    empty_rooms[room].requested = requested;
    empty_rooms[room].seen = order;
}

void check_forgotten(const struct segment *s, unsigned room, struct id id)
{
    const struct entry *e = ledger_find(id);
    if (e != NULL && e->acked != 0 && e->acked < empty_rooms[room].requested &&
        s->requested > empty_rooms[room].seen)
        broken("%s: message %u, %llu-%llu, is back, although room r%u was empty since", s->reader,
            e->message, (unsigned long long)id.ms, (unsigned long long)id.seq, room);
}
