/* inflate.h - unpacks gzip (RFC 1952, RFC 1951). The page is in the binary only once, compressed;
 * who does not take it like that gets what inflate makes of it. */

#ifndef INFLATE_H
#define INFLATE_H

#include "base/bytes.h"

/* How many bytes a gzip file unpacks to, by its own word (RFC 1952 2.3.1: ISIZE). */
size_t inflate_size(struct span gzip);

/* Unpacks into `out`, which has room for `size` bytes. False when the file is damaged, or unpacks
 * to anything but `size` bytes. It must be as `gzip -n` writes it: without a name, a comment or
 * other extra fields. */
bool inflate(struct span gzip, char *out, size_t size);

#endif
