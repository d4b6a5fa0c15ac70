/* list.h - a doubly linked ring of links that live inside the things they link.
 *
 * A list is a link that stands for no thing. To add, to remove and to append a whole list to
 * another costs the same whatever their length. */

#ifndef LIST_H
#define LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *prev, *next;
};

/* The struct of `type` whose field `member` is at `link`. */
#define CONTAINER(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

#define CONST_CONTAINER(link, type, member) \
    ((const type *)(const void *)((const char *)(link)-offsetof(type, member)))

static inline void list_init(struct link *list)
{
    list->prev = list->next = list;
}

static inline bool list_empty(const struct link *list)
{
    return list->next == list;
}

static inline void list_insert(struct link *prev, struct link *link)
{
    link->prev = prev;
    link->next = prev->next;
    prev->next->prev = link;
    prev->next = link;
}

static inline void list_append(struct link *list, struct link *link)
{
    list_insert(list->prev, link);
}

static inline void list_prepend(struct link *list, struct link *link)
{
    list_insert(list, link);
}

/* Takes the link out of whatever list it is in; it is then in a list of its own, so that taking it
 * out again does nothing. */
static inline void list_remove(struct link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* Moves all of `from` to the end of `to`. */
static inline void list_splice(struct link *from, struct link *to)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif
