/* table.h - an intrusive hash table with chains: rooms, names, idempotency keys, peers.
 *
 * The nodes are fields of the structs that the table finds, so the table allocates only its array
 * of chains. Clients choose most of the keys, so the hash is SipHash-1-3 with a random secret: a
 * client that does not know it cannot choose names that all fall into one chain and make every
 * lookup linear (hash flooding).
 *
 *      chains  0 ─► NULL
 *              1 ─► struct room { node ... } ─► struct room { node ... } ─► NULL
 *              2 ─► struct room { node ... } ─► NULL */

#ifndef TABLE_H
#define TABLE_H

#include "base/bytes.h"

#include <stdint.h>

/* A field of each struct in the table. The owner sets `hash`; the table owns `next`. */
struct node {
    struct node *next;
    uint64_t hash; /* the whole hash, so that growing does not need the key */
};

/* A table of all zeros is empty. */
struct table {
    struct node **chains;
    size_t capacity, count; /* the number of chains (0 or a power of two) and of nodes */
};

/* Returns the hash of `s`. Different seeds give unrelated hashes: a caller whose texts belong to
 * different owners uses the owner as the seed, so that equal texts spread over the chains. */
uint64_t table_hash(struct span s, uint64_t seed);

/* Adds a node whose `hash` is set, without looking for an equal node. Doubles the number of chains
 * when there are as many nodes as chains; if memory runs out, the chains get longer instead.
 * Returns false only if the very first allocation fails. */
bool table_add(struct table *t, struct node *node);

/* Removes a node, which must be in the table. The owner then frees it. */
void table_remove(struct table *t, struct node *node);

/* Gives back chains if there are over four times as many as nodes. Call this only between walks. */
void table_trim(struct table *t);

/* Return the first node with this hash, and the next node with the same hash as `node`; NULL if
 * there is none. The caller compares the keys, because two keys can have the same hash. */
struct node *table_find(const struct table *t, uint64_t hash);
struct node *table_find_next(struct node *node);

/* Walks over all nodes in no particular order: returns the node after `node`, the first node if
 * `node` is NULL, or NULL at the end. Between two calls `node` must stay in the table, and no node
 * may be added; to remove a node, step past it first. */
struct node *table_walk(const struct table *t, const struct node *node);

/* Frees the chains but not the nodes, which belong to their owners. */
void table_free(struct table *t);

#endif
