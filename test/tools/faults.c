/* faults.c - makes allocations fail on demand, in a special build of the server.
 *
 *     FAIL_ALLOCATION=N        the Nth allocation of a process returns NULL, once
 *     FAIL_ALLOCATION_EVERY=K  every Kth allocation returns NULL, from one SIGWINCH to the next
 *     LEAK=1                   one allocation is leaked, which the leak checker must find
 *
 * This is fault injection by the linker: -Wl,--wrap redirects the server's calls to malloc, calloc
 * and realloc to this file, whichever libc or sanitizer provides the real functions. Allocations
 * inside libc are not redirected and not counted. At exit the process prints its count on standard
 * error. A forked child continues its parent's count. starve.c runs this build. */

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *at, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *at, size_t size);

static unsigned long allocations, one, every; /* the count so far; both settings, 0 if unset */
static volatile sig_atomic_t on;              /* set between two SIGWINCH */

static void toggle(int signal_number)
{
    (void)signal_number;
    on = !on;
}

static unsigned long number_of(const char *variable)
{
    const char *text = getenv(variable);
    return text != NULL ? strtoul(text, NULL, 10) : 0;
}

/* Runs before main, so that even the first allocation can fail. */
__attribute__((constructor)) static void begin(void)
{
    one = number_of("FAIL_ALLOCATION");
    every = number_of("FAIL_ALLOCATION_EVERY");
    signal(SIGWINCH, toggle);
    if (number_of("LEAK") > 0)
        *(volatile char *)__real_malloc(1000) = 1;
}

__attribute__((destructor)) static void end(void)
{
    fprintf(stderr, "allocations=%lu\n", allocations);
}

/* Counts an allocation, and returns whether it must fail. */
static bool fails(void)
{
    allocations++;
    if (allocations != one && (!on || every == 0 || allocations % every != 0))
        return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *at, size_t size)
{
    return fails() ? NULL : __real_realloc(at, size);
}
