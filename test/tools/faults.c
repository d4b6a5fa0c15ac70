/* faults.c - linked into a special build of the server: memory that runs out on demand.
 *
 *     FAIL_ALLOCATION=N        the Nth allocation of a process returns NULL, once
 *     FAIL_ALLOCATION_EVERY=K  so does every Kth, from one SIGUSR1 to the next
 *     LEAK=1                   one allocation is forgotten: the leak checker must find it
 *
 * This is fault injection by the linker: -Wl,--wrap sends the server's calls of malloc, calloc and
 * realloc here, whatever libc or sanitizer provides the real ones. Allocations that libc makes for
 * itself do not come here and do not count. When it ends, the process prints on standard error how
 * many allocations there were. A child that was forked goes on counting where its parent was.
 * starve.c drives it. */

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

static unsigned long allocations, one, every; /* so far; the two variables above, 0 for none */
static volatile sig_atomic_t on;              /* between two signals */

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

/* Before main, so that the first allocation can fail too. */
__attribute__((constructor)) static void begin(void)
{
    one = number_of("FAIL_ALLOCATION");
    every = number_of("FAIL_ALLOCATION_EVERY");
    signal(SIGUSR1, toggle);
    if (number_of("LEAK") > 0)
        *(volatile char *)__real_malloc(1000) = 1;
}

__attribute__((destructor)) static void end(void)
{
    fprintf(stderr, "allocations=%lu\n", allocations);
}

/* Counts an allocation. Whether it is one that must fail. */
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
