/* presence.c - the names in a room, kept in byte order in one array.
 *
 * A join or leave finds its place by binary search and moves the names after it: with 10,000 names
 * that is 80 KB on average and takes a few microseconds, less than the kernel needs to accept the
 * connection. In return, the names of a snapshot are the front of the array, so taking a snapshot
 * sorts nothing. A tree would move less but use more memory per name.
 *
 * A name is kept for each address that shows it, but listed once. Of one address a snapshot lists
 * at most 16 names, so that a client with many streams cannot fill it. This is decided anew in each
 * snapshot: when a listed name leaves, one that was left out takes its place.
 *
 *      the hub's names          a room's names              its snapshot
 *
 *      "ann", 3 holders  ◄───── ann, 2 streams              event: presence
 *      "bob", 1 holder   ◄───── bob, 1 stream               data: {"room":"lobby","online":4,
 *      (2 of ann's streams      1 stream without a name            "names":["ann","bob"]}
 *      are in this room)
 *
 * Differences between two states are never sent. A client that missed one would be wrong until the
 * next full state, and a snapshot of at most 100 names is small enough to be sent in full. */

#include "hub/presence.h"

#include "base/list.h"
#include "base/print.h"
#include "hub/frame.h"
#include "json.h"

#include <stdlib.h>

/* ==== Names ================================================================================== */

static struct span name_span(const struct name *name)
{
    return (struct span) { name->bytes, name->len };
}

/* Searches the one table that all rooms share. Names with the same hash are compared in full,
 * because two different names may share a hash. */
struct name *name_hold(struct table *names, struct span bytes, uint64_t source)
{
    must(bytes.len <= UINT8_MAX);
    uint64_t hash = table_hash(bytes, source);
    for (struct node *n = table_find(names, hash); n != NULL; n = table_find_next(n)) {
        struct name *name = CONTAINER(n, struct name, node);
        if (name->source == source && span_equal(name_span(name), bytes)) {
            name->holders++;
            return name;
        }
    }
    struct name *name = malloc(sizeof *name + bytes.len);
    if (name == NULL)
        return NULL;
    *name = (struct name) {
        .node.hash = hash, .source = source, .holders = 1, .len = (uint8_t)bytes.len
    };
    memcpy(name->bytes, bytes.at, bytes.len);
    if (!table_add(names, &name->node)) {
        free(name);
        return NULL;
    }
    return name;
}

/* Call this after the stream has left all rooms, because their arrays point to the name. */
void name_drop(struct table *names, struct name *name)
{
    if (--name->holders > 0)
        return;
    table_remove(names, &name->node);
    free(name);
}

/* ==== The names in a room ==================================================================== */

/* Compares bytes, which for UTF-8 gives the order of the code points; a prefix comes first. Orders
 * equal names by their sources. */
static int compare(const struct name *a, const struct name *b)
{
    int order = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);
    if (order == 0)
        order = (a->len > b->len) - (a->len < b->len);
    return order != 0 ? order : (a->source > b->source) - (a->source < b->source);
}

/* Returns where `name` is, or where it belongs: the lower bound, by binary search. */
static size_t place_of(const struct presence *p, const struct name *name)
{
    size_t low = 0, high = p->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(p->names[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Moves the names from `place` to `count` up by one place, in pieces from the end, because in this
 * direction musl's memmove(3) is ten times slower: a cycle per byte. */
static void move_up(struct present *names, size_t place, size_t count)
{
    enum { PIECE = 64 };
    struct present piece[PIECE];
    while (count > place) {
        size_t n = count - place < PIECE ? count - place : PIECE;
        count -= n;
        memcpy(piece, names + count, n * sizeof *names);
        memcpy(names + count + 1, piece, n * sizeof *names);
    }
}

enum { PRESENT_MIN = 4 };

/* Moves the array to a new capacity. Returns false if out of memory; then nothing has changed. */
static bool resize(struct presence *p, size_t capacity)
{
    struct present *names = realloc(p->names, capacity * sizeof *names);
    if (names == NULL)
        return false;
    p->names = names;
    p->capacity = capacity;
    return true;
}

/* Inserts a name at its place. The array doubles when it is full. */
static bool insert(struct presence *p, size_t place, struct name *name)
{
    if (p->count == p->capacity && !resize(p, p->capacity > 0 ? p->capacity * 2 : PRESENT_MIN))
        return false;
    move_up(p->names, place, p->count);
    p->names[place] = (struct present) { name, 1 };
    p->count++;
    return true;
}

/* Stores a name once even if several streams show it, for example the tabs of one user. So `online`
 * can be greater than the number of names. */
bool presence_join(struct presence *p, struct name *name)
{
    if (name != NULL) { /* first the step that can fail, then the counters */
        size_t place = place_of(p, name);
        if (place < p->count && p->names[place].name == name)
            p->names[place].streams++;
        else if (!insert(p, place, name))
            return false;
    }
    p->online++;
    p->change++;
    return true;
}

/* Never fails: an array that cannot shrink stays as it is. memmove(3) is fast in this direction, so
 * it needs no pieces. */
void presence_leave(struct presence *p, struct name *name)
{
    must(p->online > 0);
    p->online--;
    p->change++;
    if (name == NULL)
        return;
    size_t place = place_of(p, name);
    must(place < p->count && p->names[place].name == name);
    if (--p->names[place].streams > 0)
        return;
    p->count--;
    memmove(&p->names[place], &p->names[place + 1], (p->count - place) * sizeof *p->names);
    if (p->capacity > PRESENT_MIN && p->count < p->capacity / 4)
        resize(p, p->capacity / 2);
}

/* Returns the number of the first name after `place` that has other bytes: usually the next one,
 * otherwise by binary search. */
static size_t next_other(const struct presence *p, size_t place)
{
    struct span bytes = name_span(p->names[place].name);
    size_t low = ++place, high = p->count;
    if (low == high || !span_equal(name_span(p->names[low].name), bytes))
        return low;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (span_equal(name_span(p->names[middle].name), bytes))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Returns whether PRESENCE_SOURCE_MAX of the listed names are already from this source. */
static bool has_its_share(const uint64_t *listed, size_t count, uint64_t source)
{
    size_t same = 0;
    for (size_t i = 0; i < count && source != 0; i++)
        same += listed[i] == source;
    return same >= PRESENCE_SOURCE_MAX;
}

/* Writes no id, so that the event does not move a client's Last-Event-ID. Writes the whole state,
 * so that a client can replace what it knew. The limit of 100 names of 32 characters bounds the
 * event to 13 KB; without it, each of n named streams would be sent n names.
 *
 * However many names the room has, only a few are looked at and left out: those of the six
 * addresses at most that can have a share each among 100 names, 48 of each with the default
 * --max-streams-per-ip. Each costs a look at the sources of the listed names. */
void presence_add(struct buffer *out, const struct presence *p, struct span room, bool chunked)
{
    size_t begin = frame_begin(out, chunked);
    buffer_add(out, SPAN("event: presence\ndata: {\"room\":"));
    json_string_add(out, room);
    buffer_printf(out, ",\"online\":%u,\"names\":[", p->online);
    uint64_t listed[PRESENCE_NAMES_MAX]; /* the sources of the names in the event */
    size_t count = 0, i = 0;
    while (i < p->count && count < PRESENCE_NAMES_MAX) {
        const struct name *name = p->names[i].name;
        if (has_its_share(listed, count, name->source)) {
            i++;
            continue;
        }
        if (count > 0)
            buffer_add(out, SPAN(","));
        json_string_add(out, name_span(name));
        listed[count++] = name->source;
        i = next_other(p, i);
    }
    buffer_add(out, SPAN("]}\n"));
    frame_end(out, begin, chunked);
}

/* Writes to a new buffer, so that a failure leaves the old snapshot intact. No stream needs the old
 * snapshot afterwards: a stream that was sent a part of it owns a copy of the rest. */
bool presence_snapshot(struct presence *p, struct span room)
{
    struct buffer snapshot = { 0 };
    presence_add(&snapshot, p, room, true);
    if (snapshot.failed) {
        buffer_free(&snapshot);
        return false;
    }
    buffer_free(&p->snapshot);
    p->snapshot = snapshot;
    p->snapshot_change = p->change;
    return true;
}

/* Frees the array but not the names, which belong to the streams. */
void presence_free(struct presence *p)
{
    free(p->names);
    buffer_free(&p->snapshot);
}
