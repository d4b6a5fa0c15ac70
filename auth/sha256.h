/* sha256.h - SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104): for the signatures of tokens.
 *
 * Written here, because the program links nothing but libc. */

#ifndef SHA256_H
#define SHA256_H

#include "base/bytes.h"

enum { SHA256_BYTES = 32 };

/* The hash of all of `bytes` at once. */
void sha256_digest(struct span bytes, unsigned char digest[SHA256_BYTES]);
/* The keyed hash that only an owner of `key` can compute. A key of any length is accepted; the
 * caller sees to it that it is long enough. Compare digests in constant time. */
void sha256_hmac(struct span key, struct span bytes, unsigned char digest[SHA256_BYTES]);

static inline struct span sha256_span(const unsigned char digest[SHA256_BYTES])
{
    return (struct span) { (const char *)digest, SHA256_BYTES };
}

#endif
