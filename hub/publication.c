/* publication.c - the memory of messages on their way. */

#include "hub/publication.h"

#include "hub/room.h"

#include <stdlib.h>

enum { SPARE_BYTES = 256 };

/* The debug build keeps none, so that the sanitizer sees the use of one that is gone. */
#ifdef DEBUG
enum { SPARES_MAX = 0 };
#else
enum { SPARES_MAX = 64 };
#endif

/* A publication lives for a turn, and at many POSTs a second the heap would go to the system for it
 * in each. So a few of the usual size are kept for the next ones. */
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
