/* hub.c - rooms, and messages from the POST to the ring.
 *
 * A message goes one way: hub_publish checks it against what is known, gives it an id, formats its
 * frame and puts it into the batch of this turn. hub_settle stores the batch in the journal, moves
 * it into the rings, wakes the rooms, and tells those who wait. In between nobody can see it: what
 * is not safe is not history. With memory alone the batch is safe at once; the step is there all
 * the same, because everything that arrives in one turn then leaves in one send.
 *
 * What an operation costs:
 *
 *      publish           the frame's bytes, one hash for the room and one for the key; a look at
 *                        each room of --room
 *
 *      settle            O(1) a message, however many read it; when it takes the place of one that
 *                        streams have not been offered yet, they are served first
 *
 *      drop the oldest   O(1)
 *
 *      join, leave       O(1) a room; with a name a bisection in the room's names, and 16 bytes to
 *                        move for each name behind it
 *
 *      deliver           O(1), and the kernel's send, for all messages that wait together; in
 *                        several rooms, for each frame a look at each of them
 *
 *      presence          a snapshot a room, once a second at most, and a send for each stream; a
 *                        look at each room that waits for one, 50 times a second
 *
 *      overrun check     all rooms, once a second, while anybody is blocked
 *
 *      GET /rooms        all rooms, sorted
 */

#include "hub.h"

#include "hub/room.h"

#include <stdlib.h>

enum {
    OVERRUN_CHECK_MS = 1000,
    PRESENCE_MIN_MS = 1000, /* between two snapshots of a room */
    PRESENCE_SCAN_MS = 20,  /* between two looks at the rooms that wait for one */
    SCRATCH_KEPT_BYTES = 65536,
};

struct hub *hub_new(const struct hub_settings *settings, int64_t mono_ms, uint64_t unix_ms)
{
    struct hub *hub = malloc(sizeof *hub);
    if (hub == NULL)
        return NULL;
    struct id start = { unix_ms, 0 };
    *hub = (struct hub) {
        .settings = settings,
        .mono_ms = mono_ms,
        .unix_ms = unix_ms,
        .start = start,
        .last = start,
        .newest = start,
        .lost = start,
        .presence_ms = INT64_MAX,
        .overrun_ms = mono_ms,
        .batch_end = &hub->batch,
    };
    list_init(&hub->due_rooms);
    list_init(&hub->changed_rooms);
    list_init(&hub->silent_rooms);
    return hub;
}

void hub_set_clock(struct hub *hub, int64_t mono_ms, uint64_t unix_ms)
{
    hub->mono_ms = mono_ms;
    hub->unix_ms = unix_ms;
}

struct id hub_newest(const struct hub *hub)
{
    return hub->newest;
}

/* ==== Rooms ================================================================================== */

bool hub_allows(const struct hub *hub, struct span room)
{
    const struct hub_settings *s = hub->settings;
    for (size_t i = 0; i < s->allowed_count; i++)
        if (span_equal(s->allowed[i], room))
            return true;
    return s->allowed_count == 0;
}

struct room *room_find(struct hub *hub, struct span name)
{
    struct node *n = table_find(&hub->rooms, table_hash(name, 0));
    for (; n != NULL; n = table_find_next(n))
        if (span_equal(room_name((struct room *)(void *)n), name))
            return (struct room *)(void *)n;
    return NULL;
}

/* A new room, whatever the limits; NULL without memory. */
static struct room *room_new(struct hub *hub, struct span name)
{
    struct room *room = malloc(sizeof *room + name.len);
    if (room == NULL)
        return NULL;
    *room = (struct room) {
        .node.hash = table_hash(name, 0),
        .lost = hub->lost,
        .told_ms = INT64_MIN / 2,
        .name_len = (uint8_t)name.len,
    };
    memcpy(room->name, name.at, name.len);
    if (!table_add(&hub->rooms, &room->node)) {
        free(room);
        return NULL;
    }
    ring_init(&room->ring, hub->settings->history);
    list_init(&room->idle);
    list_init(&room->due);
    list_init(&room->blocked);
    list_init(&room->due_rooms);
    list_init(&room->changed_rooms);
    list_init(&room->silent_rooms);
    return room;
}

struct room *room_make(struct hub *hub, struct span name, enum join *join)
{
    struct room *room = room_find(hub, name);
    unsigned max = hub->settings->max_rooms;
    *join = JOIN_NO_ROOM;
    if (room == NULL && (max == 0 || hub->rooms.count < max)) {
        *join = JOIN_NO_MEMORY;
        room = room_new(hub, name);
    }
    return room;
}

static void forget_key(struct hub *hub, struct key *key)
{
    table_remove(&hub->keys, &key->node);
    free(key);
}

/* Drops the oldest message of a room; nobody may still want it but the overrun. */
static void drop_oldest(struct hub *hub, struct room *room)
{
    struct entry *oldest = ring_entry(&room->ring, room->ring.first);
    if (oldest->key != NULL)
        forget_key(hub, oldest->key);
    room->lost = oldest->id;
    hub->held -= ring_end(&room->ring, room->ring.first) - oldest->offset;
    ring_drop(&room->ring);
}

static void room_free(struct hub *hub, struct room *room)
{
    while (!ring_empty(&room->ring))
        drop_oldest(hub, room);
    if (id_before(hub->lost, room->lost))
        hub->lost = room->lost;
    table_remove(&hub->rooms, &room->node);
    list_remove(&room->due_rooms);
    list_remove(&room->changed_rooms);
    list_remove(&room->silent_rooms);
    presence_free(&room->presence);
    ring_free(&room->ring);
    free(room);
}

void room_release(struct hub *hub, struct room *room)
{
    if (room->members > 0 || room->pending > 0)
        return;
    if (ring_empty(&room->ring)) {
        room_free(hub, room);
        return;
    }
    room->silent_ms = hub->mono_ms;
    list_remove(&room->silent_rooms);
    list_append(&hub->silent_rooms, &room->silent_rooms);
}

static uint64_t newest_ms(const struct room *room)
{
    const struct ring *ring = &room->ring;
    return ring_empty(ring) ? 0 : ring_entry(ring, ring->next - 1)->id.ms;
}

/* The one with the older newest message first. */
static int compare_age(const void *a, const void *b)
{
    uint64_t left = newest_ms(*(const struct room *const *)a);
    uint64_t right = newest_ms(*(const struct room *const *)b);
    return (left > right) - (left < right);
}

/* ==== Messages in ============================================================================ */

/* The greater of the clock and the last id plus one: ids grow while the clock steps back. */
static struct id next_id(struct hub *hub)
{
    if (hub->unix_ms > hub->last.ms)
        hub->last = (struct id) { hub->unix_ms, 0 };
    else
        hub->last.seq++;
    return hub->last;
}

static struct key *find_key(const struct hub *hub, const struct room *room, struct span bytes)
{
    struct node *n = table_find(&hub->keys, table_hash(bytes, (uintptr_t)room));
    for (; n != NULL; n = table_find_next(n)) {
        struct key *key = (struct key *)(void *)n;
        if (key->room == room && span_equal((struct span) { key->bytes, key->len }, bytes))
            return key;
    }
    return NULL;
}

static struct key *remember_key(struct hub *hub, struct room *room, struct span bytes)
{
    struct key *key = malloc(sizeof *key + bytes.len);
    if (key == NULL)
        return NULL;
    *key = (struct key) {
        .node.hash = table_hash(bytes, (uintptr_t)room), .room = room, .len = bytes.len
    };
    memcpy(key->bytes, bytes.at, bytes.len);
    if (!table_add(&hub->keys, &key->node)) {
        free(key);
        return NULL;
    }
    return key;
}

/* A key that was seen: the same message again is answered like the first, another is a conflict.
 * The same is what gives the same frame. */
static enum publish repeat(struct hub *hub, const struct message *m, const struct key *key,
    struct waiter *waiter, struct receipt *receipt)
{
    struct publication *pending = key->pending;
    struct ring *ring = &key->room->ring;
    struct id id = pending != NULL ? pending->id : ring_entry(ring, key->number)->id;
    hub->scratch.len = 0;
    frame_message(&hub->scratch, m, id);
    if (hub->scratch.failed) {
        hub->scratch.failed = false;
        return PUBLISH_NO_MEMORY;
    }
    struct span frame = buffer_span(&hub->scratch);
    if (pending != NULL) {
        if (!span_equal(frame, (struct span) { pending->frame, pending->len }))
            return PUBLISH_CONFLICT;
        waiter->publication = pending;
        waiter->repeated = true;
        waiter->next = pending->waiters;
        pending->waiters = waiter;
        return PUBLISH_WAIT;
    }
    uint64_t offset = ring_entry(ring, key->number)->offset;
    if (ring_end(ring, key->number) - offset != frame.len || !ring_equal(ring, offset, frame))
        return PUBLISH_CONFLICT;
    *receipt = (struct receipt) { id, room_name(key->room), key->room->presence.online };
    return PUBLISH_REPEATED;
}

/* Formats the frame and makes the publication; NULL with *why set. */
static struct publication *prepare(
    struct hub *hub, struct room *room, const struct message *m, enum publish *why)
{
    struct id id = next_id(hub);
    struct buffer *frame = &hub->scratch;
    frame->len = 0;
    frame_message(frame, m, id);
    *why = PUBLISH_NO_MEMORY;
    if (frame->failed) {
        frame->failed = false;
        return NULL;
    }
    if (frame->len > hub->settings->history / 2) {
        *why = PUBLISH_TOO_LARGE;
        return NULL;
    }
    if (!ring_prepare(&room->ring, room->pending + 1, room->pending_bytes + frame->len))
        return NULL;
    struct publication *p = malloc(sizeof *p + frame->len);
    if (p == NULL)
        return NULL;
    *p = (struct publication) { .room = room, .id = id, .len = frame->len };
    p->kind = m->kind == MESSAGE_BINARY ? MESSAGE_JSON : m->kind;
    memcpy(p->frame, frame->at, frame->len);
    if (m->key.len > 0) {
        p->key = remember_key(hub, room, m->key);
        if (p->key == NULL) {
            free(p);
            return NULL;
        }
        p->key->pending = p;
    }
    return p;
}

enum publish hub_publish(
    struct hub *hub, const struct message *m, struct waiter *waiter, struct receipt *receipt)
{
    enum join join = JOIN_OK;
    struct room *room = room_make(hub, m->room, &join);
    if (room == NULL)
        return join == JOIN_NO_ROOM ? PUBLISH_NO_ROOM : PUBLISH_NO_MEMORY;
    struct key *key = m->key.len > 0 ? find_key(hub, room, m->key) : NULL;
    if (key != NULL)
        return repeat(hub, m, key, waiter, receipt);
    enum publish why;
    struct publication *p = prepare(hub, room, m, &why);
    if (p == NULL) {
        room_release(hub, room);
        return why;
    }
    room->pending++;
    room->pending_bytes += p->len;
    list_remove(&room->silent_rooms);
    waiter->publication = p;
    waiter->repeated = false;
    waiter->next = NULL;
    p->waiters = waiter;
    *hub->batch_end = p;
    hub->batch_end = &p->next;
    return PUBLISH_WAIT;
}

void hub_forget(struct waiter *waiter)
{
    if (waiter->publication == NULL)
        return;
    struct waiter **at = &waiter->publication->waiters;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
    waiter->publication = NULL;
}

void hub_keep_in(struct hub *hub, struct journal *journal)
{
    hub->journal = journal;
}

/* Puts one message into its ring. Those who wait for their turn are served before a frame that they
 * have not been offered goes: only a reader that does not read is ever overrun. */
static void enter(struct hub *hub, struct publication *p)
{
    struct room *room = p->room;
    struct ring *ring = &room->ring;
    while (!ring_fits(ring, p->len)) {
        room_serve_before(hub, room, ring_end(ring, ring->first));
        drop_oldest(hub, room);
    }
    if (p->key != NULL) {
        p->key->pending = NULL;
        p->key->number = ring->next;
    }
    ring_append(ring, p->id, p->kind, p->key, (struct span) { p->frame, p->len });
    hub->held += p->len;
    hub->newest = p->id;
    room_wake(hub, room);
}

/* Tells the waiters, one by one: each may go, or publish anew, while it is told. */
static void answer(struct hub *hub, struct publication *p, enum stored stored)
{
    struct room *room = p->room;
    while (p->waiters != NULL) {
        struct waiter *waiter = p->waiters;
        struct receipt receipt = { p->id, room_name(room), room->presence.online };
        hub_forget(waiter);
        waiter->done(waiter, stored, &receipt);
    }
    room->pending--;
    room->pending_bytes -= p->len;
    room_release(hub, room);
    free(p);
}

void hub_settle(struct hub *hub)
{
    struct publication *batch = hub->batch;
    hub->batch = NULL;
    hub->batch_end = &hub->batch;
    if (batch == NULL)
        return;
    enum stored stored = STORED;
    if (hub->journal != NULL)
        stored = hub->settings->store(hub->journal, batch);
    for (struct publication *p = batch; p != NULL; p = p->next) {
        if (stored == STORED)
            enter(hub, p);
        else if (p->key != NULL)
            forget_key(hub, p->key);
    }
    for (struct publication *p = batch, *next; p != NULL; p = next) {
        next = p->next;
        answer(hub, p, stored);
    }
    if (hub->scratch.capacity > SCRATCH_KEPT_BYTES)
        buffer_free(&hub->scratch);
}

/* ==== What a journal brings back ============================================================= */

void hub_restore_begin(struct hub *hub)
{
    hub->start = hub->newest = hub->lost = (struct id) { 0, 0 };
}

void hub_restore_damage(struct hub *hub)
{
    hub->damage = true;
}

void hub_restore_state(struct hub *hub, struct id start, struct id last, struct id lost)
{
    hub->start = start;
    hub->lost = lost;
    if (id_before(hub->last, last))
        hub->last = last;
}

/* The room of a record; what there is no memory for is not restored at all. */
static struct room *restore_room(struct hub *hub, struct span name)
{
    struct room *room = room_find(hub, name);
    if (room == NULL)
        room = room_new(hub, name);
    hub->restore_failed |= room == NULL;
    return room;
}

void hub_restore_lost(struct hub *hub, struct span name, struct id lost)
{
    struct room *room = restore_room(hub, name);
    if (room != NULL)
        room->lost = lost;
}

/* The key of a restored message. When its room was dropped in between, and came again, the same key
 * may have come again too: then the later message has it. */
static struct key *restore_key(struct hub *hub, struct room *room, struct span bytes)
{
    if (bytes.len == 0)
        return NULL;
    struct key *key = find_key(hub, room, bytes);
    if (key != NULL)
        ring_entry(&room->ring, key->number)->key = NULL;
    else
        key = remember_key(hub, room, bytes);
    hub->restore_failed |= key == NULL;
    if (key != NULL)
        key->number = room->ring.next;
    return key;
}

bool hub_restore(struct hub *hub, struct span name, struct id id, enum message_kind kind,
    struct span key, struct span payload)
{
    struct room *room = restore_room(hub, name);
    if (room == NULL)
        return true;
    struct ring *ring = &room->ring;
    struct buffer *frame = &hub->scratch;
    if (!ring_empty(ring) && !id_before(ring_entry(ring, ring->next - 1)->id, id))
        return false;
    frame->len = 0;
    size_t begin = frame_begin(frame, true);
    buffer_add(frame, payload);
    frame->len -= frame->failed ? 0 : 1; /* the empty line is frame_end's */
    frame_end(frame, begin, true);
    hub->newest = id_before(hub->newest, id) ? id : hub->newest;
    hub->last = id_before(hub->last, id) ? id : hub->last;
    bool fits = frame->len <= ring->limit;
    while (!ring_empty(ring) && (!fits || ring->head - ring->tail + frame->len > ring->limit))
        drop_oldest(hub, room);
    if (!fits) { /* --history was larger once: of this room nothing older can be kept either */
        room->lost = id;
        return true;
    }
    if (frame->failed || !ring_prepare(ring, 1, frame->len) || !ring_fits(ring, frame->len)) {
        hub->restore_failed = true;
        frame->failed = false;
        return true;
    }
    ring_append(ring, id, kind, restore_key(hub, room, key), buffer_span(frame));
    hub->held += frame->len;
    return true;
}

/* The hub's own past, when all messages are there. A journal without its state (it was damaged, or
 * is new) begins with the process. Of what was damaged nobody knows the room or the id: everybody
 * who was away is told of a gap, by an id that nobody has seen yet. */
static void restore_past(struct hub *hub)
{
    struct id none = { 0, 0 };
    if (id_equal(hub->start, none))
        hub->start = hub->lost = (struct id) { hub->unix_ms, 0 };
    if (hub->damage)
        hub->lost = next_id(hub);
    if (id_before(hub->newest, hub->lost))
        hub->newest = hub->lost; /* what `ready` tells a new reader must not be behind a gap */
}

/* A restored room has been silent since its newest message, whenever that was. */
bool hub_restored(struct hub *hub)
{
    size_t count = hub->rooms.count, i = 0;
    restore_past(hub);
    struct room **rooms = malloc((count + 1) * sizeof *rooms);
    if (rooms == NULL || hub->restore_failed) {
        free(rooms);
        return false;
    }
    for (struct node *n = NULL; (n = table_walk(&hub->rooms, n)) != NULL;)
        rooms[i++] = (struct room *)(void *)n;
    qsort(rooms, count, sizeof *rooms, compare_age);
    unsigned max = hub->settings->max_rooms;
    for (i = 0; i < count; i++) {
        if (ring_empty(&rooms[i]->ring) || (max > 0 && count - i > max)) {
            room_free(hub, rooms[i]);
            continue;
        }
        if (hub->damage)
            rooms[i]->lost = hub->lost;
        room_release(hub, rooms[i]);
        uint64_t newest = newest_ms(rooms[i]);
        if (newest < hub->unix_ms)
            rooms[i]->silent_ms -= (int64_t)(hub->unix_ms - newest);
    }
    free(rooms);
    return true;
}

/* ==== Housekeeping =========================================================================== */

/* The more streams, the longer between two snapshots: each costs a send a stream. */
static int64_t presence_due(const struct room *room)
{
    int64_t wait = room->presence.online;
    return room->told_ms + (wait > PRESENCE_MIN_MS ? wait : PRESENCE_MIN_MS);
}

void room_changed(struct hub *hub, struct room *room)
{
    if (!list_empty(&room->changed_rooms))
        return;
    list_append(&hub->changed_rooms, &room->changed_rooms);
    if (presence_due(room) < hub->presence_ms)
        hub->presence_ms = presence_due(room);
}

static void tell_presence(struct hub *hub)
{
    int64_t earliest = INT64_MAX;
    for (struct link *l = hub->changed_rooms.next, *next; l != &hub->changed_rooms; l = next) {
        next = l->next;
        struct room *room = CONTAINER(l, struct room, changed_rooms);
        if (presence_due(room) <= hub->mono_ms) {
            room->told_ms = hub->mono_ms;
            if (presence_snapshot(&room->presence, room_name(room))) {
                list_remove(&room->changed_rooms);
                room_wake(hub, room);
                continue;
            } /* else there was no memory: once more, later */
        }
        if (presence_due(room) < earliest)
            earliest = presence_due(room);
    }
    hub->presence_ms = earliest;
    if (earliest < hub->mono_ms + PRESENCE_SCAN_MS)
        hub->presence_ms = hub->mono_ms + PRESENCE_SCAN_MS;
}

/* A stalled reader never wakes, so it does not notice by itself that the ring has passed it. When
 * it leaves, its other rooms may go with it; this one has history, and stays. */
static void end_overrun(struct hub *hub)
{
    hub->overrun_ms = hub->mono_ms + OVERRUN_CHECK_MS;
    for (struct node *n = NULL; (n = table_walk(&hub->rooms, n)) != NULL;) {
        struct room *room = (struct room *)(void *)n;
        for (struct link *l = room->blocked.next, *next; l != &room->blocked; l = next) {
            next = l->next;
            struct member *m = CONTAINER(l, struct member, link);
            if (m->cursor < room->ring.tail)
                hub->settings->overrun(m->stream);
        }
    }
}

static struct room *longest_silent(const struct hub *hub)
{
    return list_empty(&hub->silent_rooms)
               ? NULL
               : CONTAINER(hub->silent_rooms.next, struct room, silent_rooms);
}

void hub_tick(struct hub *hub)
{
    struct room *room;
    if (hub->presence_ms <= hub->mono_ms)
        tell_presence(hub);
    if (hub->blocked > 0 && hub->overrun_ms <= hub->mono_ms)
        end_overrun(hub);
    while ((room = longest_silent(hub)) != NULL &&
           room->silent_ms + hub->settings->room_ttl_ms <= hub->mono_ms)
        room_free(hub, room);
}

int64_t hub_next_ms(const struct hub *hub)
{
    if (hub->batch != NULL || !list_empty(&hub->due_rooms))
        return hub->mono_ms;
    const struct room *room = longest_silent(hub);
    int64_t next = hub->presence_ms;
    if (room != NULL && room->silent_ms + hub->settings->room_ttl_ms < next)
        next = room->silent_ms + hub->settings->room_ttl_ms;
    if (hub->blocked > 0 && hub->overrun_ms < next)
        next = hub->overrun_ms;
    return next;
}

void hub_free(struct hub *hub)
{
    for (struct node *n; (n = table_walk(&hub->rooms, NULL)) != NULL;)
        room_free(hub, (struct room *)(void *)n);
    table_free(&hub->rooms);
    table_free(&hub->names);
    table_free(&hub->keys);
    buffer_free(&hub->scratch);
    free(hub);
}
