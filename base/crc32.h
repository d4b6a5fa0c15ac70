/* crc32.h - the CRC-32 of IEEE 802.3, as in gzip and PNG: for the journal's records and the page.
 *
 * It detects torn writes and flipped bits. It does not protect against deliberate changes, because
 * an attacker can compute it too. */

#ifndef CRC32_H
#define CRC32_H

#include "base/bytes.h"

/* Continues a CRC: `crc` is the CRC of all bytes before `bytes`, or 0 if there are none. Returns
 * the CRC of all bytes so far. */
uint32_t crc32(uint32_t crc, struct span bytes);

#endif
