/* sha256.h - SHA-256 (FIPS 180-4) and HMAC with it (RFC 2104). */

#ifndef SHA256_H
#define SHA256_H

#include "base/bytes.h"

enum { SHA256_BYTES = 32 };

void sha256_digest(struct span bytes, unsigned char digest[SHA256_BYTES]);
void sha256_hmac(struct span key, struct span bytes, unsigned char digest[SHA256_BYTES]);

static inline struct span sha256_span(const unsigned char digest[SHA256_BYTES])
{
    return (struct span) { (const char *)digest, SHA256_BYTES };
}

#endif
