/* bytes.c - a driver for bytes.c, words.c, print.c, scan.h, date.c and sort.c. It compares them
 * with the functions of libc that they replace: memchr(3), memcmp(3), strncasecmp(3), printf(3),
 * isdigit(3), strtoull(3), gmtime(3) and qsort(3).
 *
 *     bytes print      formats texts with values, in places of every size
 *     bytes format F   formats one text: a conversion that print.h does not name calls abort
 *     bytes scan       reads digits and hexadecimal numbers of every length
 *     bytes date       tries the first and the last second of each day from 1970 to 9999,
 *                      and later times
 *     bytes find       finds every byte, in texts of up to 40 bytes that end where memory ends
 *     bytes equal      compares texts of up to 20 bytes that differ in one byte, in every way
 *     bytes sort       sorts every text of up to 7 of 4 bytes, and thousands of numbers in
 *                      several orders
 *     bytes words      looks for every byte at every place of a field's value; lists the classes
 *
 *     bytes must       fails a must(), which prints a line and calls abort
 *
 * libc is the oracle where it has the same function: the driver calls both with the same arguments,
 * and a difference calls abort. The inputs are enumerated, not drawn at random, so every run tries
 * the same inputs. With -DFUZZ the values, a time and a text to search come from libFuzzer. */

#include "base/bytes.h"
#include "base/date.h"
#include "base/print.h"
#include "base/scan.h"
#include "base/sort.h"
#include "base/words.h"
#include "driver.h"

#include <ctype.h>
#include <limits.h>
#include <strings.h>
#include <time.h>

/* Compares the results of print_into and snprintf, both text and length. */
static void check_same(const char *ours, size_t len, const char *theirs, int their_len)
{
    if (len == (size_t)their_len && strcmp(ours, theirs) == 0)
        return;
    fprintf(stderr, "ours: %zu %s\ntheirs: %d %s\n", len, ours, their_len, theirs);
    abort();
}

enum { TEXT_MAX_BYTES = 256 };

/* Calls print_into and snprintf alike, with a place of `size` bytes each, then buffer_printf, which
 * must append the same text. A macro, so that the compiler checks each format. */
#define COMPARE(size, ...)                                                            \
    do {                                                                              \
        char ours[TEXT_MAX_BYTES], theirs[TEXT_MAX_BYTES];                            \
        memset(ours, '#', sizeof ours);                                               \
        size_t len = print_into(ours, size, __VA_ARGS__);                             \
        int their_len = snprintf(theirs, size, __VA_ARGS__);                          \
        check(ours[size] == '#', "nothing is written after the given place");         \
        check_same((size) > 0 ? ours : "", len, (size) > 0 ? theirs : "", their_len); \
        struct buffer buffer = { 0 };                                                 \
        buffer_add(&buffer, SPAN("before "));                                         \
        buffer_printf(&buffer, __VA_ARGS__);                                          \
        check(!buffer.failed && buffer.len == len + 7,                                \
            "buffer_printf appends as many bytes as print_into writes");              \
        check((size) <= len || memcmp(buffer.at + 7, ours, len) == 0,                 \
            "buffer_printf appends the same bytes as print_into writes");             \
        buffer_free(&buffer);                                                         \
    } while (0)

/* Tries every conversion that print.h names, with widths, precisions and types. */
static void compare(size_t size, unsigned long long n, const char *text, int cut)
{
    int i = (int)n;
    unsigned u = (unsigned)n;
    COMPARE(size, "plain text");
    COMPARE(size, "%s", text);
    COMPARE(size, "%s%s and %s", text, "", text);
    COMPARE(size, "[%.*s]", cut, text);
    COMPARE(size, "%d %u %x", i, u, u);
    COMPARE(size, "%ld,%lu,%lx", (long)n, (unsigned long)n, (unsigned long)n);
    COMPARE(size, "%lld,%llu,%llx", (long long)n, n, n);
    COMPARE(size, "%zu:%zx %zd %s", (size_t)n, (size_t)n, (ssize_t)n, text);
    COMPARE(size, "%td %td;%u", (ptrdiff_t)n, (ptrdiff_t)-1, u);
    COMPARE(size, "%zu %d %lu %d %llu %d", (size_t)n, i, (unsigned long)n, i, n, i);
    COMPARE(size, "%c%c|%3c", 'a', cut + 1, i | 1);
    COMPARE(size, "%02u-%04u-%03d", u, u, i);
    COMPARE(size, "%012d|%01d|%0d|%012lld", i, i, i, (long long)n);
    COMPARE(size, "%12d|%1d|%12lld", i, i, (long long)n);
    COMPARE(size, "%8.*s|%1.*s|%.*s", cut, text, cut, text, -1, text);
    COMPARE(size, "%08x %016llx", u, n);
    COMPARE(size, "%8u|%20s|%3s", u, text, text);
}

/* Searches for a byte in a copy of the text that ends where its memory ends. Also reads the text as
 * a word, and appends it to a buffer twice. */
static void compare_find(const char *text, size_t len, char byte)
{
    struct span s = copy_of((struct span) { text, len });
    const char *at = len > 0 ? memchr(s.at, byte, len) : NULL;
    check(span_find(s, byte) == (at != NULL ? (size_t)(at - s.at) : len),
        "span_find finds the byte where memchr does");
    uint64_t word = span_word(s);
    for (size_t i = 0; i < sizeof word; i++)
        check((unsigned char)(word >> 8 * i) == (i < len ? (unsigned char)s.at[i] : 0),
            "span_word has the text's bytes in their order");
    struct buffer buffer = { 0 };
    buffer_add(&buffer, s);
    buffer_add(&buffer, s);
    check(!buffer.failed && buffer.at != NULL && buffer.len == 2 * len &&
              memcmp(buffer.at + len, s.at, len) == 0 && memcmp(buffer.at, s.at, len) == 0,
        "a buffer contains what was added to it");
    buffer.failed = true;
    buffer_clear(&buffer);
    check(!buffer.failed && buffer.len == 0 && buffer.at != NULL,
        "a cleared buffer keeps its memory");
    buffer_free(&buffer);
    span_free(s);
}

/* Compares two texts of the same length, in copies that end where their memory ends, and then the
 * first one with a shorter one. */
static void compare_equal(const char *left, const char *right, size_t len)
{
    struct span a = copy_of((struct span) { left, len });
    struct span b = copy_of((struct span) { right, len });
    check(span_equal(a, b) == (len == 0 || memcmp(a.at, b.at, len) == 0),
        "span_equal agrees with memcmp");
    bool same = true;
    for (size_t i = 0; i < len; i++)
        same &= a.at[i] == b.at[i] ||
                (isascii(a.at[i]) && isascii(b.at[i]) && strncasecmp(a.at + i, b.at + i, 1) == 0);
    check(span_equal_nocase(a, b) == same, "span_equal_nocase agrees with strncasecmp for ASCII");
    if (len > 0)
        check(!span_equal(a, (struct span) { a.at, len - 1 }) &&
                  !span_equal_nocase(a, (struct span) { a.at, len - 1 }),
            "texts of different lengths are not equal");
    span_free(a);
    span_free(b);
}

/* Compares words_are_text, which looks at a word at a time, with a loop over the bytes. */
static void compare_text(const char *text, size_t len)
{
    struct span s = copy_of((struct span) { text, len });
    bool is_text = true;
    for (size_t i = 0; i < len; i++)
        is_text &= text[i] == '\t' || !isascii(text[i]) || isprint(text[i]);
    check(words_are_text(s) == is_text, "words_are_text refuses control characters but the tab");
    span_free(s);
}

/* Writes a number with `digits` digits, and reads it back. Leading digits that do not fit are
 * dropped. */
static void compare_hex(unsigned long long number, size_t digits)
{
    char text[] = "#################";
    unsigned long long kept = digits < 16 ? number & ((1ull << 4 * digits) - 1) : number;
    uint64_t read = 0;
    scan_put_hex(text, digits, number);
    check(text[digits] == '#', "scan_put_hex writes no more digits than requested");
    struct span rest = { text, digits };
    if (digits > 0)
        check(!scan_take_hex(&rest, digits + 1, &read) && rest.len == digits,
            "scan_take_hex takes nothing when there are too few digits");
    check(scan_take_hex(&rest, digits, &read) && read == kept && rest.len == 0,
        "scan_take_hex reads what scan_put_hex wrote");
    text[digits] = '\0';
    check(digits == 0 || strtoull(text, NULL, 16) == kept,
        "scan_put_hex writes the number that strtoull reads");
}

/* Compares date_of with gmtime_r for one second. */
static void compare_date(uint64_t seconds)
{
    struct date ours = date_of(seconds);
    time_t time = (time_t)seconds;
    struct tm theirs;
    check(gmtime_r(&time, &theirs) != NULL, "gmtime_r can convert this time");
    check(ours.year == (unsigned)theirs.tm_year + 1900 &&
              ours.month == (unsigned)theirs.tm_mon + 1 && ours.day == (unsigned)theirs.tm_mday &&
              ours.weekday == (unsigned)theirs.tm_wday && ours.hour == (unsigned)theirs.tm_hour &&
              ours.minute == (unsigned)theirs.tm_min && ours.second == (unsigned)theirs.tm_sec,
        "date_of gives the date that gmtime_r gives");
}

/* Compares a changed text of a time with a new one. */
static void compare_change(uint64_t from_ms, uint64_t ms)
{
    char changed[DATE_RFC3339_BYTES], made[DATE_RFC3339_BYTES];
    date_rfc3339(from_ms, changed);
    date_rfc3339_change(from_ms, ms, changed);
    date_rfc3339(ms, made);
    check(memcmp(changed, made, sizeof made) == 0, "a changed time is the same as a new one");
}

static const uint64_t end_of_time = 253402300800; /* the first second of the year 10000 */

static size_t compared; /* how often is_less was called */

static bool is_less(const void *a, const void *b)
{
    compared++;
    return *(const unsigned *)a < *(const unsigned *)b;
}

static int compare_numbers(const void *a, const void *b)
{
    unsigned left = *(const unsigned *)a, right = *(const unsigned *)b;
    return (left > right) - (left < right);
}

/* Sorts pointers to the numbers, and the numbers with qsort. Each pointer must stay in the array,
 * so the numbers that the sorted pointers lead to are the sorted numbers. */
static void compare_sort(const unsigned *numbers, size_t count)
{
    const unsigned **pointers = (const unsigned **)bytes_new(count * sizeof *pointers);
    unsigned *sorted = (unsigned *)bytes_new(count * sizeof *sorted);
    size_t levels = 0, i;
    for (i = 0; i < count; i++) {
        pointers[i] = &numbers[i];
        sorted[i] = numbers[i];
    }
    while (count >> levels > 0)
        levels++;
    compared = 0;
    sort_pointers(pointers, count, is_less);
    check(compared <= 2 * count * levels, "sorting compares at most about 2 n log n times");
    qsort(sorted, count, sizeof *sorted, compare_numbers);
    for (i = 0; i < count; i++)
        check(*pointers[i] == sorted[i], "sort_pointers agrees with qsort");
    free(pointers);
    free(sorted);
}

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    unsigned long long number = 0;
    char text[100] = "";
    if (size < sizeof number + 2)
        return 0;
    memcpy(&number, data, sizeof number);
    size_t len =
        size - sizeof number - 2 < sizeof text - 1 ? size - sizeof number - 2 : sizeof text - 1;
    memcpy(text, data + sizeof number + 2, len);
    compare(data[sizeof number] % TEXT_MAX_BYTES, number, text, data[sizeof number + 1]);
    compare_hex(number, data[sizeof number] % 17);
    compare_date(number % end_of_time);
    compare_change(number, number + (unsigned char)text[0] * 8u);
    compare_find((const char *)data, size, (char)data[sizeof number]);
    compare_equal((const char *)data, (const char *)data + size / 2, size / 2);
    compare_text((const char *)data, size);
    unsigned numbers[sizeof text];
    for (size_t i = 0; i < len; i++)
        numbers[i] = (unsigned char)text[i];
    compare_sort(numbers, len);
    return 0;
}

#else

/* Calls print_list. It has no format attribute, so that the compiler accepts any format. */
static size_t print_any(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t len = print_list(out, size, format, args);
    va_end(args);
    return len;
}

/* Tries sizes from too small for one character to large enough, and the numbers at which the number
 * of digits changes. */
static void check_print(void)
{
    static const char *const texts[] = { "", "x", "a text",
        "a longer text, of forty bytes or some more" };
    static const unsigned long long numbers[] = { 0, 1, 9, 10, 15, 16, 99, 100, 12345, INT_MAX,
        (unsigned long long)INT_MIN, UINT_MAX, LLONG_MAX, (unsigned long long)LLONG_MIN,
        ULLONG_MAX };
    for (size_t size = 0; size < 120; size++)
        for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
            for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++)
                compare(size, numbers[n], texts[t], (int)n * 3);
}

/* Checks every char, then numbers of every bit length with every number of digits. */
static void check_scan(void)
{
    for (int byte = CHAR_MIN; byte <= CHAR_MAX; byte++) {
        char c = (char)byte;
        int digit = byte >= 0 && isxdigit(byte) ? (int)strtol((char[]) { c, 0 }, NULL, 16) : -1;
        check(
            scan_is_digit(c) == (byte >= 0 && isdigit(byte)), "scan_is_digit agrees with isdigit");
        check(scan_hex(c) == digit, "scan_hex agrees with isxdigit and strtol");
        struct span rest = { &c, 1 };
        check(scan_take_digits(&rest) == scan_is_digit(c), "scan_take_digits takes a digit");
        check(rest.len == (scan_is_digit(c) ? 0 : 1), "scan_take_digits takes nothing but digits");
    }
    for (size_t digits = 0; digits <= 16; digits++)
        for (int shift = 0; shift < 64; shift++)
            compare_hex(0xfedcba9876543210 >> shift, digits);
}

/* Checks each day's first and last second. Later dates are the last second of the year 9999. */
static void check_dates(void)
{
    struct date last = date_of(end_of_time - 1), later = date_of(end_of_time);
    for (uint64_t day = 0; day < end_of_time / 86400; day++)
        for (uint64_t second = 0; second < 86400; second += 86399)
            compare_date(day * 86400 + second);
    check(memcmp(&last, &later, sizeof last) == 0, "a date after the year 9999 is its last second");
    later = date_of(UINT64_MAX);
    check(memcmp(&last, &later, sizeof last) == 0,
        "the largest time gives the last second of the year 9999");
    for (uint64_t ms = 0; ms < 3000; ms += 7)
        for (uint64_t from_ms = 0; from_ms < 3000; from_ms += 13) {
            compare_change(from_ms, ms);
            compare_change(end_of_time * 1000 - from_ms, end_of_time * 1000 - ms);
            compare_change(end_of_time * 1000 + from_ms, end_of_time * 1000 + ms);
        }
}

/* Checks span_find, which reads a word at a time. The other bytes are easy to confuse in such
 * arithmetic: they differ from the byte in the lowest bit, the highest, both, or all. */
static void check_find(void)
{
    static const unsigned char others[] = { 0x01, 0x80, 0x81, 0xff };
    char text[40];
    for (unsigned byte = 0; byte < 256; byte++)
        for (size_t len = 0; len <= sizeof text; len++)
            for (size_t at = 0; at <= len; at++) {
                for (size_t i = 0; i < len; i++)
                    text[i] = (char)(i == at ? byte : byte ^ others[(i + at) % 4]);
                compare_find(text, len, (char)byte);
            }
}

/* Checks texts that differ in one byte, at every place and by every pair of bytes. */
static void check_equal(void)
{
    char left[20], right[20];
    memset(left, 'k', sizeof left);
    memset(right, 'k', sizeof right);
    for (size_t len = 0; len <= sizeof left; len++)
        for (size_t at = 0; at < len; at++)
            for (unsigned pair = 0; pair<1 << 16; pair += len> 9 && at > 0 ? 7 : 1) {
                left[at] = (char)(pair >> 8);
                right[at] = (char)pair;
                compare_equal(left, right, len);
                left[at] = right[at] = 'k';
            }
}

/* Checks words_are_text with every byte at every place between others, and prints the characters of
 * each class. */
static void check_words(void)
{
    static const char others[] = { ' ', '\t', '~', (char)0xff };
    char text[20];
    for (size_t other = 0; other < sizeof others; other++)
        for (size_t len = 0; len <= sizeof text; len++)
            for (size_t at = 0; at <= len; at++)
                for (int byte = CHAR_MIN; byte <= CHAR_MAX; byte++) {
                    memset(text, others[other], sizeof text);
                    if (at < len)
                        text[at] = (char)byte;
                    compare_text(text, len);
                }
    for (unsigned class = WORDS_TOKEN; class <= WORDS_HOST; class *= 2) {
        for (int byte = CHAR_MIN; byte <= CHAR_MAX; byte++)
            if (words_is((enum words_class) class, (char)byte))
                putchar(byte);
        putchar('\n');
    }
}

static void check_sort(void)
{
    enum { LETTERS = 4, SHORT = 7, LONG = 5000 };
    static unsigned numbers[LONG];
    for (size_t count = 0; count <= SHORT; count++)
        for (unsigned all = 0; all < 1u << 2 * count; all++) {
            for (size_t i = 0; i < count; i++)
                numbers[i] = all >> 2 * i & (LETTERS - 1);
            compare_sort(numbers, count);
        }
    for (unsigned step = 0; step < LONG; step += 499) /* equal, rising, several times rising */
        for (size_t count = 100; count <= LONG; count += 700) {
            for (size_t i = 0; i < count; i++)
                numbers[i] = (unsigned)(i * (step + 1) % (step > 0 ? count : 1));
            compare_sort(numbers, count);
            for (size_t i = 0; i < count; i++)
                numbers[i] = (unsigned)(count - i);
            compare_sort(numbers, count);
        }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "print") == 0)
        check_print();
    else if (argc == 3 && strcmp(argv[1], "format") == 0)
        print_any((char[TEXT_MAX_BYTES]) { 0 }, TEXT_MAX_BYTES, argv[2], 1, 2, 3);
    else if (argc == 2 && strcmp(argv[1], "scan") == 0)
        check_scan();
    else if (argc == 2 && strcmp(argv[1], "date") == 0)
        check_dates();
    else if (argc == 2 && strcmp(argv[1], "find") == 0)
        check_find();
    else if (argc == 2 && strcmp(argv[1], "equal") == 0)
        check_equal();
    else if (argc == 2 && strcmp(argv[1], "sort") == 0)
        check_sort();
    else if (argc == 2 && strcmp(argv[1], "words") == 0)
        check_words();
    else if (argc == 2 && strcmp(argv[1], "must") == 0)
        must(argc == 3);
    else
        return 2;
    puts("ok");
    return 0;
}

#endif
