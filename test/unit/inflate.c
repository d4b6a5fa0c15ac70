/* inflate.c - a driver for inflate.c: a gzip file comes on standard input. It writes the
 * unpacked bytes to standard output; or `damaged`, and exit code 1.
 *
 * The input lies directly before an unreadable page, and so does the place for the output. A good
 * file is also tried with a place that is a byte too small or too large and, if it is short, cut
 * off at every byte: a length or a part that is wrong must be noticed. Whether the bytes are right
 * is for the suite, which compares them with what gzip had packed. With -DFUZZ the same is a
 * libFuzzer target. */

#include "base/inflate.h"
#include "driver.h"

enum { INPUT_MAX_BYTES = 1 << 20, OUTPUT_MAX_BYTES = 4 << 20 };

/* Unpacks into a place of `size` bytes, which the next call overwrites; NULL when the file is
 * damaged. */
static char *unpack(struct span gzip, size_t size)
{
    static struct guarded in, out;
    if (in.first == NULL) {
        in = guarded_new(INPUT_MAX_BYTES);
        out = guarded_new(OUTPUT_MAX_BYTES);
    }
    check(size <= out.len, "the output fits between the unreadable pages");
    char *place = out.first + out.len - size;
    return inflate(at_end(in, gzip), place, size) ? place : NULL;
}

/* Whether the file is good, tried in all places. A size over half of the limit is not tried, since
 * a damaged file may claim any. */
static bool check_gzip(struct span gzip)
{
    size_t size = inflate_size(gzip);
    if (size > OUTPUT_MAX_BYTES / 2)
        return false;
    bool good = unpack(gzip, size) != NULL;
    if (size > 0)
        check(!good || unpack(gzip, size - 1) == NULL, "a place that is too small is refused");
    check(!good || unpack(gzip, size + 1) == NULL, "a place that is too large is refused");
    return good;
}

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    check_gzip((struct span) { (const char *)data, size });
    return 0;
}

#else

int main(void)
{
    struct span gzip = read_input();
    if (!check_gzip(gzip)) {
        puts("damaged");
        return 1;
    }
    for (size_t len = 0; len < gzip.len && gzip.len < 4096; len++)
        check(unpack((struct span) { gzip.at, len }, inflate_size(gzip)) == NULL,
            "a file that is cut off is damaged");
    size_t size = inflate_size(gzip);
    print_span((struct span) { unpack(gzip, size), size });
    span_free(gzip);
    return fflush(stdout) == 0 ? 0 : 1;
}

#endif
