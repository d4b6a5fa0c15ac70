/* driver.h - what the drivers share: checks, guarded memory, the input.
 *
 * A driver reads standard input, passes it to one module, and prints the module's results; the bats
 * suite of the same name compares them with the expected ones. The driver also checks the module's
 * promises. A promise is a property that must hold for every input, such as "decoded text is no
 * longer than its source". A broken promise calls abort, which both bats and libFuzzer detect, so
 * the same checks serve as a fuzz target: compiled with -DFUZZ, a driver has no main but defines
 * the function that libFuzzer calls. */

#ifndef DRIVER_H
#define DRIVER_H

#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef FUZZ
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
#endif

/* Aborts if a promise is broken. Unlike assert(3) it also checks in a build with NDEBUG. */
static inline void check(bool holds, const char *promise)
{
    if (holds)
        return;
    fprintf(stderr, "broken promise: %s\n", promise);
    abort();
}

/* ---- Memory ------------------------------------------------------------------------------- */

/* Returns exactly `len` bytes, so that the address sanitizer sees an access to the first byte after
 * them. */
static inline char *bytes_new(size_t len)
{
    char *at = malloc(len > 0 ? len : 1);
    check(at != NULL, "the driver can allocate memory");
    return at;
}

/* Returns a copy in memory of exactly the span's size; the caller frees it with span_free. */
static inline struct span copy_of(struct span s)
{
    char *at = bytes_new(s.len);
    if (s.len > 0)
        memcpy(at, s.at, s.len);
    return (struct span) { at, s.len };
}

/* Frees memory from bytes_new, copy_of or read_input. */
static inline void span_free(struct span s)
{
    free((void *)(uintptr_t)s.at);
}

/* Pages between two unreadable ones. The program crashes when it accesses the byte before a text at
 * the start, or the byte after a text at the end:
 *
 *     | unreadable | text ...            | unreadable |      at_start
 *     | unreadable |            ... text | unreadable |      at_end */
struct guarded {
    char *first;
    size_t len; /* a multiple of the page size */
};

/* Maps guarded pages for at least `len` bytes. */
static inline struct guarded guarded_new(size_t len)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t inner = (len + page - 1) / page * page;
    char *at = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(at != MAP_FAILED, "the driver can allocate memory");
    check(inner == 0 || mprotect(at + page, inner, PROT_READ | PROT_WRITE) == 0,
        "the driver can make its pages writable");
    return (struct guarded) { at + page, inner };
}

static inline void guarded_free(struct guarded g)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    munmap(g.first - page, g.len + 2 * page);
}

/* Copies the text to the start, or to the end. Each copy overwrites the previous one. */
static inline struct span at_start(struct guarded g, struct span text)
{
    check(text.len <= g.len, "the text fits between the unreadable pages");
    if (text.len > 0)
        memmove(g.first, text.at, text.len);
    return (struct span) { g.first, text.len };
}

static inline struct span at_end(struct guarded g, struct span text)
{
    check(text.len <= g.len, "the text fits between the unreadable pages");
    char *at = g.first + g.len - text.len;
    if (text.len > 0)
        memmove(at, text.at, text.len);
    return (struct span) { at, text.len };
}

/* ---- Input and output --------------------------------------------------------------------- */

/* Reads all of standard input into memory of its exact size; span_free frees it. */
static inline struct span read_input(void)
{
    size_t len = 0, capacity = 1 << 16, n;
    char *at = bytes_new(capacity);
    while ((n = fread(at + len, 1, capacity - len, stdin)) > 0)
        if ((len += n) == capacity) {
            at = realloc(at, capacity *= 2);
            check(at != NULL, "the driver can allocate memory");
        }
    check(!ferror(stdin), "standard input can be read");
    struct span input = copy_of((struct span) { at, len });
    free(at);
    return input;
}

static inline void print_span(struct span s)
{
    fwrite(s.at, 1, s.len, stdout);
}

/* Prints a text, with backslashes and bytes outside printable ASCII as \xHH. */
static inline void print_visible(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] >= ' ' && s.at[i] <= '~' && s.at[i] != '\\')
            putchar(s.at[i]);
        else
            printf("\\x%02x", (unsigned)(unsigned char)s.at[i]);
}

#endif
