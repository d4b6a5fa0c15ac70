/* disk_set.c - sets values in the control file of a server with the disk of disk.c.
 *
 *     disk_set FILE [NAME=VALUE...]
 *
 * creates the file if it does not exist. The names are those of the fields in disk.h: the values of
 * a fault have the name of its call in front, as in
 *
 *     disk_set control sync_delay_us=20000 sync_error=5 sync_one_in=1 stuck=1 clock_ms=-3600000
 *
 * Without values it prints all of them, one per line in the same form, so that a test can see how
 * many calls failed (sync_failed). */

#include "tool.h"

#include "disk.h"

#define FIELD(name)                        \
    {                                      \
#name, offsetof(struct disk, name) \
    }
#define FAULT(name)                                              \
    { #name "_error", offsetof(struct disk, name.error) },       \
        { #name "_one_in", offsetof(struct disk, name.one_in) }, \
        { #name "_calls", offsetof(struct disk, name.calls) },   \
    {                                                            \
#name "_failed", offsetof(struct disk, name.failed)      \
    }

static const struct {
    const char *name;
    size_t offset;
} fields[] = { FIELD(sync_delay_us), FIELD(stuck), FIELD(clock_ms), FIELD(pwrite_short),
    FIELD(seed), FIELD(asynchronous), FIELD(sync_us), FAULT(sync), FAULT(pwrite), FAULT(ftruncate),
    FAULT(rename), FAULT(link), FAULT(unlink), FAULT(open), FAULT(setup), FAULT(submit) };

enum { FIELD_COUNT = sizeof fields / sizeof *fields };

/* Returns a value of the control file. */
static _Atomic int64_t *value_at(struct disk *disk, size_t field)
{
    return (_Atomic int64_t *)(void *)((char *)disk + fields[field].offset);
}

/* Sets the value that an argument names. */
static void set(struct disk *disk, const char *argument)
{
    size_t len = strcspn(argument, "="), i = 0;
    char *end;
    while (i < FIELD_COUNT &&
           (strncmp(fields[i].name, argument, len) != 0 || fields[i].name[len] != '\0'))
        i++;
    if (i == FIELD_COUNT || argument[len] != '=')
        fail("%s: expected NAME=VALUE, with a name that disk_set FILE prints", argument);
    errno = 0;
    long long value = strtoll(argument + len + 1, &end, 10);
    if (errno != 0 || end == argument + len + 1 || *end != '\0')
        fail("%s: expected an integer", argument);
    *value_at(disk, i) = value;
}

/* Sets the values of the arguments or, without any, prints all. */
int main(int argc, char **argv)
{
    struct disk *disk = argc > 1 ? disk_map(argv[1], true) : NULL;
    if (argc < 2) {
        fputs("usage: disk_set FILE [NAME=VALUE...]\n", stderr);
        return 2;
    }
    if (disk == NULL)
        fail("%s: %s", argv[1], strerror(errno));
    for (int i = 2; i < argc; i++)
        set(disk, argv[i]);
    for (size_t i = 0; argc == 2 && i < FIELD_COUNT; i++)
        printf("%s=%lld\n", fields[i].name, (long long)*value_at(disk, i));
    return 0;
}
