/* bytes.c - spans, growing buffers, and text with values in it. */

#include "base/bytes.h"

#include <stdlib.h>
#include <unistd.h>

/* The debug build starts with a few bytes, so that growth runs all the time. */
#ifdef DEBUG
enum { BUFFER_MIN_BYTES = 8 };
#else
enum { BUFFER_MIN_BYTES = 256 };
#endif

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool span_equal_nocase(struct span a, struct span b)
{
    if (span_equal(a, b)) /* most often they are written in the same way */
        return true;
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (to_lower(a.at[i]) != to_lower(b.at[i]))
            return false;
    return true;
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
        s.at++, s.len--;
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* XOR makes the byte that is looked for 0. Subtracting 1 sets the highest bit of a 0; it leaves
 * that of bytes over 0x80, too, which `~word` takes away. A borrow may mark a byte behind the first
 * 0, but only the first one counts. */
size_t span_find(struct span s, char byte)
{
    const uint64_t ones = 0x0101010101010101, highs = ones << 7;
    for (size_t at = 0; at < s.len; at += sizeof ones) {
        uint64_t word = span_word((struct span) { s.at + at, s.len - at });
        word ^= ones * (unsigned char)byte;
        uint64_t found = (word - ones) & ~word & highs;
        if (found != 0)
            return at + (size_t)__builtin_ctzll(found) / 8;
    }
    return s.len;
}

bool span_split(struct span *rest, char separator, struct span *piece)
{
    if (rest->at == NULL)
        return false;
    size_t len = span_find(*rest, separator);
    *piece = (struct span) { rest->at, len };
    if (len == rest->len)
        *rest = (struct span) { NULL, 0 };
    else
        *rest = (struct span) { rest->at + len + 1, rest->len - len - 1 };
    return true;
}

bool span_number(struct span s, unsigned long long max, unsigned long long *number)
{
    unsigned long long n = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return false;
        unsigned digit = (unsigned)(s.at[i] - '0');
        if (digit > max || n > (max - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *number = n;
    return true;
}

char *buffer_reserve(struct buffer *b, size_t more)
{
    if (b->capacity - b->len >= more && b->at != NULL)
        return b->at + b->len;
    size_t capacity = b->capacity > 0 ? b->capacity : BUFFER_MIN_BYTES;
    while (capacity - b->len < more) {
        if (capacity > (size_t)-1 / 2)
            goto no_memory;
        capacity *= 2;
    }
    char *at = realloc(b->at, capacity);
    if (at == NULL)
        goto no_memory;
    b->at = at;
    b->capacity = capacity;
    return at + b->len;

no_memory:
    b->failed = true;
    return NULL;
}

/* Copies of a size that the compiler knows are one move each, and two that overlap make any size
 * between; a call of memcpy costs more than to copy so little. */
static void copy_short(char *to, struct span s)
{
    if (s.len >= 8) {
        memcpy(to, s.at, 8);
        memcpy(to + s.len - 8, s.at + s.len - 8, 8);
    } else if (s.len >= 4) {
        memcpy(to, s.at, 4);
        memcpy(to + s.len - 4, s.at + s.len - 4, 4);
    } else {
        for (size_t i = 0; i < s.len; i++)
            to[i] = s.at[i];
    }
}

/* Of any length: an empty piece may have no address. */
static void add_any(struct buffer *b, struct span s)
{
    char *to = buffer_reserve(b, s.len);
    if (to == NULL || s.len == 0)
        return;
    memcpy(to, s.at, s.len);
    b->len += s.len;
}

/* A message and its answer are made of forty pieces, nearly all of which are short and fit. */
void buffer_add(struct buffer *b, struct span s)
{
    if (s.len == 0 || s.len > 16 || b->capacity - b->len < s.len) {
        add_any(b, s);
    } else {
        copy_short(b->at + b->len, s);
        b->len += s.len;
    }
}

void buffer_add_string(struct buffer *b, const char *string)
{
    buffer_add(b, span_of(string));
}

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
    size_t len = to != NULL ? bytes_print_list(to, b->capacity - b->len, format, args) : 0;
    va_end(args);
    if (to != NULL && len >= b->capacity - b->len) {
        to = buffer_reserve(b, len + 1);
        va_start(args, format);
        if (to != NULL)
            bytes_print_list(to, len + 1, format, args);
        va_end(args);
    }
    b->len += to != NULL ? len : 0;
}

void buffer_free(struct buffer *b)
{
    free(b->at);
    *b = (struct buffer) { 0 };
}

/* ==== Text with values in it ================================================================= */

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

size_t bytes_print_list(char *out, size_t size, const char *format, va_list list)
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

size_t bytes_print(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t len = bytes_print_list(out, size, format, args);
    va_end(args);
    return len;
}

void bytes_say(int fd, const char *format, ...)
{
    char line[4096];
    va_list args;
    va_start(args, format);
    size_t len = bytes_print_list(line, sizeof line, format, args);
    va_end(args);
    if (len >= sizeof line) {
        len = sizeof line - 1;
        line[len - 1] = '\n';
    }
    if (write(fd, line, len) < 0)
        return; /* nobody listens: nothing to be done about it */
}

void must_fail(const char *what, const char *file, int line)
{
    bytes_say(STDERR_FILENO, "ssechat: %s:%d: this must be: %s\n", file, line, what);
    abort();
}
