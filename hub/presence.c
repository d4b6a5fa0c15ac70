/* presence.c - the names in a room, kept in byte order in one array.
 *
 * A join or leave finds its place by bisection and moves what is behind it: with 10,000 names that
 * is 80 KB on average, some microseconds, less than the kernel takes to accept the connection. */

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

struct name *name_hold(struct table *names, struct span bytes)
{
    must(bytes.len <= UINT8_MAX);
    uint64_t hash = table_hash(bytes, 0);
    for (struct node *n = table_find(names, hash); n != NULL; n = table_find_next(n)) {
        struct name *name = CONTAINER(n, struct name, node);
        if (span_equal(name_span(name), bytes)) {
            name->holders++;
            return name;
        }
    }
    struct name *name = malloc(sizeof *name + bytes.len);
    if (name == NULL)
        return NULL;
    *name = (struct name) { .node.hash = hash, .holders = 1, .len = (uint8_t)bytes.len };
    memcpy(name->bytes, bytes.at, bytes.len);
    if (!table_add(names, &name->node)) {
        free(name);
        return NULL;
    }
    return name;
}

void name_drop(struct table *names, struct name *name)
{
    if (--name->holders > 0)
        return;
    table_remove(names, &name->node);
    free(name);
}

/* ==== Who is there =========================================================================== */

static int compare(struct span a, struct span b)
{
    int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Where `name` is, or where it belongs. */
static size_t place_of(const struct presence *p, const struct name *name)
{
    size_t low = 0, high = p->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(name_span(p->names[middle].name), name_span(name)) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Moves the names from `place` up to `count` to the next place each. By pieces, from the end:
 * musl's memmove(3) takes a cycle a byte in this direction, ten times as long. */
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

static bool insert(struct presence *p, size_t place, struct name *name)
{
    if (p->count == p->capacity) {
        size_t capacity = p->capacity > 0 ? p->capacity * 2 : 4;
        struct present *names = realloc(p->names, capacity * sizeof *names);
        if (names == NULL)
            return false;
        p->names = names;
        p->capacity = capacity;
    }
    move_up(p->names, place, p->count);
    p->names[place] = (struct present) { name, 1 };
    p->count++;
    return true;
}

bool presence_join(struct presence *p, struct name *name)
{
    if (name != NULL) {
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
}

void presence_add(struct buffer *out, const struct presence *p, struct span room, bool chunked)
{
    size_t begin = frame_begin(out, chunked);
    buffer_add(out, SPAN("event: presence\ndata: {\"room\":"));
    json_string_add(out, room);
    buffer_printf(out, ",\"online\":%u,\"names\":[", p->online);
    for (size_t i = 0; i < p->count && i < PRESENCE_NAMES_MAX; i++) {
        if (i > 0)
            buffer_add(out, SPAN(","));
        json_string_add(out, name_span(p->names[i].name));
    }
    buffer_add(out, SPAN("]}\n"));
    frame_end(out, begin, chunked);
}

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

void presence_free(struct presence *p)
{
    free(p->names);
    buffer_free(&p->snapshot);
}
