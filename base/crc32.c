/* crc32.c - the CRC-32 of crc32.h, with one table (Sarwate's method).
 *
 * A CRC is the remainder of a division of polynomials over bits. The table contains the remainder
 * of each possible byte, so that a step processes eight bits. 0xedb88320 is the polynomial of IEEE
 * 802.3 with its bits reversed, because the lowest bit of a byte comes first. Inverting the CRC
 * before the first byte makes leading zeros count; the standard inverts it again at the end.
 *
 * Left out: slicing-by-8 and the CPU's CRC instructions. Both are faster, but a record is short,
 * and syncing the journal costs far more than the CRC. */

#include "base/crc32.h"

/* Makes the table at the first use, in 2048 steps, because the loop is easier to read than 256
 * constants. There is one thread, so no lock is needed. */
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
