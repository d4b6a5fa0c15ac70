/* print.h - formats numbers and text into a buffer, an array or a descriptor: the part of printf(3)
 * that this program needs. stdio is large for a small static binary, and slow for short texts.
 *
 * The conversions are %s, %c, %d, %u and %x. In front of the letter may stand, in this order: a
 * width, filled on the left with spaces, or with zeros if it begins with 0; `.*`, the greatest
 * number of bytes of a string, which then needs no NUL; and the type of a number: l, ll, z or t.
 * Anything else, also %%, aborts the program; `make lint` finds such formats (test/formats). */

#ifndef PRINT_H
#define PRINT_H

#include "base/bytes.h"

#include <stdarg.h>

/* Writes the decimal digits of a number backwards, the last one directly before `end`. Returns the
 * address of the first one, which is at most PRINT_DECIMAL_BYTES before `end`: the digits of
 * UINT64_MAX. */
enum { PRINT_DECIMAL_BYTES = 20 };
char *print_decimal(char *end, unsigned long long number);

/* Both append to a buffer. Out of memory they set `failed` and leave it as it was. */
void buffer_add_number(struct buffer *b, unsigned long long number);
__attribute__((format(printf, 2, 3))) void buffer_printf(struct buffer *b, const char *format, ...);

/* Like snprintf(3): writes at most `size` bytes, the NUL included, and returns the length that the
 * whole text has. The text was cut if that is `size` or more. */
__attribute__((format(printf, 3, 4))) size_t print_into(
    char *out, size_t size, const char *format, ...);
size_t print_list(char *out, size_t size, const char *format, va_list list);

/* Writes to a descriptor in one write(2). The format ends with a line end. A text over 4095 bytes
 * is cut, and its last byte is then the line end. */
__attribute__((format(printf, 2, 3))) void print_line(int fd, const char *format, ...);

#endif
