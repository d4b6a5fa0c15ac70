/* crc32.h - the CRC-32 of IEEE 802.3, as in zip and PNG: for records on disk. */

#ifndef CRC32_H
#define CRC32_H

#include "base/bytes.h"

/* The CRC of `bytes` behind those whose CRC is `crc`; begins with 0. */
uint32_t crc32(uint32_t crc, struct span bytes);

#endif
