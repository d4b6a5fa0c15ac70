/* table.h - a hash table of nodes that live inside the things they find: rooms, names, keys.
 *
 * The keys are whatever people send us, so the hash is SipHash-1-3 with a secret of this process:
 * nobody can choose names that all fall into one chain. */

#ifndef TABLE_H
#define TABLE_H

#include "base/bytes.h"

#include <stdint.h>

struct node {
    struct node *next;
    uint64_t hash;
};

struct table {
    struct node **chains; /* a power of two of them */
    size_t capacity, count;
};

/* The hash of `s`; `seed` keeps apart equal keys of different owners. */
uint64_t table_hash(struct span s, uint64_t seed);

/* Adds a node whose `hash` is set. It doubles the chains when there is a node for each; when memory
 * is short the chains get longer instead. False only when the very first allocation fails. */
bool table_add(struct table *t, struct node *node);

void table_remove(struct table *t, struct node *node);

/* The first node with this hash and the next one after it; NULL when there is none. The caller
 * compares the keys. */
struct node *table_find(const struct table *t, uint64_t hash);
struct node *table_find_next(struct node *node);

/* Walks over all nodes, in no order: the one after `node`, or the first when it is NULL. The table
 * must not change in between. */
struct node *table_walk(const struct table *t, const struct node *node);

/* Gives back the chains; the nodes are their owners' business. */
void table_free(struct table *t);

#endif
