/* inflate.h - unpacks gzip (RFC 1952, RFC 1951).
 *
 * The binary holds each file of the page once, compressed, as nearly every browser takes it. A
 * client that does not accept gzip gets the file as inflate unpacks it. */

#ifndef INFLATE_H
#define INFLATE_H

#include "base/bytes.h"

/* The size that a gzip file claims to unpack to (RFC 1952 2.3.1: ISIZE, modulo 2^32); 0 if the file
 * is too short for one. inflate checks the claim. */
size_t inflate_size(struct span gzip);

/* Unpacks into `out`, which has room for `size` bytes, and never writes more. False if the file is
 * damaged or does not unpack to exactly `size` bytes; then `out` holds nothing to rely on. The
 * file must be as `gzip -n` writes it: its header has no name, comment or extra field. */
bool inflate(struct span gzip, char *out, size_t size);

#endif
