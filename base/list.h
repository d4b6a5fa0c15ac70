/* list.h - an intrusive, circular, doubly linked list.
 *
 * The links are fields of the structs that they connect, so a list allocates nothing, and a struct
 * can be in several lists at once, with one link for each list. The list itself is one more link
 * that belongs to no struct (a sentinel), so no operation has a special case for the ends:
 *
 *      ┌─► list ◄──► first ◄──► second ◄──► last ◄─┐       empty:  ┌─► list ◄─┐
 *      └───────────────────────────────────────────┘               └──────────┘
 *
 * Adding, removing and splicing take constant time. A list does not store its length, and a struct
 * must be removed from its lists before it is freed. */

#ifndef LIST_H
#define LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *prev, *next;
};

/* Returns the struct of `type` whose field `member` is at `link`. Nothing checks the type. */
#define CONTAINER(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

#define CONST_CONTAINER(link, type, member) \
    ((const type *)(const void *)((const char *)(link)-offsetof(type, member)))

/* Makes a list empty. Call this before the first use of a list or a link. */
static inline void list_init(struct link *list)
{
    list->prev = list->next = list;
}

static inline bool list_empty(const struct link *list)
{
    return list->next == list;
}

/* Inserts `link`, which must be in no list, after `prev`. */
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

/* Removes the link from its list, which the caller need not know. The link is then an empty list,
 * so removing it twice does nothing. */
static inline void list_remove(struct link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_init(link);
}

/* Moves a link from its list, if it is in one, to the end of `list`. */
static inline void list_move(struct link *list, struct link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    list_append(list, link);
}

/* Moves all of `from` to the end of `to`, in constant time, and leaves `from` empty:
 *
 *      to ─ a ─ b      from ─ x ─ y ─ z      becomes      to ─ a ─ b ─ x ─ y ─ z      from */
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
