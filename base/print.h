/* print.h - numbers and text with values in it, into a buffer, a piece of memory or a descriptor:
 * the little of printf(3) that is needed here. stdio would double the program's own code, and take
 * most of the time that a POST has.
 *
 * The conversions are %s, %c, %d, %u and %x. In front of the letter may stand a width, filled on
 * the left with spaces, or with zeros after a 0; `.*` for the most bytes of a string; and the type
 * of a number: l, ll, z or t. Anything else stops the program. */

#ifndef PRINT_H
#define PRINT_H

#include "base/bytes.h"

#include <stdarg.h>

/* Writes the decimal digits of a number so that they end in front of `end`. Returns where they
 * begin: at most PRINT_DECIMAL_BYTES before it. */
enum { PRINT_DECIMAL_BYTES = 20 };
char *print_decimal(char *end, unsigned long long number);

void buffer_add_number(struct buffer *b, unsigned long long number);

__attribute__((format(printf, 2, 3))) void buffer_printf(struct buffer *b, const char *format, ...);

/* As snprintf(3): writes at most `size` bytes with the NUL, returns the length of the whole text.
 */
__attribute__((format(printf, 3, 4))) size_t print_into(
    char *out, size_t size, const char *format, ...);
size_t print_list(char *out, size_t size, const char *format, va_list list);

/* Writes lines of up to 4095 bytes to a descriptor, at once; what is longer is cut. */
__attribute__((format(printf, 2, 3))) void print_line(int fd, const char *format, ...);

#endif
