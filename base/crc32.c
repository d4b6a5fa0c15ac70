/* crc32.c - the CRC-32 of crc32.h, with one table (Sarwate's method).
 *
 * A CRC is the remainder of a division of polynomials over bits. The table holds the remainder that
 * each possible byte leaves, so that a step takes eight bits at once. 0xedb88320 is the polynomial
 * of IEEE 802.3 with its bits in reverse, because the lowest bit of a byte goes first. The
 * inversion before the bytes makes zeros at their beginning count, and the standard has a second
 * one after them.
 *
 * Left out: slicing by eight tables, and the CPU's instructions. Both are faster, but a record
 * is short, and the sync of the journal costs far more than its CRC. */

#include "base/crc32.h"

/* The table is made at the first use, 2048 steps in all, which is cheaper to read than 256
 * constants. One thread, so no lock. */
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
