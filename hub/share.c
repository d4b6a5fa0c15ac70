/* share.c - the table of sources that have made rooms.
 *
 * A share is a number of rooms, not of bytes: each room can hold up to --history. Rooms that a
 * journal or another process has brought are no source's, because their messages do not say from
 * which address they came. */

#include "hub/share.h"

#include "hub/room.h"

#include <stdlib.h>

/* One address may have made one room in SHARE_PARTS of --max-rooms. */
enum { SHARE_PARTS = 4 };

bool share_exempts(const struct hub *hub, struct span name)
{
    const struct hub_settings *settings = hub->settings;
    return settings->max_rooms == 0 || settings->allowed.count > 0 ||
           span_equal(name, SPAN("lobby"));
}

/* Compares only hashes, because a source is nothing else. */
static struct share *find(const struct hub *hub, uint64_t source)
{
    struct node *n = table_find(&hub->shares, source);
    return n != NULL ? CONTAINER(n, struct share, node) : NULL;
}

enum join share_check(const struct hub *hub, const struct room *room, uint64_t source)
{
    uint64_t max = hub->settings->max_rooms;
    if (hub->counted >= max)
        return JOIN_NO_ROOM;
    const struct share *share = source != 0 ? find(hub, source) : NULL;
    if (share == NULL || (room != NULL && room->share == share))
        return JOIN_OK;
    return share->rooms < (max < SHARE_PARTS ? 1 : max / SHARE_PARTS) ? JOIN_OK : JOIN_NO_SHARE;
}

static struct share *find_or_make(struct hub *hub, uint64_t source)
{
    struct share *share = find(hub, source);
    if (share != NULL)
        return share;
    share = malloc(sizeof *share);
    if (share == NULL)
        return NULL;
    *share = (struct share) { .node.hash = source };
    if (!table_add(&hub->shares, &share->node)) {
        free(share);
        return NULL;
    }
    return share;
}

/* Takes the new share before it gives the old one back, which may be the same. */
bool share_assign(struct hub *hub, struct room *room, uint64_t source)
{
    struct share *before = room->share, *share = NULL;
    if (source != 0 && !room->exempt) {
        share = find_or_make(hub, source);
        if (share == NULL)
            return false;
        share->rooms++;
    }
    room->share = share;
    if (before != NULL && --before->rooms == 0) {
        table_remove(&hub->shares, &before->node);
        free(before);
    }
    return true;
}
