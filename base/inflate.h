/* inflate.h - unpacks gzip (RFC 1952, RFC 1951).
 *
 * The binary contains each file of the page once, compressed, because nearly every browser accepts
 * gzip. For any other client, inflate unpacks the file. */

#ifndef INFLATE_H
#define INFLATE_H

#include "base/bytes.h"

/* Returns the size that a gzip file claims to unpack to (RFC 1952 2.3.1: ISIZE, modulo 2^32), or 0
 * if the file is too short. inflate checks the claim. */
size_t inflate_size(struct span gzip);

/* Unpacks into `out`, which has room for `size` bytes, and never writes more. Returns false if the
 * file is damaged or does not unpack to exactly `size` bytes; `out` must not be used then. The file
 * must be as `gzip -n` writes it: its header has no name, comment or extra field. */
bool inflate(struct span gzip, char *out, size_t size);

#endif
