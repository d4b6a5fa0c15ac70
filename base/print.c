/* print.c - the formatting of print.h.
 *
 * One interpreter, print_list, serves every destination. It writes what fits into an array and
 * counts the rest, as snprintf(3) does; so a growing buffer needs at most two attempts, and a
 * caller can detect a cut text.
 *
 * An unknown format aborts the program instead of printing something else, because the types of all
 * further arguments are then unknown. The compiler checks formats against arguments (the attribute
 * in print.h), and test/formats checks that formats use only these conversions.
 *
 * Left out: floating point, left alignment, `+`, `#`, %p, wide characters, positional arguments. */

#include "base/print.h"

#include "base/scan.h"

#include <poll.h>
#include <unistd.h>

enum { DIGITS_MAX = 24 }; /* a sign and 20 digits, rounded up */

/* Writes two digits per division, because the divisions take most of the time. */
char *print_decimal(char *end, unsigned long long number)
{
    static const char pairs[] = "000102030405060708091011121314151617181920212223242526272829303132"
                                "3334353637383940414243444546474849"
                                "505152535455565758596061626364656667686970717273747576777879808182"
                                "8384858687888990919293949596979899";
    for (; number >= 100; number /= 100)
        end = memcpy(end - 2, pairs + 2 * (number % 100), 2);
    if (number >= 10)
        return memcpy(end - 2, pairs + 2 * number, 2);
    *--end = (char)('0' + number);
    return end;
}

/* Works like print_decimal, but writes at most 16 hexadecimal digits, in lower case. */
static char *print_hex(char *end, unsigned long long number)
{
    do
        *--end = scan_hex_digit((unsigned)number);
    while ((number >>= 4) > 0);
    return end;
}

char *print_put(char *to, unsigned long long number)
{
    char digits[PRINT_DECIMAL_BYTES], *end = digits + sizeof digits;
    char *begin = print_decimal(end, number);
    return span_put(to, (struct span) { begin, (size_t)(end - begin) });
}

/* Does the same as buffer_printf with %llu, without interpreting a format. */
void buffer_add_number(struct buffer *b, unsigned long long number)
{
    char *to = buffer_reserve(b, PRINT_DECIMAL_BYTES);
    if (to != NULL)
        b->len += (size_t)(print_put(to, number) - to);
}

/* The length modifier of a conversion, which gives the type of its argument. */
enum length {
    LENGTH_INT,
    LENGTH_LONG,      /* l */
    LENGTH_LONG_LONG, /* ll */
    LENGTH_SIZE,      /* z and t: size_t, and ptrdiff_t, which has as many bytes */
};

/* Everything between '%' and the letter of a conversion. */
struct conversion {
    char fill; /* a space or '0' */
    bool cut;  /* a precision was given */
    size_t width, precision;
    enum length length;
};

_Static_assert(sizeof(size_t) == sizeof(ptrdiff_t), "%zd is read as ptrdiff_t");

/* Takes l, ll, z or t off the front of a format. */
static enum length read_length(const char **format)
{
    if (**format == 'z' || **format == 't') {
        ++*format;
        return LENGTH_SIZE;
    }
    enum length length = LENGTH_INT;
    for (; **format == 'l' && length < LENGTH_LONG_LONG; ++*format)
        length++;
    return length;
}

/* Takes everything between '%' and the letter off the front of a format. The value of `*` is the
 * next argument. */
static struct conversion read_conversion(const char **format, va_list *args)
{
    struct conversion c = { .fill = ' ', .precision = SIZE_MAX };
    if (**format == '0')
        c.fill = *(*format)++;
    while (scan_is_digit(**format))
        c.width = c.width * 10 + (size_t)(*(*format)++ - '0');
    if (strncmp(*format, ".*", 2) == 0) {
        int precision = va_arg(*args, int);
        if (precision >= 0) /* A negative precision counts as none, as in printf(3). */
            c.precision = (size_t)precision;
        c.cut = true;
        *format += 2;
    }
    c.length = read_length(format);
    return c;
}

/* Takes the next argument with exactly the type that the caller passed: on a 32-bit machine,
 * reading a size_t as unsigned long long would also take the argument after it. */
static unsigned long long next_unsigned(enum length length, va_list *args)
{
    switch (length) {
    case LENGTH_INT:
        break;
    case LENGTH_LONG:
        return va_arg(*args, unsigned long);
    case LENGTH_LONG_LONG:
        return va_arg(*args, unsigned long long);
    case LENGTH_SIZE:
        return va_arg(*args, size_t);
    }
    return va_arg(*args, unsigned);
}

/* Works like next_unsigned, but for %d: z and t both read a ptrdiff_t. */
static long long next_signed(enum length length, va_list *args)
{
    switch (length) {
    case LENGTH_INT:
        break;
    case LENGTH_LONG:
        return va_arg(*args, long);
    case LENGTH_LONG_LONG:
        return va_arg(*args, long long);
    case LENGTH_SIZE:
        return va_arg(*args, ptrdiff_t);
    }
    return va_arg(*args, int);
}

/* Takes the next argument, a number, writes its text directly before `end`, and returns the text.
 * The magnitude is negated as an unsigned number, because -LLONG_MIN overflows. */
static struct span next_number(char letter, enum length length, va_list *args, char *end)
{
    char *begin;
    if (letter == 'd') {
        long long number = next_signed(length, args);
        unsigned long long magnitude = (unsigned long long)number;
        begin = print_decimal(end, number < 0 ? -magnitude : magnitude);
        if (number < 0)
            *--begin = '-';
    } else {
        must(letter == 'u' || letter == 'x');
        unsigned long long number = next_unsigned(length, args);
        begin = letter == 'x' ? print_hex(end, number) : print_decimal(end, number);
    }
    return (struct span) { begin, (size_t)(end - begin) };
}

/* Takes one conversion off the front of a format. %s and %c accept no length modifier, and only %s
 * accepts a precision; anything else aborts. Returns the text of the conversion, which points into
 * the argument or `digits` and is valid as long as they are. A string is not read past its
 * precision. */
static struct span next_value(
    const char **format, va_list *args, struct conversion *c, char digits[DIGITS_MAX])
{
    *c = read_conversion(format, args);
    char letter = *(*format)++;
    if (letter == 's' && c->length == LENGTH_INT) {
        const char *text = va_arg(*args, const char *);
        return (struct span) { text, strnlen(text, c->precision) };
    }
    must(!c->cut);
    if (letter == 'c' && c->length == LENGTH_INT) {
        digits[0] = (char)va_arg(*args, int);
        return (struct span) { digits, 1 };
    }
    return next_number(letter, c->length, args, digits + DIGITS_MAX);
}

/* Appends the part of a piece that fits into an array of `size` bytes, and adds the full length to
 * `*len`. If `size` is 0, only the length is computed, and `out` may be NULL. */
static void put(char *out, size_t size, size_t *len, struct span piece)
{
    if (*len < size)
        memcpy(out + *len, piece.at, piece.len < size - *len ? piece.len : size - *len);
    *len += piece.len;
}

/* Appends one piece at a time: the text between two conversions, or the text of a conversion.
 * Copies the list, so that the caller can use it again, and because a va_list parameter can be an
 * array, whose address would have the wrong type. */
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
        if (piece.len == 0) { /* A '%' comes first. */
            format++;
            piece = next_value(&format, &args, &c, digits);
        }
        if (c.fill == '0' && piece.len > 0 && piece.at[0] == '-') { /* Zeros follow the sign. */
            put(out, size, &len, (struct span) { piece.at, 1 });
            piece = (struct span) { piece.at + 1, piece.len - 1 };
            c.width -= c.width > 0;
        }
        for (size_t i = piece.len; i < c.width; i++)
            put(out, size, &len, (struct span) { &c.fill, 1 });
        put(out, size, &len, piece);
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

/* Writes sentences for the operator: at startup, in --help, before an abort. A partial write is not
 * continued. */
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
        return; /* The reader is gone, so there is nowhere to report that. */
}

bool print_can(int fd, int wait_ms)
{
    struct pollfd ready = { .fd = fd, .events = POLLOUT };
    return poll(&ready, 1, wait_ms) > 0;
}

/* Formats directly into the free space of the buffer. If the text does not fit, reserves its
 * length, which is now known, and formats again. The debug build guesses 1 byte, so that the tests
 * take the second path too. */
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
