/* table.c - the hash table of table.h and its hash, SipHash-1-3 (Aumasson and Bernstein, 2012).
 *
 * SipHash is a pseudo-random function with a key of 128 bits, made for short inputs: without the
 * key, no hash can be predicted from others. The numbers 1-3 mean one round per eight bytes and
 * three rounds at the end. The paper proposes 2-4; the tables of Rust and Python use 1-3 too,
 * because a table needs less strength than a signature.
 *
 * The table grows all at once: a table_add that doubles it moves all n nodes, but the next doubling
 * comes n adds later. It shrinks the same way, but only when its owner says so (table_trim). */

#include "base/table.h"

#include <stdlib.h>
#include <sys/random.h>

enum { CHAINS_MIN = 16 }; /* for the first node; a power of two, like every capacity */

static inline uint64_t rotate(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

/* Does one SipRound: additions, rotations and XOR, which take the same time for every input. */
static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
    v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

/* Returns the secret, drawn at the first use. getrandom(2) waits only if the kernel has just booted
 * and has no entropy yet. Without a secret the table has no defence, so a failure aborts. */
static const uint64_t *secret(void)
{
    static uint64_t key[2];
    if (key[0] == 0 && getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
        abort();
    return key;
}

/* Uses the paper's four constants ("somepseudorandomlygeneratedbytes"). Reads words in the
 * machine's byte order, because no other machine computes the hash. The length in the highest byte
 * of the last word distinguishes texts that differ only in trailing zeros. */
uint64_t table_hash(struct span s, uint64_t seed)
{
    const uint64_t *key = secret();
    uint64_t k0 = key[0] ^ seed, k1 = key[1];
    uint64_t v[4] = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
        k1 ^ 0x7465646279746573 };
    size_t left = s.len;
    const char *at = s.at;
    for (; left >= 8; at += 8, left -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)s.len << 56;
    if (left > 0)
        memcpy(&last, at, left);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Moves all nodes into `capacity` chains. The lowest bits of a hash are the index of its chain, so
 * doubling divides each chain into two and reverses its order; halving joins two. If memory runs
 * out, the table stays as it is, slower but correct, and the next table_add tries again. */
static void resize(struct table *t, size_t capacity)
{
    struct node **chains = calloc(capacity, sizeof *chains);
    if (chains == NULL)
        return;
    for (size_t i = 0; i < t->capacity; i++) {
        for (struct node *node = t->chains[i], *next; node != NULL; node = next) {
            next = node->next;
            struct node **chain = &chains[node->hash & (capacity - 1)];
            node->next = *chain;
            *chain = node;
        }
    }
    free(t->chains);
    t->chains = chains;
    t->capacity = capacity;
}

/* Puts a new node at the front of its chain, because that needs no walk, and the next search is
 * often for this node. */
bool table_add(struct table *t, struct node *node)
{
    if (t->count >= t->capacity)
        resize(t, t->capacity > 0 ? t->capacity * 2 : CHAINS_MIN);
    if (t->capacity == 0)
        return false;
    struct node **chain = &t->chains[node->hash & (t->capacity - 1)];
    node->next = *chain;
    *chain = node;
    t->count++;
    return true;
}

/* Leaves more than twice as many chains as nodes, so that they grow again only after many adds. */
void table_trim(struct table *t)
{
    size_t capacity = t->capacity;
    while (capacity > CHAINS_MIN && t->count < capacity / 4)
        capacity /= 2;
    if (capacity < t->capacity)
        resize(t, capacity);
}

/* Searches for the link to the node: one step on average, because there are at least as many chains
 * as nodes unless memory ran out. A node that is missing from its chain means a use after free. */
void table_remove(struct table *t, struct node *node)
{
    struct node **chain = &t->chains[node->hash & (t->capacity - 1)];
    while (*chain != node) {
        must(*chain != NULL);
        chain = &(*chain)->next;
    }
    *chain = node->next;
    t->count--;
}

/* Compares whole hashes, not only the bits that select the chain, so that callers seldom compare a
 * key in vain. */
struct node *table_find(const struct table *t, uint64_t hash)
{
    if (t->capacity == 0)
        return NULL;
    struct node *node = t->chains[hash & (t->capacity - 1)];
    while (node != NULL && node->hash != hash)
        node = node->next;
    return node;
}

struct node *table_find_next(struct node *node)
{
    uint64_t hash = node->hash;
    do
        node = node->next;
    while (node != NULL && node->hash != hash);
    return node;
}

/* Needs no cursor besides the node, whose hash gives its chain. A walk visits all chains. */
struct node *table_walk(const struct table *t, const struct node *node)
{
    if (node != NULL && node->next != NULL)
        return node->next;
    size_t i = node == NULL ? 0 : (size_t)(node->hash & (t->capacity - 1)) + 1;
    while (i < t->capacity && t->chains[i] == NULL)
        i++;
    return i < t->capacity ? t->chains[i] : NULL;
}

void table_free(struct table *t)
{
    free(t->chains);
    *t = (struct table) { 0 };
}
