/* hub.c - messages from the POST to the ring.
 *
 * Every message takes the same path. hub_publish checks its room, its size and its idempotency key,
 * and puts it into the batch of this turn. The keeper takes the batch, gives each message its id,
 * keeps it, and calls hub_safe, which puts the frame into the ring, makes the room's streams due
 * and answers the POST. Streams and pages do not see a message before that (the rule of a
 * write-ahead log). Without a journal, a batch is safe at once, but the step remains, so that
 * everything that arrives in one turn leaves in one send.
 *
 * An accepted message must get into its ring, so its POST reserves memory for the frame with the
 * longest id. Thus hub_safe cannot fail for a message that the keeper has kept.
 *
 * What an operation costs:
 *
 *      publish           the frame's bytes, a hash for the room and one or two for the key; a
 *                        comparison with each room in --room
 *
 *      safe              the frame's bytes, however many streams read it; if it displaces a
 *                        frame that streams have not been offered yet, they are served first
 *
 *      drop the oldest   O(1)
 *
 *      join, leave       O(1) per room; with a name, also a binary search in the room's names, and
 *                        16 bytes to move for each name after it
 *
 *      deliver           O(1), and the kernel's send, for all waiting messages together; in
 *                        several rooms, a look at each room for each frame
 *
 *      presence          at most one snapshot per room per second, and a send for each stream; a
 *                        look at each room that waits for a snapshot, at most 50 times a second
 *
 *      overrun check     all rooms and blocked streams, once a second while any stream is blocked
 *
 *      GET /rooms        a look at each room; those with messages and at most 500 others, sorted
 */

#include "hub.h"

#include "hub/room.h"

#include <stdlib.h>

enum {
    /* Overrun streams can wait to be ended, because their ring does not wait for them. */
    OVERRUN_CHECK_MS = 1000,

    /* A scratch buffer that a rare large message has grown beyond this size is freed. */
    SCRATCH_KEPT_BYTES = 65536,
};

/* Makes the startup time the first id. A reader that has seen no message resumes from it, and
 * earlier messages count as lost. */
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
        .limit = (size_t)settings->history,
        .presence_ms = INT64_MAX,
        .presence_at_ms = INT64_MIN / 2, /* never yet */
        .overrun_ms = mono_ms,
        .batch_end = &hub->batch,
    };
    list_init(&hub->due_rooms);
    list_init(&hub->behind);
    list_init(&hub->changed_rooms);
    list_init(&hub->silent_rooms);
    list_init(&hub->used_rooms);
    return hub;
}

void hub_set_clock(struct hub *hub, int64_t mono_ms, uint64_t unix_ms)
{
    hub->mono_ms = mono_ms;
    hub->unix_ms = unix_ms;
}

/* Searches linearly, because rooms given with --room are written by hand and therefore few. */
bool hub_allows(const struct hub *hub, struct span room)
{
    const struct spans *allowed = &hub->settings->allowed;
    for (size_t i = 0; i < allowed->count; i++)
        if (span_equal(allowed->items[i], room))
            return true;
    return allowed->count == 0;
}

/* ==== The same POST again ===================================================================== */

/* Answers a POST whose key was seen in this room: the same message gets the receipt of the first
 * POST, a different one is a conflict. No copy or digest is kept for this: the new message's frame
 * is made with the first one's id and time, and compared with the bytes in the ring. A pending
 * message has no frame yet; then the bodies are compared, and both POSTs wait for the result. */
static enum publish repeat(const struct frame_content *content, const struct key *key,
    struct waiter *waiter, struct receipt *receipt)
{
    struct publication *pending = key->pending;
    if (pending != NULL) { /* not in the ring yet */
        if (!span_equal(content->body, pending->content.body))
            return PUBLISH_CONFLICT;
        waiter->publication = pending;
        waiter->repeated = true; /* it did not publish: its answer is 200, not 201 */
        waiter->next = pending->waiters;
        pending->waiters = waiter;
        return PUBLISH_WAIT;
    }
    const struct ring *ring = &key->room->ring;
    const struct entry *first = ring_entry(ring, key->number);
    struct buffer frame = { 0 };
    struct stamp stamp = { 0 };
    stamp_make(&stamp, first->id, first->time_ms);
    frame_message(&frame, content, &stamp, true);
    size_t len = (size_t)(ring_end(ring, key->number) - first->offset);
    bool same = frame.len == len && ring_equal(ring, first->offset, buffer_span(&frame));
    bool failed = frame.failed;
    buffer_free(&frame);
    if (failed) /* no comparison, so no conflict: the client may try again */
        return PUBLISH_NO_MEMORY;
    if (!same)
        return PUBLISH_CONFLICT;
    *receipt = (struct receipt) { stamp, room_name(key->room), key->room->presence.online };
    return PUBLISH_REPEATED;
}

/* ==== From the POST ========================================================================== */

/* The fields have already passed the rules of rules.h. The hub checks what only it knows: whether
 * the room may be made, whether the frame fits, and whether the same POST came before. */

/* Makes the publication and reserves what hub_safe will need: space in the ring for this frame and
 * all pending ones, and the key's node in the table. Body and key are copied, because the request's
 * bytes do not outlive the POST. Returns NULL if out of memory; then the ring may have grown, but
 * nothing else has changed. */
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
    p->key = room_add_key(hub, room, content->key, content->author);
    if (p->key == NULL) {
        publication_free(hub, p);
        return NULL;
    }
    p->key->pending = p;
    return p;
}

/* Makes the POST that brings a message its first waiter; repeat adds others. */
static void await(struct publication *p, struct waiter *waiter)
{
    waiter->publication = p;
    waiter->repeated = false;
    waiter->next = NULL;
    p->waiters = waiter;
}

/* Adds a publication to the end of the batch. Its room is no longer one that hub_tick forgets. */
static void enqueue(struct hub *hub, struct publication *p)
{
    hub->pending++;
    p->room->pending++;
    p->room->pending_bytes += p->size_max;
    list_remove(&p->room->silent_rooms);
    *hub->batch_end = p;
    hub->batch_end = &p->next;
}

/* Accepts a message with a new key or none. A frame may fill at most half of the history, so that
 * any two messages fit into the ring together. hub_safe will make the frame in hub->frame, so
 * memory for it is reserved there now. The counters change only after the last step that can
 * fail. */
static enum publish accept_new(
    struct hub *hub, struct room *room, const struct frame_content *content, struct waiter *waiter)
{
    size_t size = frame_size_max(content);
    if (size > hub->settings->history / 2)
        return PUBLISH_TOO_LARGE;
    if (buffer_reserve(&hub->frame, size) == NULL) {
        hub->frame.failed = false; /* any frame that it holds is intact */
        return PUBLISH_NO_MEMORY;
    }
    struct publication *p = prepare(hub, room, content, size);
    if (p == NULL)
        return PUBLISH_NO_MEMORY;
    await(p, waiter);
    enqueue(hub, p);
    return PUBLISH_WAIT;
}

/* Makes the room before checking the message; if the message is refused, room_release removes a
 * room that was made only for it. A known key needs no release: its room has a message. */
enum publish hub_publish(
    struct hub *hub, const struct message *m, struct waiter *waiter, struct receipt *receipt)
{
    static const enum publish refused[] = { [JOIN_NO_ROOM] = PUBLISH_NO_ROOM,
        [JOIN_NO_SHARE] = PUBLISH_NO_SHARE,
        [JOIN_NO_MEMORY] = PUBLISH_NO_MEMORY };
    enum join join;
    struct room *room = room_open(hub, m->room, m->source, true, &join);
    if (room == NULL)
        return refused[join];
    buffer_clear(&hub->body); /* scratch: prepare copies what is accepted */
    frame_body(&hub->body, m);
    struct frame_content content = { m->kind, buffer_span(&hub->body), m->key, m->author };
    struct key *key = m->key.len > 0 ? room_find_key(hub, room, m->key, m->author) : NULL;
    if (key != NULL)
        return hub->body.failed ? PUBLISH_NO_MEMORY : repeat(&content, key, waiter, receipt);
    enum publish result =
        hub->body.failed ? PUBLISH_NO_MEMORY : accept_new(hub, room, &content, waiter);
    if (result != PUBLISH_WAIT)
        room_release(hub, room);
    return result;
}

/* Walks the waiters of one message; there are several only if a POST is repeated with its key
 * before the message is safe. */
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

/* Begins a new batch for the next message: a slow keeper may hold several batches at a time. */
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

/* Formats id and time once, for the frame, the journal's record and the receipt. */
void hub_number(struct hub *hub, struct publication *p, struct id id, uint64_t time_ms)
{
    p->id = id;
    p->time_ms = time_ms;
    stamp_make(&hub->stamp, id, time_ms);
    p->stamp = hub->stamp;
    id_raise(&hub->last, id);
}

/* Drops the oldest frames until the new one in hub->frame fits, with its key and note (`extra`).
 * Before that, the due streams that have not been offered a frame are served, however many, so that
 * publishers that are faster than turn_run can overrun only blocked streams. The price is a send to
 * a whole room. Meanwhile a stream's owner may publish, which may move hub->frame. */
static void make_space(struct hub *hub, struct room *room, size_t extra)
{
    struct ring *ring = &room->ring;
    while (!ring_fits(ring, hub->frame.len, extra)) {
        turn_serve_before(hub, room, ring_end(ring, ring->first));
        room_drop_oldest(hub, room);
    }
}

/* Appends the frame in hub->frame to the ring. No other function does this, and it cannot fail. The
 * key now leads to the ring's entry, and is freed when the entry is dropped, so a POST can be
 * repeated while the ring holds its message. Waking the room is O(1): nothing here depends on the
 * number of streams. */
static void append(struct hub *hub, struct room *room, const struct entry *entry)
{
    if (entry->key != NULL) {
        entry->key->pending = NULL;
        entry->key->number = room->ring.next;
        room->ring.extra += key_weight(entry->key->len);
    }
    ring_append(&room->ring, entry, buffer_span(&hub->frame));
    hub->held += hub->frame.len;
    hub->messages++;
    hub->published += !hub->restoring;
    hub->delivered += room->members;
    buffer_clear(&hub->frame);
    id_raise(&hub->newest, entry->id); /* an id from elsewhere may be earlier */
    room_wake(hub, room);
}

/* Tells the waiters, always taking the first in the list, because `done` may publish again or
 * remove other waiters. The receipt's room stays, because `pending` still counts the message. */
static void settle(struct hub *hub, struct publication *p, enum settled settled)
{
    struct room *room = p->room;
    while (p->waiters != NULL) {
        struct waiter *waiter = p->waiters;
        struct receipt receipt = { p->stamp, room_name(room), room->presence.online };
        hub_forget(waiter);
        waiter->done(waiter, settled, &receipt);
    }
    /* The reserved space is now used by the frame or free for others. */
    hub->pending--;
    room->pending--;
    room->pending_bytes -= p->size_max;
    room_release(hub, room);
    publication_free(hub, p);
}

/* Makes the frame only now, because its length depends on its id. It must not be longer than what
 * the POST reserved; after that check nothing can fail. */
void hub_safe(struct hub *hub, struct publication *p)
{
    if (p->forgets) {
        room_empty(hub, p->room);
        settle(hub, p, SETTLED_SAFE); /* frees the room, unless it is in use again */
        return;
    }
    struct buffer *frame = &hub->frame;
    struct entry entry = { p->id, p->time_ms, p->content.author.by, 0, p->key,
        (uint8_t)frame_stored_kind(p->content.kind), p->content.author.with_token,
        p->content.author.by_user };
    buffer_clear(frame);
    frame_message(frame, &p->content, &p->stamp, true);
    must(!frame->failed && frame->len <= p->size_max);
    make_space(hub, p->room, p->key != NULL ? key_weight(p->key->len) : 0);
    append(hub, p->room, &entry);
    /* The POST is answered before any stream gets the frame: streams are served in turn_run. */
    settle(hub, p, SETTLED_SAFE);
}

/* Forgets the key with the message, so that the client can repeat the POST with the same key. */
void hub_refused(struct hub *hub, struct publication *p, enum settled why)
{
    if (p->key != NULL)
        room_forget_key(hub, p->key);
    settle(hub, p, why);
}

/* ==== What has no POST here ================================================================== */

/* Finds or makes the key of a message without a POST here. If two messages have the same key, the
 * room had dropped the first one before the second was posted, so the second gets the key. A safe
 * message takes the key from a pending one, because the pending one may still be refused. Returns
 * false if out of memory. */
static bool take_key(struct hub *hub, struct room *room, const struct stored *m, struct key **key)
{
    *key = NULL;
    if (m->key.len == 0)
        return true;
    struct key *known = room_find_key(hub, room, m->key, m->author);
    if (known != NULL && known->pending != NULL) {
        known->pending->key = NULL;
    } else if (known != NULL) {
        ring_entry(&room->ring, known->number)->key = NULL;
        room->ring.extra -= key_weight(known->len);
    }
    *key = known != NULL ? known : room_add_key(hub, room, m->key, m->author);
    return *key != NULL;
}

/* Puts a payload into hub->frame, in its envelope; the payload's empty line is left out, because
 * frame_end writes it. Returns false if out of memory. */
static bool wrap(struct hub *hub, struct span payload)
{
    struct buffer *frame = &hub->frame;
    buffer_clear(frame);
    size_t begin = frame_begin(frame, true);
    buffer_add(frame, (struct span) { payload.at, payload.len - 1 });
    frame_end(frame, begin, true);
    return !frame->failed;
}

/* Skips a message that the ring cannot hold, because --history was larger when it was posted.
 * Streams must not continue after it as if nothing was missing. So everything in the ring is
 * offered and dropped, and the head moves past the message: every cursor is then less than the
 * tail, and the room's streams are overrun, reconnect, and get a gap. */
static void pass_over(struct hub *hub, struct room *room, struct id id, size_t len)
{
    struct ring *ring = &room->ring;
    room_empty(hub, room);
    ring_pass(ring, len);
    id_raise(&room->lost, id);
    id_raise(&hub->newest, id);
    room_wake(hub, room);
}

/* Returns whether a message is too old to be appended. An empty room can have dropped newer ones:
 * `lost` is then the newest of them, or newer still. */
static bool is_old(const struct room *room, struct id id)
{
    const struct ring *ring = &room->ring;
    if (ring_empty(ring))
        return ring->head > 0 && !id_before(room->lost, id);
    return !id_before(ring_entry(ring, ring->next - 1)->id, id);
}

/* Compares an old message with the one that has its id. A message up to `lost` has been dropped
 * already, so it is taken for a repetition: the room is no worse off without it, because a reader
 * that has not got it has a gap. */
static enum append compare_old(const struct room *room, const struct stored *m)
{
    const struct ring *ring = &room->ring;
    uint64_t number = ring_after(ring, m->id);
    if (number == ring->first)
        return id_before(room->lost, m->id) ? APPEND_OLD : APPEND_REPEATED;
    const struct entry *entry = ring_entry(ring, number - 1);
    uint64_t begin = entry->offset + FRAME_LEAD_BYTES;
    uint64_t end = ring_end(ring, number - 1) - FRAME_TRAIL_BYTES;
    bool same = id_equal(entry->id, m->id) && entry->kind == m->kind &&
                end - begin == m->payload.len && ring_equal(ring, begin, m->payload);
    return same ? APPEND_REPEATED : APPEND_OLD;
}

/* Looks up the key after make_space, which may drop the message that has the key, and the key with
 * it. Pending messages keep their reserved space (ring_prepare), because hub_safe must not fail;
 * until this message is in the ring, it counts as pending. */
static enum append append_payload(struct hub *hub, struct room *room, const struct stored *m)
{
    struct entry entry = { .id = m->id,
        .time_ms = m->time_ms,
        .by = m->author.by,
        .kind = (uint8_t)m->kind,
        .with_token = m->author.with_token,
        .by_user = m->author.by_user };
    struct ring *ring = &room->ring;
    if (is_old(room, m->id))
        return compare_old(room, m);
    if (!wrap(hub, m->payload))
        return APPEND_NO_MEMORY;
    id_raise(&hub->last, m->id);
    size_t len = hub->frame.len;
    if (len > ring->limit) {
        pass_over(hub, room, m->id, len);
        return APPEND_TOO_LARGE;
    }
    size_t note = m->kind == MESSAGE_OTHER ? note_weight(m->note.len) : 0;
    room->pending_bytes += len;
    bool prepared = ring_prepare(ring, room->pending, room->pending_bytes);
    if (prepared)
        make_space(hub, room, key_weight(m->key.len) + note);
    room->pending_bytes -= len;
    if (!prepared || !take_key(hub, room, m, &entry.key) ||
        (m->kind == MESSAGE_OTHER && !room_add_note(room, m->note)))
        return APPEND_NO_MEMORY;
    append(hub, room, &entry);
    return APPENDED;
}

/* Returns the message as this version would have published it, or unchanged if its frame would then
 * be larger than a POST's may be: then it might not fit into the ring. So its readers get what they
 * get for a new message, and its POST can be repeated. The price is a copy of each restored
 * payload. hub->body is scratch, as in hub_publish; if out of memory, it has failed. */
static struct stored renew(struct hub *hub, const struct stored *m)
{
    struct stored renewed = *m;
    buffer_clear(&hub->body);
    struct span payload = frame_renew(&hub->body, m->payload, m->kind);
    if (payload.len + FRAME_ENVELOPE_BYTES <= hub->settings->history / 2)
        renewed.payload = payload;
    return renewed;
}

/* Makes the room whatever --max-rooms says, because its message is already safe and cannot be
 * refused. restore_end drops rooms over the limit. */
enum append hub_append(struct hub *hub, const struct stored *m)
{
    struct stored renewed = renew(hub, m);
    struct room *room = room_find(hub, m->room);
    if (room == NULL && !hub->body.failed)
        room = room_new(hub, m->room);
    if (room == NULL || hub->body.failed)
        return APPEND_NO_MEMORY;
    room->pending++; /* keeps the room while its streams are served */
    enum append result = append_payload(hub, room, &renewed);
    room->pending--;
    if (result == APPENDED)
        room_use(hub, room, 0);
    /* restore_end looks at all rooms; an old message changes nothing. */
    if (!hub->restoring && result != APPEND_OLD && result != APPEND_REPEATED)
        room_release(hub, room);
    return result;
}

/* ==== What time brings ======================================================================= */

uint64_t hub_time(const struct hub *hub)
{
    return hub->unix_ms;
}

/* Takes the snapshots that are due. Nothing is sent here, and nothing enters a ring: the room's
 * streams become due as for a message, and each gets the snapshot when it has caught up. If out of
 * memory, the room keeps its old snapshot and is due again a second later. */
static void tell_presence(struct hub *hub)
{
    int64_t earliest = INT64_MAX;
    hub->presence_at_ms = hub->mono_ms;
    for (struct link *l = hub->changed_rooms.next, *next; l != &hub->changed_rooms; l = next) {
        next = l->next;
        struct room *room = CONTAINER(l, struct room, changed_rooms);
        if (room_presence_due(room) <= hub->mono_ms) {
            room->told_ms = hub->mono_ms; /* even if it fails: no retry in every turn */
            if (presence_snapshot(&room->presence, room_name(room))) {
                list_remove(&room->changed_rooms);
                room_wake(hub, room);
                continue;
            }
        }
        if (room_presence_due(room) < earliest)
            earliest = room_presence_due(room);
    }
    /* Rooms that become due within the next few milliseconds are handled together. */
    hub->presence_ms = earliest;
    if (earliest < hub->mono_ms + PRESENCE_SCAN_MS)
        hub->presence_ms = hub->mono_ms + PRESENCE_SCAN_MS;
}

/* Ends a room's blocked streams whose cursors the ring has passed. Ending a stream leaves `next`
 * valid, because a stream has only one member per room. */
static void end_overrun_in(struct hub *hub, struct room *room)
{
    for (struct link *l = room->blocked.next, *next; l != &room->blocked; l = next) {
        next = l->next;
        struct member *m = CONTAINER(l, struct member, link);
        if (m->cursor < room->ring.tail)
            hub->owner.overrun(m->stream);
    }
}

/* Ends overrun streams: a stalled client's socket never becomes writable, so its stream does not
 * notice by itself. Ending the streams of one room may free other rooms; `pending` keeps this room
 * until the walk has left it. */
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

/* Returns the head of the list, or NULL. Rooms became silent in this order and all have the same
 * time to live, so no other room can be due before the head. */
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

/* Adds the forgetting of a room to the batch. The room keeps its history until that is safe; if it
 * is refused, or out of memory, the room is silent for another --room-ttl. */
static void forget(struct hub *hub, struct room *room)
{
    struct publication *p = publication_new(hub, 0);
    if (p == NULL) {
        room_release(hub, room);
        return;
    }
    p->room = room;
    p->forgets = true;
    enqueue(hub, p);
}

/* Keeps hub->frame while a message is pending, because its POST has reserved that space. The tables
 * shrink here, where nothing walks over them. */
void hub_tick(struct hub *hub)
{
    /* The loop serves streams after this, so what becomes due here is sent in the same turn. */
    struct room *room;
    if (hub->presence_ms <= hub->mono_ms)
        tell_presence(hub);
    if (hub->blocked > 0 && hub->overrun_ms <= hub->mono_ms)
        end_overrun(hub);
    /* A room in this list has no streams and no pending messages. */
    while ((room = longest_silent(hub)) != NULL && silent_until(hub, room) <= hub->mono_ms)
        forget(hub, room);
    table_trim(&hub->rooms);
    table_trim(&hub->names);
    table_trim(&hub->keys);
    table_trim(&hub->shares);
    if (hub->body.capacity > SCRATCH_KEPT_BYTES)
        buffer_free(&hub->body);
    if (hub->frame.capacity > SCRATCH_KEPT_BYTES && hub->pending == 0)
        buffer_free(&hub->frame);
}

/* Returns the hub's current time if a batch waits or a stream is due. */
int64_t hub_next_ms(const struct hub *hub)
{
    if (hub->batch != NULL || !list_empty(&hub->due_rooms) || !list_empty(&hub->behind))
        return hub->mono_ms;
    const struct room *room = longest_silent(hub);
    int64_t next = hub->presence_ms;
    if (room != NULL && silent_until(hub, room) < next)
        next = silent_until(hub, room);
    if (hub->blocked > 0 && hub->overrun_ms < next)
        next = hub->overrun_ms;
    return next;
}

/* Frees the tables last, when rooms have freed their keys and streams have dropped their names. */
void hub_free(struct hub *hub)
{
    must(hub->pending == 0);
    publication_free_spares(hub);
    for (struct node *n; (n = table_walk(&hub->rooms, NULL)) != NULL;)
        room_free(hub, CONTAINER(n, struct room, node));
    table_free(&hub->rooms);
    table_free(&hub->names);
    table_free(&hub->keys);
    table_free(&hub->shares);
    buffer_free(&hub->body);
    buffer_free(&hub->frame);
    free(hub);
}
