/* sha256.h - SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104): for token signatures.
 *
 * It is implemented here because the program links nothing but libc. */

#ifndef SHA256_H
#define SHA256_H

#include "base/bytes.h"

enum { SHA256_BYTES = 32 };

/* Computes the hash of all of `bytes` at once. */
void sha256_digest(struct span bytes, unsigned char digest[SHA256_BYTES]);
/* Computes the keyed hash, which cannot be computed without `key`. Accepts a key of any length, so
 * the caller must check that the key is long enough. Compare digests in constant time. */
void sha256_hmac(struct span key, struct span bytes, unsigned char digest[SHA256_BYTES]);

static inline struct span sha256_span(const unsigned char digest[SHA256_BYTES])
{
    return (struct span) { (const char *)digest, SHA256_BYTES };
}

#endif
