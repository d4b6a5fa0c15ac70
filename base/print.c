/* print.c - numbers and text with values in it: the little of printf(3) that is needed here. */

#include "base/print.h"

#include <unistd.h>

enum { DIGITS_MAX = 24 };

/* The number in digits, which end where `end` points to. Returns where they begin. */
static char *print_digits(char *end, unsigned long long number, unsigned base)
{
    do
        *--end = "0123456789abcdef"[number % base];
    while ((number /= base) > 0);
    return end;
}

void buffer_add_number(struct buffer *b, unsigned long long number)
{
    char digits[DIGITS_MAX], *end = digits + DIGITS_MAX, *begin = print_digits(end, number, 10);
    buffer_add(b, (struct span) { begin, (size_t)(end - begin) });
}

/* What stands between '%' and the letter of a conversion. */
struct conversion {
    char fill;
    size_t width, precision;
    unsigned longs; /* how many l; size_t has two */
};

/* The same, off the front of a format; what `*` stands for comes from the arguments. */
static struct conversion read_conversion(const char **format, va_list *args)
{
    struct conversion c = { ' ', 0, SIZE_MAX, 0 };
    if (**format == '0')
        c.fill = *(*format)++;
    while (**format >= '0' && **format <= '9')
        c.width = c.width * 10 + (size_t)(*(*format)++ - '0');
    if (strncmp(*format, ".*", 2) == 0) {
        c.precision = (size_t)va_arg(*args, int);
        *format += 2;
    }
    for (; **format == 'l' || **format == 'z'; ++*format)
        c.longs += **format == 'z' ? 2 : 1;
    return c;
}

_Static_assert(sizeof(long) == sizeof(size_t), "z is read as l");

static unsigned long long next_number(const struct conversion *c, bool is_signed, va_list *args)
{
    if (c->longs == 0)
        return is_signed ? (unsigned long long)va_arg(*args, int) : va_arg(*args, unsigned);
    return c->longs == 1 ? va_arg(*args, unsigned long) : va_arg(*args, unsigned long long);
}

/* One conversion off the front of a format: the text that it stands for, which may lie in `digits`.
 */
static struct span next_value(
    const char **format, va_list *args, struct conversion *c, char digits[DIGITS_MAX])
{
    *c = read_conversion(format, args);
    char letter = *(*format)++;
    if (letter == 's') {
        const char *text = va_arg(*args, const char *);
        return (struct span) { text, strnlen(text, c->precision) };
    }
    must(letter == 'd' || letter == 'u' || letter == 'x');
    unsigned long long number = next_number(c, letter == 'd', args);
    bool negative = letter == 'd' && (long long)number < 0;
    char *end = digits + DIGITS_MAX;
    char *begin = print_digits(end, negative ? -number : number, letter == 'x' ? 16 : 10);
    if (negative)
        *--begin = '-';
    return (struct span) { begin, (size_t)(end - begin) };
}

size_t print_list(char *out, size_t size, const char *format, va_list list)
{
    size_t len = 0;
    va_list args;
    va_copy(args, list);
    while (*format != '\0') {
        char digits[DIGITS_MAX];
        struct conversion c = { 0 };
        struct span piece = { format, strcspn(format, "%") };
        format += piece.len;
        if (piece.len == 0) {
            format++;
            piece = next_value(&format, &args, &c, digits);
        }
        for (size_t i = piece.len; i < c.width; i++, len++)
            if (len < size)
                out[len] = c.fill;
        if (len < size)
            memcpy(out + len, piece.at, piece.len < size - len ? piece.len : size - len);
        len += piece.len;
    }
    va_end(args);
    if (size > 0)
        out[len < size ? len : size - 1] = '\0';
    return len;
}

size_t print_into(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t len = print_list(out, size, format, args);
    va_end(args);
    return len;
}

void print_line(int fd, const char *format, ...)
{
    char line[4096];
    va_list args;
    va_start(args, format);
    size_t len = print_list(line, sizeof line, format, args);
    va_end(args);
    if (len >= sizeof line) {
        len = sizeof line - 1;
        line[len - 1] = '\n';
    }
    if (write(fd, line, len) < 0)
        return; /* nobody listens: nothing to be done about it */
}

void buffer_printf(struct buffer *b, const char *format, ...)
{
#ifdef DEBUG
    enum { GUESS_BYTES = 1 };
#else
    enum { GUESS_BYTES = 128 };
#endif
    va_list args;
    char *to = buffer_reserve(b, GUESS_BYTES);
    va_start(args, format);
    size_t len = to != NULL ? print_list(to, b->capacity - b->len, format, args) : 0;
    va_end(args);
    if (to != NULL && len >= b->capacity - b->len) {
        to = buffer_reserve(b, len + 1);
        va_start(args, format);
        if (to != NULL)
            print_list(to, len + 1, format, args);
        va_end(args);
    }
    b->len += to != NULL ? len : 0;
}
