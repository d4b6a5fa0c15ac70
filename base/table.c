/* table.c - the hash table of table.h and its hash, SipHash-1-3 (Aumasson and Bernstein, 2012). */

#include "base/table.h"

#include <stdlib.h>
#include <sys/random.h>

enum { CHAINS_MIN = 16 };

static uint64_t rotate(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = rotate(v[1], 13) ^ v[0], v[0] = rotate(v[0], 32);
    v[2] += v[3], v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3], v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1], v[1] = rotate(v[1], 17) ^ v[2], v[2] = rotate(v[2], 32);
}

/* The secret is drawn at the first use. Only a kernel that has just booted makes us wait for it. */
static const uint64_t *secret(void)
{
    static uint64_t key[2];
    if (key[0] == 0 && getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
        abort();
    return key;
}

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

/* When there is no memory the table stays as it is: slower, not wrong. */
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
