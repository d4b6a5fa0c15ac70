/* inflate.c - a driver for inflate.c. It reads a gzip file from standard input, and writes the
 * unpacked bytes to standard output; for a damaged file it prints `damaged` and exits with code 1.
 *
 * The input and the place for the output both end directly before an unreadable page. The driver
 * also unpacks a good file into a place that is one byte too small or too large and, if the file is
 * short, cuts it off at every byte: inflate must notice a wrong length or a missing part. The suite
 * checks that the bytes are right, by comparing them with what gzip packed. With -DFUZZ this is a
 * libFuzzer target. */

#include "base/inflate.h"
#include "driver.h"

enum { INPUT_MAX_BYTES = 1 << 20, OUTPUT_MAX_BYTES = 4 << 20 };

/* Unpacks into a place of `size` bytes, which the next call overwrites. Returns NULL if the file is
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

/* Returns whether the file is good, after trying places of other sizes too. Refuses a size over
 * half of the limit, because a damaged file can claim any size. */
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
            "a truncated file is damaged");
    size_t size = inflate_size(gzip);
    print_span((struct span) { unpack(gzip, size), size });
    span_free(gzip);
    return fflush(stdout) == 0 ? 0 : 1;
}

#endif
