/* field.h - one option, and the field of a settings struct that its value goes to. */

#ifndef FIELD_H
#define FIELD_H

#include "base/bytes.h"

/* How a value is read, and the type of its field. The compiler does not check that the field has
 * this type, because field_set() writes through an offset. */
enum kind {
    KIND_FLAG,   /* bool, without a value; requests an action, and only on the command line */
    KIND_SWITCH, /* bool; without a value it is on, with one it is yes or no */
    KIND_STRING, /* const char * */
    KIND_LIST,   /* struct spans: may be repeated; comma-separated in the environment */
    KIND_ROOMS,  /* a list of rooms */
    KIND_ORIGINS,
    KIND_HOSTS,
    KIND_NETWORKS, /* the last kind of list: see field_is_list() */
    KIND_COUNT,    /* uint64_t, like sizes and times; field_set_initial() relies on this order */
    KIND_SIZE,     /* in bytes */
    KIND_TIME,     /* in milliseconds */
    KIND_LEVEL,    /* enum log_level */
    KIND_SYNC      /* bool */
};

/* One row says everything about an option. */
struct option {
    const char *name, *value; /* as in "--name VALUE"; `value` is NULL for a flag */
    enum kind kind;
    size_t offset;              /* where its field is in the command's struct */
    uint64_t initial, min, max; /* for counts, sizes (bytes) and times (milliseconds) */
    bool zero;                  /* 0 is allowed, and means no limit or off */
    unsigned unit_ms;           /* for a time that is given without a unit */
    const char *help;           /* lines of at most 57 characters, to fit in 80 columns */
};

enum { KIB = 1024, MIB = 1024 * 1024, SECOND = 1000, DAY = 86400000 };

/* Returns whether the option may be repeated; its field is a struct spans. */
bool field_is_list(const struct option *option);

/* Returns the address of the option's field in the struct `o` of its command. */
void *field_of(void *o, const struct option *option);

/* Sets a number to its default; other fields are left alone. */
void field_set_initial(void *o, const struct option *option);

/* Reads `text` into the option's field. A list gets one more item. `source` names the option or the
 * variable; if the value is wrong, the program ends with EXIT_USAGE after a sentence that begins
 * with it. An empty value is refused for every kind, because in scripts it usually comes from an
 * unset variable. Strings are borrowed. */
void field_set(void *o, const char *source, const struct option *option, const char *text);

/* Adds an item to a list, without copying its bytes. */
void field_add(struct spans *values, struct span value);

/* Ends the program with EXIT_SYSTEM. */
__attribute__((noreturn)) void field_out_of_memory(void);

#endif
