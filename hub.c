/* hub.c - messages from the POST to the ring.
 *
 * A message goes one way: hub_publish checks it against what is known and puts it into the batch of
 * this turn. The keeper takes the batch, numbers it, keeps it and says hub_safe, which moves it
 * into its ring, wakes the room, and tells the POST. In between it cannot be read: what is not safe
 * is not history. With memory alone the batch is safe at once; the step is there all the same,
 * because everything that arrives in one turn then leaves in one send.
 *
 * What is accepted must get in: the memory for its frame is reserved at the POST, by the length of
 * the frame with the longest id.
 *
 * What an operation costs:
 *
 *      publish           the frame's bytes, one hash for the room and one for the key; a look at
 *                        each room of --room
 *
 *      safe              O(1) a message, however many read it; when it takes the place of one that
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
#include "json.h"

#include <stdlib.h>

enum {
    OVERRUN_CHECK_MS = 1000,
    PRESENCE_SCAN_MS = 20, /* between two looks at the rooms that wait for one */
    SCRATCH_KEPT_BYTES = 65536,
};

struct hub *hub_new(const struct hub_settings *settings, const struct stream_owner *owner,
    int64_t mono_ms, uint64_t unix_ms)
{
    struct hub *hub = malloc(sizeof *hub);
    if (hub == NULL)
        return NULL;
    struct id start = { unix_ms, 0 };
    *hub = (struct hub) {
        .settings = settings,
        .owner = *owner,
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

bool hub_allows(const struct hub *hub, struct span room)
{
    const struct spans *allowed = &hub->settings->allowed;
    for (size_t i = 0; i < allowed->count; i++)
        if (span_equal(allowed->items[i], room))
            return true;
    return allowed->count == 0;
}

/* ==== From the POST ========================================================================== */

/* A key that was seen: the same message again is answered like the first, another is a conflict.
 * The same is what gives the same frame with the first one's id and time. */
static enum publish repeat(const struct frame_content *content, const struct key *key,
    struct waiter *waiter, struct receipt *receipt)
{
    struct publication *pending = key->pending;
    if (pending != NULL) {
        if (!span_equal(content->body, pending->content.body))
            return PUBLISH_CONFLICT;
        waiter->publication = pending;
        waiter->repeated = true;
        waiter->next = pending->waiters;
        pending->waiters = waiter;
        return PUBLISH_WAIT;
    }
    const struct ring *ring = &key->room->ring;
    const struct entry *first = ring_entry(ring, key->number);
    struct buffer frame = { 0 };
    struct stamp stamp;
    stamp_make(&stamp, first->id, first->time_ms);
    frame_message(&frame, content, &stamp, true);
    size_t len = (size_t)(ring_end(ring, key->number) - first->offset);
    bool same = frame.len == len && ring_equal(ring, first->offset, buffer_span(&frame));
    bool failed = frame.failed;
    buffer_free(&frame);
    if (failed)
        return PUBLISH_NO_MEMORY;
    if (!same)
        return PUBLISH_CONFLICT;
    *receipt = (struct receipt) { stamp, room_name(key->room), key->room->presence.online };
    return PUBLISH_REPEATED;
}

/* Makes the publication, and sure that its frame will find memory; NULL without. */
static struct publication *prepare(
    struct hub *hub, struct room *room, const struct frame_content *content, size_t size_max)
{
    struct span body = content->body;
    if (!ring_prepare(&room->ring, room->pending + 1, room->pending_bytes + size_max))
        return NULL;
    struct publication *p = publication_new(hub, body.len + content->key.len);
    if (p == NULL)
        return NULL;
    p->room = room;
    p->size_max = size_max;
    p->content = *content;
    memcpy(p->bytes, body.at, body.len);
    p->content.body.at = p->bytes;
    if (content->key.len == 0)
        return p;
    p->content.key.at = memcpy(p->bytes + body.len, content->key.at, content->key.len);
    p->key = room_add_key(hub, room, content->key);
    if (p->key == NULL) {
        publication_free(hub, p);
        return NULL;
    }
    p->key->pending = p;
    return p;
}

static void await(struct publication *p, struct waiter *waiter)
{
    waiter->publication = p;
    waiter->repeated = false;
    waiter->next = NULL;
    p->waiters = waiter;
}

/* Takes a message whose key is new. hub_safe will make its frame in hub->frame, which must be large
 * enough by then. */
static enum publish accept_new(
    struct hub *hub, struct room *room, const struct frame_content *content, struct waiter *waiter)
{
    size_t size = frame_size_max(content);
    if (size > hub->settings->history / 2)
        return PUBLISH_TOO_LARGE;
    if (buffer_reserve(&hub->frame, size + JSON_ESCAPED_MAX(content->key.len)) == NULL) {
        hub->frame.failed = false; /* what is in it is whole */
        return PUBLISH_NO_MEMORY;
    }
    struct publication *p = prepare(hub, room, content, size);
    if (p == NULL)
        return PUBLISH_NO_MEMORY;
    await(p, waiter);
    hub->pending++;
    room->pending++;
    room->pending_bytes += p->size_max;
    list_remove(&room->silent_rooms);
    *hub->batch_end = p;
    hub->batch_end = &p->next;
    return PUBLISH_WAIT;
}

enum publish hub_publish(
    struct hub *hub, const struct message *m, struct waiter *waiter, struct receipt *receipt)
{
    enum join join = JOIN_OK;
    struct room *room = room_make(hub, m->room, &join);
    if (room == NULL)
        return join == JOIN_NO_ROOM ? PUBLISH_NO_ROOM : PUBLISH_NO_MEMORY;
    buffer_clear(&hub->body);
    frame_body(&hub->body, m);
    struct frame_content content = { m->kind, buffer_span(&hub->body), m->key };
    struct key *key = m->key.len > 0 ? room_find_key(hub, room, m->key) : NULL;
    if (key != NULL)
        return hub->body.failed ? PUBLISH_NO_MEMORY : repeat(&content, key, waiter, receipt);
    enum publish result = PUBLISH_NO_MEMORY;
    if (!hub->body.failed)
        result = accept_new(hub, room, &content, waiter);
    if (result != PUBLISH_WAIT)
        room_release(hub, room);
    return result;
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

/* ==== To the ring ============================================================================ */

struct publication *hub_take_batch(struct hub *hub)
{
    struct publication *batch = hub->batch;
    hub->batch = NULL;
    hub->batch_end = &hub->batch;
    return batch;
}

struct id hub_next_id(struct hub *hub)
{
    return next_id(hub);
}

static void note_id(struct id *newest, struct id id)
{
    if (id_before(*newest, id))
        *newest = id;
}

void hub_number(struct hub *hub, struct publication *p, struct id id, uint64_t time_ms)
{
    p->id = id;
    p->time_ms = time_ms;
    stamp_make(&p->stamp, id, time_ms);
    note_id(&hub->last, id);
}

/* Makes space in a ring for the frame in hub->frame. Streams that wait for their turn are served
 * before a frame that they have not been offered goes: only a reader that does not read is ever
 * overrun. While they are served a message may be published, and hub->frame grow and move. */
static void make_space(struct hub *hub, struct room *room)
{
    struct ring *ring = &room->ring;
    while (!ring_fits(ring, hub->frame.len)) {
        turn_serve_before(hub, room, ring_end(ring, ring->first));
        room_drop_oldest(hub, room);
    }
}

/* The one way into a ring, for the frame in hub->frame. */
static void append(struct hub *hub, struct room *room, const struct entry *entry)
{
    if (entry->key != NULL) {
        entry->key->pending = NULL;
        entry->key->number = room->ring.next;
    }
    ring_append(&room->ring, entry, buffer_span(&hub->frame));
    hub->held += hub->frame.len;
    buffer_clear(&hub->frame);
    note_id(&hub->newest, entry->id);
    room_wake(hub, room);
}

/* Tells the waiters, one by one: each may go, or publish again, while it is told. */
static void settle(struct hub *hub, struct publication *p, enum settled settled)
{
    struct room *room = p->room;
    while (p->waiters != NULL) {
        struct waiter *waiter = p->waiters;
        struct receipt receipt = { p->stamp, room_name(room), room->presence.online };
        hub_forget(waiter);
        waiter->done(waiter, settled, &receipt);
    }
    hub->pending--;
    room->pending--;
    room->pending_bytes -= p->size_max;
    room_release(hub, room);
    publication_free(hub, p);
}

void hub_safe(struct hub *hub, struct publication *p)
{
    struct buffer *frame = &hub->frame;
    struct entry entry = { p->id, p->time_ms, 0, p->key,
        (uint8_t)frame_stored_kind(p->content.kind) };
    buffer_clear(frame);
    frame_message(frame, &p->content, &p->stamp, true);
    must(!frame->failed && frame->len <= p->size_max);
    make_space(hub, p->room);
    append(hub, p->room, &entry);
    settle(hub, p, SETTLED_SAFE);
}

void hub_refused(struct hub *hub, struct publication *p, enum settled why)
{
    if (p->key != NULL)
        room_forget_key(hub, p->key);
    settle(hub, p, why);
}

/* ==== What has no POST here ================================================================== */

/* The key of a message that comes from elsewhere: of two with the same key the later one has it
 * (its room was dropped in between), and one that is safe has it before one that is on its way.
 * False without memory. */
static bool take_key(struct hub *hub, struct room *room, struct span bytes, struct key **key)
{
    *key = NULL;
    if (bytes.len == 0)
        return true;
    struct key *known = room_find_key(hub, room, bytes);
    if (known != NULL && known->pending != NULL)
        known->pending->key = NULL;
    else if (known != NULL)
        ring_entry(&room->ring, known->number)->key = NULL;
    *key = known != NULL ? known : room_add_key(hub, room, bytes);
    return *key != NULL;
}

/* Puts the frame of a payload into hub->frame; false without memory. */
static bool wrap(struct hub *hub, struct span payload)
{
    struct buffer *frame = &hub->frame;
    buffer_clear(frame);
    size_t begin = frame_begin(frame, true);
    buffer_add(frame, (struct span) { payload.at, payload.len - 1 }); /* without its empty line */
    frame_end(frame, begin, true);
    return !frame->failed;
}

/* A message that the ring cannot hold takes along all that was before it, after that was offered.
 * Its room's readers are overrun, and come back to a gap. */
static void pass_over(struct hub *hub, struct room *room, struct id id, size_t len)
{
    struct ring *ring = &room->ring;
    turn_serve_before(hub, room, ring->head);
    while (!ring_empty(ring))
        room_drop_oldest(hub, room);
    ring_pass(ring, len);
    room->lost = id;
    note_id(&hub->newest, id);
    room_wake(hub, room);
}

static enum append append_payload(
    struct hub *hub, struct room *room, struct entry *entry, struct span key, struct span payload)
{
    struct ring *ring = &room->ring;
    if (!ring_empty(ring) && !id_before(ring_entry(ring, ring->next - 1)->id, entry->id))
        return APPEND_OLD;
    if (!wrap(hub, payload))
        return APPEND_NO_MEMORY;
    note_id(&hub->last, entry->id);
    size_t len = hub->frame.len;
    if (len > ring->limit) {
        pass_over(hub, room, entry->id, len);
        return APPEND_TOO_LARGE;
    }
    if (!ring_prepare(ring, room->pending, room->pending_bytes + len))
        return APPEND_NO_MEMORY;
    make_space(hub, room);
    if (!take_key(hub, room, key, &entry->key))
        return APPEND_NO_MEMORY;
    append(hub, room, entry);
    return APPENDED;
}

enum append hub_append(struct hub *hub, struct span name, struct id id, uint64_t time_ms,
    enum message_kind kind, struct span key, struct span payload)
{
    struct entry entry = { .id = id, .time_ms = time_ms, .kind = (uint8_t)kind };
    struct room *room = room_find(hub, name);
    if (room == NULL)
        room = room_new(hub, name);
    if (room == NULL)
        return APPEND_NO_MEMORY;
    room->pending++; /* it stays while its streams are served */
    enum append result = append_payload(hub, room, &entry, key, payload);
    room->pending--;
    if (!hub->restoring && result != APPEND_OLD) /* restore_end looks at all of them */
        room_release(hub, room);
    return result;
}

/* ==== What time brings ======================================================================= */

static void tell_presence(struct hub *hub)
{
    int64_t earliest = INT64_MAX;
    for (struct link *l = hub->changed_rooms.next, *next; l != &hub->changed_rooms; l = next) {
        next = l->next;
        struct room *room = CONTAINER(l, struct room, changed_rooms);
        if (room_presence_due(room) <= hub->mono_ms) {
            room->told_ms = hub->mono_ms;
            if (presence_snapshot(&room->presence, room_name(room))) {
                list_remove(&room->changed_rooms);
                room_wake(hub, room);
                continue;
            } /* else there was no memory: once more, later */
        }
        if (room_presence_due(room) < earliest)
            earliest = room_presence_due(room);
    }
    hub->presence_ms = earliest;
    if (earliest < hub->mono_ms + PRESENCE_SCAN_MS)
        hub->presence_ms = hub->mono_ms + PRESENCE_SCAN_MS;
}

/* Ends the stalled streams of a room that its ring has passed. */
static void end_overrun_in(struct hub *hub, struct room *room)
{
    for (struct link *l = room->blocked.next, *next; l != &room->blocked; l = next) {
        next = l->next;
        struct member *m = CONTAINER(l, struct member, link);
        if (m->cursor < room->ring.tail)
            hub->owner.overrun(m->stream);
    }
}

/* A stalled reader never wakes, so it does not notice by itself that the ring has passed it. When
 * the last one leaves, a room may go: this one when its stretch of the table has been walked. */
static void end_overrun(struct hub *hub)
{
    hub->overrun_ms = hub->mono_ms + OVERRUN_CHECK_MS;
    for (struct node *n = table_walk(&hub->rooms, NULL), *next; n != NULL; n = next) {
        struct room *room = CONTAINER(n, struct room, node);
        bool blocks = !list_empty(&room->blocked);
        room->pending++;
        end_overrun_in(hub, room);
        room->pending--;
        next = table_walk(&hub->rooms, n);
        if (blocks)
            room_release(hub, room);
    }
}

static struct room *longest_silent(const struct hub *hub)
{
    return list_empty(&hub->silent_rooms)
               ? NULL
               : CONTAINER(hub->silent_rooms.next, struct room, silent_rooms);
}

static int64_t silent_until(const struct hub *hub, const struct room *room)
{
    return room->silent_ms + (int64_t)hub->settings->room_ttl_ms;
}

void hub_tick(struct hub *hub)
{
    struct room *room;
    if (hub->presence_ms <= hub->mono_ms)
        tell_presence(hub);
    if (hub->blocked > 0 && hub->overrun_ms <= hub->mono_ms)
        end_overrun(hub);
    while ((room = longest_silent(hub)) != NULL && silent_until(hub, room) <= hub->mono_ms)
        room_free(hub, room);
    if (hub->body.capacity > SCRATCH_KEPT_BYTES)
        buffer_free(&hub->body);
    if (hub->frame.capacity > SCRATCH_KEPT_BYTES && hub->pending == 0)
        buffer_free(&hub->frame);
}

int64_t hub_next_ms(const struct hub *hub)
{
    if (hub->batch != NULL || !list_empty(&hub->due_rooms))
        return hub->mono_ms;
    const struct room *room = longest_silent(hub);
    int64_t next = hub->presence_ms;
    if (room != NULL && silent_until(hub, room) < next)
        next = silent_until(hub, room);
    if (hub->blocked > 0 && hub->overrun_ms < next)
        next = hub->overrun_ms;
    return next;
}

void hub_free(struct hub *hub)
{
    must(hub->pending == 0);
    publication_free_spares(hub);
    for (struct node *n; (n = table_walk(&hub->rooms, NULL)) != NULL;)
        room_free(hub, CONTAINER(n, struct room, node));
    table_free(&hub->rooms);
    table_free(&hub->names);
    table_free(&hub->keys);
    buffer_free(&hub->body);
    buffer_free(&hub->frame);
    free(hub);
}
