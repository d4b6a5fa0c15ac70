/* figures.h - shared by the benchmarks of the journal: samples, medians, a server, a folder. */

#ifndef FIGURES_H
#define FIGURES_H

#include "../tools/tool.h"

#include <ftw.h>
#include <sys/stat.h>

enum { SAMPLES_MAX = 1 << 23 };

/* ---- Samples and medians ---- */

/* Times in microseconds. */
struct samples {
    size_t count;
    uint32_t *us;
};

/* Reserves the memory for the samples. */
static inline void make_samples(struct samples *s)
{
    *s = (struct samples) { .us = malloc(SAMPLES_MAX * sizeof *s->us) };
    if (s->us == NULL)
        fail("out of memory");
}

/* Adds a time. */
static inline void add_sample(struct samples *s, int64_t us)
{
    if (s->count == SAMPLES_MAX)
        fail("too many samples");
    s->us[s->count++] = (uint32_t)us;
}

/* Compares two samples for qsort. */
static inline int compare_samples(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

/* Sorts the samples. Returns the one at this fraction, in milliseconds: 0.5 gives the median. */
static inline double sample_ms(struct samples *s, double part)
{
    if (s->count == 0)
        fail("there are no samples");
    qsort(s->us, s->count, sizeof *s->us, compare_samples);
    return s->us[(size_t)(part * (double)(s->count - 1))] / 1000.0;
}

/* Compares two doubles for qsort. */
static inline int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* Sorts the values, and returns the median. The least is then the first, the greatest the last. */
static inline double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare_doubles);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

/* ---- The server and its folder ---- */

/* Starts a server, and sets its port. The pipe of its log stays open: a few lines fit into it. */
static inline pid_t start_server(const char *const *arguments, int *port)
{
    static char log[65536];
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        fail("pipe: %s", strerror(errno));
    pid_t pid = spawn(arguments, pipes[1]);
    close(pipes[1]);
    *port = await_listening(pipes[0], log, sizeof log);
    if (*port == 0)
        fail("%s does not listen; it printed: %s", arguments[0], log);
    return pid;
}

/* Ends a server, which must exit with 0. */
static inline void end_server(pid_t pid)
{
    int status = end_child(pid, SIGTERM);
    if (status != 0)
        fail("expected status 0 from the server, got %x", (unsigned)status);
}

/* Makes a new folder, and writes its path. */
static inline void make_folder(const char *parent, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s.XXXXXX", parent, name);
    if (mkdtemp(path) == NULL)
        fail("%s: %s", path, strerror(errno));
}

/* Removes a file or an empty folder. */
static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

/* Removes a folder with all files in it. */
static inline void remove_folder(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
