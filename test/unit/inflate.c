/* inflate.c - a driver for inflate.c: a gzip file comes on standard input, what it unpacks to goes
 * to standard output; or `damaged`, and exit code 1.
 *
 * The input lies directly before an unreadable page, and so does the place for the output; a file
 * is also tried with a place that is too small or too large, and cut off at every byte. With -DFUZZ
 * the same is a libFuzzer target. */

#include "base/inflate.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { INPUT_MAX_BYTES = 1 << 20, OUTPUT_MAX_BYTES = 4 << 20 };

static void check(bool holds, const char *promise)
{
    if (holds)
        return;
    fprintf(stderr, "broken promise: %s\n", promise);
    abort();
}

/* `len` bytes directly before an unreadable page; the same place each time for each `which`. */
static char *before_wall(int which, size_t len)
{
    static char *walls[2];
    const size_t most = OUTPUT_MAX_BYTES, page = (size_t)sysconf(_SC_PAGESIZE);
    if (walls[which] == NULL) {
        char *at =
            mmap(NULL, most + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        check(at != MAP_FAILED && mprotect(at + most, page, PROT_NONE) == 0, "there is memory");
        walls[which] = at + most;
    }
    check(len <= most, "there is place");
    return walls[which] - len;
}

/* Unpacks into a place of `size` bytes; NULL when it is damaged. */
static char *unpack(struct span gzip, size_t size)
{
    char *in = before_wall(0, gzip.len), *out = before_wall(1, size);
    if (gzip.len > 0)
        memmove(in, gzip.at, gzip.len);
    return inflate((struct span) { in, gzip.len }, out, size) ? out : NULL;
}

static bool check_gzip(struct span gzip)
{
    size_t size = inflate_size(gzip);
    if (size > OUTPUT_MAX_BYTES / 2)
        return false;
    bool good = unpack(gzip, size) != NULL;
    if (size > 0)
        check(!good || unpack(gzip, size - 1) == NULL, "a place that is too small is not enough");
    check(!good || unpack(gzip, size + 1) == NULL, "nor one that is too large");
    return good;
}

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    check_gzip((struct span) { (const char *)data, size });
    return 0;
}

#else

int main(void)
{
    static char input[INPUT_MAX_BYTES];
    struct span gzip = { input, fread(input, 1, sizeof input, stdin) };
    if (!check_gzip(gzip)) {
        puts("damaged");
        return 1;
    }
    for (size_t len = 0; len < gzip.len && gzip.len < 4096; len++)
        check(unpack((struct span) { input, len }, inflate_size(gzip)) == NULL,
            "what is cut off is damaged");
    size_t size = inflate_size(gzip);
    const char *out = unpack(gzip, size);
    return fwrite(out, 1, size, stdout) == size && fflush(stdout) == 0 ? 0 : 1;
}

#endif
