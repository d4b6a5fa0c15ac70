/* survey.c - looks at the hub without changing it.
 *
 * Only a bounded number of rooms is described, so that a server with 100,000 rooms is not busy with
 * its own report: finding them is one walk, in which most rooms cost one comparison. Their order is
 * the order of use, so a crowded room is never among those left out. */

#include "hub/survey.h"

#include "hub/room.h"

struct survey survey_hub(const struct hub *hub)
{
    return (struct survey) {
        .rooms = hub->rooms.count,
        .messages = hub->messages,
        .bytes = hub->held,
        .published = hub->published,
        .delivered = hub->delivered,
        .blocked = hub->blocked,
    };
}

/* ==== Lag ==================================================================================== */

static uint64_t lag_of(const struct member *m)
{
    return m->room->ring.head - m->cursor;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Walks the lists of blocked streams: of each room or, for streams that wait for their turn, the
 * hub's. There are other streams in that list, which replay a lot. The lag is looked up, not kept,
 * because it changes with each message and each send, and hardly anything asks for it. */
uint64_t survey_lag(const struct hub *hub)
{
    uint64_t lag = 0;
    if (hub->blocked == 0)
        return 0;
    for (struct node *n = NULL; (n = table_walk(&hub->rooms, n)) != NULL;) {
        const struct room *room = CONTAINER(n, struct room, node);
        for (const struct link *l = room->blocked.next; l != &room->blocked; l = l->next)
            lag = larger(lag, lag_of(CONST_CONTAINER(l, struct member, link)));
    }
    for (const struct link *l = hub->behind.next; l != &hub->behind; l = l->next) {
        const struct stream *stream = CONST_CONTAINER(l, struct member, link)->stream;
        for (const struct member *m = &stream->first; m != NULL; m = m->also)
            lag = larger(lag, lag_of(m));
    }
    return lag;
}

/* ==== Rooms ================================================================================== */

/* Returns whether `a` comes before `b`. */
static bool is_before(const struct room *a, const struct room *b)
{
    uint64_t in_a = a->ring.next - a->ring.first, in_b = b->ring.next - b->ring.first;
    return a->members != b->members ? a->members > b->members : in_a > in_b;
}

/* Inserts a room into the sorted array, from which the last one falls out if it is full. */
static size_t insert(const struct room *top[SURVEY_ROOMS], size_t count, const struct room *room)
{
    if (count == SURVEY_ROOMS && !is_before(room, top[count - 1]))
        return count;
    size_t at = count < SURVEY_ROOMS ? count++ : count - 1;
    for (; at > 0 && is_before(room, top[at - 1]); at--)
        top[at] = top[at - 1];
    top[at] = room;
    return count;
}

static void count_reader(struct room_survey *s, const struct member *m)
{
    s->blocked += m->stream->blocked;
    s->lag = larger(s->lag, lag_of(m));
}

/* Counts the blocked readers of the rooms in `top`. They are in the list of each of their rooms or,
 * while they wait for their turn, in the hub's list `behind`, with only their first member. */
static void count_blocked(struct room_survey *rooms, const struct room *const top[SURVEY_ROOMS],
    size_t count, const struct hub *hub)
{
    for (size_t i = 0; i < count; i++)
        for (const struct link *l = top[i]->blocked.next; l != &top[i]->blocked; l = l->next)
            count_reader(&rooms[i], CONST_CONTAINER(l, struct member, link));
    for (const struct link *l = hub->behind.next; l != &hub->behind; l = l->next) {
        const struct stream *stream = CONST_CONTAINER(l, struct member, link)->stream;
        for (const struct member *m = &stream->first; m != NULL; m = m->also)
            for (size_t i = 0; i < count; i++)
                if (top[i] == m->room)
                    count_reader(&rooms[i], m);
    }
}

size_t survey_rooms(const struct hub *hub, struct room_survey rooms[SURVEY_ROOMS])
{
    const struct room *top[SURVEY_ROOMS];
    size_t count = 0;
    for (struct node *n = NULL; (n = table_walk(&hub->rooms, n)) != NULL;)
        count = insert(top, count, CONTAINER(n, struct room, node));
    for (size_t i = 0; i < count; i++) {
        const struct ring *ring = &top[i]->ring;
        rooms[i] = (struct room_survey) {
            .name = room_name(top[i]),
            .streams = top[i]->members,
            .messages = ring->next - ring->first,
            .bytes = ring_weight(ring),
            .newest = ring_empty(ring) ? NULL : &ring_entry(ring, ring->next - 1)->id,
        };
    }
    count_blocked(rooms, top, count, hub);
    return count;
}

uint64_t survey_memory(const struct hub *hub)
{
    uint64_t sum = 0;
    for (struct node *n = NULL; (n = table_walk(&hub->rooms, n)) != NULL;) {
        const struct ring *r = &CONTAINER(n, struct room, node)->ring;
        sum += r->capacity + r->entry_capacity * sizeof(struct entry) + r->extra;
    }
    return sum;
}
