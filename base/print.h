/* print.h - formats numbers and text into a buffer, an array or a descriptor: the part of printf(3)
 * that this program needs. stdio is large for a small static binary, and slow for short texts.
 *
 * The conversions are %s, %c, %d, %u and %x. Before the letter a conversion may have, in this
 * order: a width, padded on the left with spaces, or with zeros if it begins with 0; `.*`, the
 * maximum number of bytes of a string, which then needs no NUL; and a length modifier for a number:
 * l, ll, z or t. Anything else, even %%, aborts; `make lint` finds such formats (test/formats). */

#ifndef PRINT_H
#define PRINT_H

#include "base/bytes.h"

#include <stdarg.h>

/* Writes the decimal digits of a number so that they end directly before `end`, and returns the
 * address of the first digit. There are at most PRINT_DECIMAL_BYTES digits, as in UINT64_MAX. */
enum { PRINT_DECIMAL_BYTES = 20 };
char *print_decimal(char *end, unsigned long long number);

/* Writes the decimal digits of a number to `to`, where there must be room for PRINT_DECIMAL_BYTES,
 * and returns the address after them. */
char *print_put(char *to, unsigned long long number);

/* Append to a buffer. If memory runs out, both set `failed` and leave the buffer as it was. */
void buffer_add_number(struct buffer *b, unsigned long long number);
__attribute__((format(printf, 2, 3))) void buffer_printf(struct buffer *b, const char *format, ...);

/* Write at most `size` bytes, including the NUL, and return the length of the complete text, as
 * snprintf(3) does. The text was cut if that length is `size` or more. */
__attribute__((format(printf, 3, 4))) size_t print_into(
    char *out, size_t size, const char *format, ...);
size_t print_list(char *out, size_t size, const char *format, va_list list);

/* Writes to a descriptor in one write(2). The format must end with a newline. A text over 4095
 * bytes is cut, and its last byte is then a newline. */
__attribute__((format(printf, 2, 3))) void print_line(int fd, const char *format, ...);

/* Returns whether a line can be written to a descriptor without waiting, or becomes so within
 * `wait_ms`. It cannot while a pipe is full, or a terminal is stopped. */
bool print_can(int fd, int wait_ms);

#endif
