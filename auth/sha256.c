/* sha256.c - SHA-256 and HMAC, as close to the text of the standards as C allows.
 *
 * The state is eight words. Each block of 64 bytes is expanded to 64 words and mixed into the state
 * in 64 rounds (the Merkle-Damgard construction), and the padding at the end contains the length.
 * No branch or table index depends on the bytes, so the running time reveals nothing about a key.
 * Nothing is allocated.
 *
 * Left out: the CPU's SHA instructions and unrolled rounds, because one short token per request is
 * cheap enough. Copies of the key on the stack are not wiped, because the key itself stays in
 * memory until the process ends. */

#include "auth/sha256.h"

/* ==== SHA-256, FIPS 180-4 ==================================================================== */

enum { BLOCK_BYTES = 64, LENGTH_AT = BLOCK_BYTES - 8, ROUNDS = 64 };

/* A hash in progress, so that HMAC can add its pieces without joining them in memory. */
struct sha256 {
    uint32_t state[8];
    uint64_t len;                     /* the bytes added so far */
    unsigned char block[BLOCK_BYTES]; /* the last len % BLOCK_BYTES bytes, not mixed in yet */
};

/* clang-format off */

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes: their origin
 * leaves no choice that could hide a weakness. */
static const uint32_t round_constants[ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
};

/* clang-format on */

static void sha256_start(struct sha256 *s)
{
    /* The same bits of the square roots of the first eight primes. */
    *s = (struct sha256) { .state = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                               0x9b05688c, 0x1f83d9ab, 0x5be0cd19 } };
}

/* Rotates by 1 to 31: a shift by 32 is undefined. Compilers turn this into one instruction. */
static uint32_t rotate_right(uint32_t word, unsigned by)
{
    return word >> by | word << (32 - by);
}

/* Computes the message schedule (FIPS 180-4 6.2.2, step 1): the block as 16 words, highest byte
 * first, and 48 more words, each mixed from four earlier words. */
static void spread(const unsigned char block[BLOCK_BYTES], uint32_t words[ROUNDS])
{
    for (size_t i = 0; i < 16; i++, block += 4)
        words[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 |
                   block[3];
    for (size_t i = 16; i < ROUNDS; i++) {
        uint32_t far = words[i - 15], near = words[i - 2];
        uint32_t sigma0 = rotate_right(far, 7) ^ rotate_right(far, 18) ^ far >> 3;
        uint32_t sigma1 = rotate_right(near, 17) ^ rotate_right(near, 19) ^ near >> 10;
        words[i] = words[i - 16] + sigma0 + words[i - 7] + sigma1;
    }
}

/* Mixes one block into the state (FIPS 180-4 6.2.2, steps 2 to 4). The standard's eight words a to
 * h are v[0] to v[7]. A round moves each word to the next place, and only two get a new value:
 *
 *      place     0    1    2    3    4    5    6    7
 *      before    a    b    c    d    e    f    g    h
 *      after     a'   a    b    c    e'   e    f    g      e' = d + t, a' = t + sum0 + majority
 *
 * The old state is added at the end, so that the rounds cannot be run backwards. */
static void mix(struct sha256 *s)
{
    uint32_t words[ROUNDS], v[8];
    spread(s->block, words);
    memcpy(v, s->state, sizeof v);
    for (size_t i = 0; i < ROUNDS; i++) {
        uint32_t a = v[0], e = v[4];
        uint32_t sum0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
        uint32_t sum1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
        uint32_t majority = (a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]);
        uint32_t choice = (e & v[5]) ^ (~e & v[6]);
        uint32_t t = v[7] + sum1 + choice + round_constants[i] + words[i];
        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += t;
        v[0] = t + sum0 + majority;
    }
    for (size_t i = 0; i < 8; i++)
        s->state[i] += v[i];
}

/* Fills the block and mixes it in when it is full. All input is copied once, which costs little
 * compared with 64 rounds per block. */
static void sha256_add(struct sha256 *s, struct span bytes)
{
    while (bytes.len > 0) {
        size_t used = s->len % BLOCK_BYTES, left = BLOCK_BYTES - used;
        size_t len = bytes.len < left ? bytes.len : left;
        memcpy(s->block + used, bytes.at, len);
        s->len += len;
        bytes.at += len;
        bytes.len -= len;
        if (len == left)
            mix(s);
    }
}

/* Pads to the end of the last block, or of one more block if the padding does not fit:
 *
 *     | ... the bytes | 0x80 | zeros ... | the number of bits, in 8 bytes |
 *
 * The zeros are added one at a time, at most 63. The number of bits is computed before the padding
 * is added. */
static void sha256_finish(struct sha256 *s, unsigned char digest[SHA256_BYTES])
{
    uint64_t bits = s->len * 8;
    char length[8];
    for (size_t i = 0; i < sizeof length; i++)
        length[i] = (char)(unsigned char)(bits >> (56 - 8 * i));
    sha256_add(s, SPAN("\x80"));
    while (s->len % BLOCK_BYTES != LENGTH_AT)
        sha256_add(s, SPAN("\0"));
    sha256_add(s, (struct span) { length, sizeof length });
    for (size_t i = 0; i < SHA256_BYTES; i++)
        digest[i] = (unsigned char)(s->state[i / 4] >> (24 - i % 4 * 8));
}

void sha256_digest(struct span bytes, unsigned char digest[SHA256_BYTES])
{
    struct sha256 s;
    sha256_start(&s);
    sha256_add(&s, bytes);
    sha256_finish(&s, digest);
}

/* ==== HMAC, RFC 2104 ========================================================================= */

/* Begins one of the two hashes with the key's block, each byte XORed with `pad`. */
static void hmac_start(struct sha256 *s, const char block[BLOCK_BYTES], unsigned char pad)
{
    char padded[BLOCK_BYTES];
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        padded[i] = (char)((unsigned char)block[i] ^ pad);
    sha256_start(s);
    sha256_add(s, (struct span) { padded, sizeof padded });
}

/* Computes H(key ^ 0x5c5c... | H(key ^ 0x3636... | bytes)). The outer hash is needed because the
 * digest of a plain H(key | bytes) is the state after its last block: a forger could continue from
 * it and sign a longer text without the key (length extension). A key longer than one block is
 * hashed first (RFC 2104 2). The price is three more blocks than for `bytes` alone. `digest` also
 * holds intermediate results. */
void sha256_hmac(struct span key, struct span bytes, unsigned char digest[SHA256_BYTES])
{
    struct sha256 s;
    char block[BLOCK_BYTES] = { 0 };
    if (key.len > BLOCK_BYTES) {
        sha256_digest(key, digest);
        key = sha256_span(digest);
    }
    if (key.len > 0)
        memcpy(block, key.at, key.len);
    hmac_start(&s, block, 0x36);
    sha256_add(&s, bytes);
    sha256_finish(&s, digest);
    hmac_start(&s, block, 0x5c);
    sha256_add(&s, sha256_span(digest));
    sha256_finish(&s, digest);
}
