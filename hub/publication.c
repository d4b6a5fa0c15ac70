/* publication.c - the memory of pending messages.
 *
 * A publication is one allocation: the struct, followed by the message's body and key. It lives for
 * about a turn, so a busy server needs as many in each turn as it has just freed. A free list
 * (spares) keeps some of one size for reuse. The hub owns the list; threads share nothing here. */

#include "hub/publication.h"

#include "hub/room.h"

#include <stdlib.h>

/* Enough for a line of chat with its room and name. Larger publications are rare and not kept. */
enum { SPARE_BYTES = 256 };

/* How many are kept: 64 use at most 28 KB in an idle server. The debug build keeps none, so that
 * the sanitizer detects any use after free. */
#ifdef DEBUG
enum { SPARES_MAX = 0 };
#else
enum { SPARES_MAX = 64 };
#endif

/* Takes a spare if possible, because with many POSTs per second the heap would otherwise get memory
 * from the system and give it back in each turn. Only the fields before `stamp` are cleared: the
 * others are written before they are read. */
struct publication *publication_new(struct hub *hub, size_t bytes)
{
    size_t capacity = bytes > SPARE_BYTES ? bytes : SPARE_BYTES;
    struct publication *p = hub->spares;
    if (p != NULL && bytes <= SPARE_BYTES) {
        hub->spares = p->next;
        hub->spare_count--;
    } else if ((p = malloc(sizeof *p + capacity)) == NULL) {
        return NULL;
    }
    memset(p, 0, offsetof(struct publication, stamp));
    p->capacity = capacity;
    return p;
}

/* Keeps the publication as a spare if its capacity is right and there are not too many. */
void publication_free(struct hub *hub, struct publication *p)
{
    if (p->capacity != SPARE_BYTES || hub->spare_count == SPARES_MAX) {
        free(p);
        return;
    }
    p->next = hub->spares;
    hub->spares = p;
    hub->spare_count++;
}

void publication_free_spares(struct hub *hub)
{
    for (struct publication *p; (p = hub->spares) != NULL;) {
        hub->spares = p->next;
        free(p);
    }
    hub->spare_count = 0;
}
