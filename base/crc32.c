/* crc32.c - the CRC of crc32.h, a byte at a time, with a table made at the first use. */

#include "base/crc32.h"

uint32_t crc32(uint32_t crc, struct span bytes)
{
    static uint32_t table[256];
    if (table[1] == 0) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int bit = 0; bit < 8; bit++)
                c = c & 1 ? 0xedb88320 ^ (c >> 1) : c >> 1;
            table[i] = c;
        }
    }
    crc = ~crc;
    for (size_t i = 0; i < bytes.len; i++)
        crc = table[(crc ^ (unsigned char)bytes.at[i]) & 0xff] ^ (crc >> 8);
    return ~crc;
}
