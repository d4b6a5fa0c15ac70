/* field.c - reads the value of an option, checks it, and sets the field that its row names.
 *
 * Only the value itself is checked here; whether a port is free or a key file is readable turns out
 * only when it is used. Values that requests are compared with (hosts, origins) are brought into
 * the form that requests have, so a value that could never match is a mistake too. Each mistake
 * ends the program with one sentence that names the option or the variable, because a server that
 * starts without one of its options would be worse. */

#include "host/field.h"

#include "auth/origins.h"
#include "base/log.h"
#include "hub/rules.h"
#include "net/address.h"

#include <stdlib.h>

bool field_is_list(const struct option *option)
{
    return option->kind >= KIND_LIST && option->kind <= KIND_NETWORKS;
}

void *field_of(void *o, const struct option *option)
{
    return (char *)o + option->offset;
}

void field_set_initial(void *o, const struct option *option)
{
    if (option->kind >= KIND_COUNT && option->kind <= KIND_TIME)
        *(uint64_t *)field_of(o, option) = option->initial;
}

/* Reads a number that may be followed by one of the characters in `units`. A unit multiplies the
 * number by its entry in `factors`; without a unit, `factor` does. The product cannot overflow,
 * because the limit for the digits is UINT64_MAX / factor. The range in the error message is in the
 * default unit. */
static uint64_t read_number(const char *source, const struct option *o, const char *text,
    const char *units, const uint64_t *factors, uint64_t factor)
{
    size_t len = strspn(text, "0123456789");
    const char *unit = text[len] != '\0' ? strchr(units, text[len]) : NULL;
    unsigned long long number;
    if (unit != NULL && text[len + 1] == '\0')
        factor = factors[unit - units];
    else if (text[len] != '\0')
        len = 0;
    if (!span_number((struct span) { text, len }, UINT64_MAX / factor, &number))
        log_exit(EXIT_USAGE, "%s: \"%s\" is not a valid number%s%s", source, text,
            *units != '\0' ? "; the units are " : "", units);
    uint64_t value = number * factor;
    if (value == 0 && o->zero)
        return 0;
    uint64_t base = o->unit_ms > 0 ? o->unit_ms : 1;
    if (value < o->min || value > o->max)
        log_exit(EXIT_USAGE, "%s: %s is out of range; use %llu to %llu%s%s", source, text,
            (unsigned long long)(o->min / base), (unsigned long long)(o->max / base),
            o->kind == KIND_SIZE   ? " bytes"
            : o->unit_ms == SECOND ? " seconds"
            : o->unit_ms == 1      ? " milliseconds"
                                   : "",
            o->zero ? ", or 0" : "");
    return value;
}

void field_out_of_memory(void)
{
    log_exit(EXIT_SYSTEM, "out of memory while reading the options");
}

/* The array grows item by item, because lists are short. */
void field_add(struct spans *values, struct span value)
{
    struct span *items = realloc(values->items, (values->count + 1) * sizeof *items);
    if (items == NULL)
        field_out_of_memory();
    items[values->count++] = value;
    values->items = items;
}

/* Refuses a network that is none, or that no proxy can be in. A network with bits set after its
 * prefix is probably a typing mistake, and one that is too large would let clients choose the
 * address to which limits apply. */
static void check_network(const char *source, const char *text)
{
    struct network network, meant;
    char first[ADDRESS_TEXT_BYTES];
    if (strcmp(text, "unix") == 0)
        return;
    if (!network_parse_loosely(span_of(text), &meant))
        log_exit(EXIT_USAGE,
            "%s: \"%s\" is not a network; write it like 10.0.0.0/8, 192.0.2.1 or 2001:db8::/32; "
            "unix means unix sockets",
            source, text);
    bool v6 = strchr(text, ':') != NULL;
    (v6 ? address_print_v6 : address_print)(&meant.first, first);
    if (!network_parse(span_of(text), &network))
        log_exit(EXIT_USAGE,
            "%s: \"%s\" has bits set after its prefix; write %s/%u, or for this address only %.*s",
            source, text, first, meant.bits - (v6 ? 0 : 96), (int)strcspn(text, "/"), text);
    if (network.bits == 128 && address_is_any(&network.first))
        log_exit(EXIT_USAGE, "%s: \"%s\" is no proxy's address; write the address that it has",
            source, text);
}

/* Returns an item of --cors or --host in the form that requests have (origins.h). */
static struct span read_origin(const char *source, const struct option *option, const char *text)
{
    char why[ORIGINS_WHY_BYTES], *out = malloc(ORIGINS_TEXT_BYTES);
    if (out == NULL)
        field_out_of_memory();
    if (!(option->kind == KIND_HOSTS ? origins_read_host : origins_read)(span_of(text), out, why))
        log_exit(EXIT_USAGE, "%s: \"%s\" %s", source, text, why);
    return span_of(out);
}

/* Checks an item of a list, and returns it as it is used. On the command line, where an option can
 * be repeated, a comma does not separate items; file names can contain commas. */
static struct span read_item(const char *source, const struct option *option, const char *text)
{
    const char *why;
    if (option->kind == KIND_LIST)
        return span_of(text);
    if (strchr(text, ',') != NULL)
        log_exit(
            EXIT_USAGE, "%s: \"%s\" has a comma; repeat the option for each value", source, text);
    if (option->kind == KIND_HOSTS || option->kind == KIND_ORIGINS)
        return read_origin(source, option, text);
    if (option->kind == KIND_NETWORKS)
        check_network(source, text);
    else if ((why = rule_room(span_of(text))) != NULL)
        log_exit(EXIT_USAGE, "%s: %s", source, why);
    return span_of(text);
}

static enum log_level read_level(const char *source, const char *text)
{
    static const char *const names[] = { "error", "warn", "info", "debug" }; /* as in the enum */
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++)
        if (strcmp(text, names[i]) == 0)
            return (enum log_level)i;
    log_exit(
        EXIT_USAGE, "%s: \"%s\" is not a log level; use error, warn, info or debug", source, text);
}

static bool read_switch(const char *source, const char *text)
{
    static const char *const words[] = { "no", "yes", "off", "on", "false", "true", "0", "1" };
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(text, words[i]) == 0)
            return i % 2 == 1;
    log_exit(EXIT_USAGE, "%s: \"%s\" is neither yes nor no; use one of the two", source, text);
}

void field_set(void *o, const char *source, const struct option *option, const char *text)
{
    static const uint64_t sizes[] = { KIB, KIB, MIB, MIB };
    static const uint64_t times[] = { SECOND, 60 * SECOND, 3600 * SECOND, DAY };
    void *field = field_of(o, option);
    if (option->kind != KIND_FLAG && *text == '\0')
        log_exit(EXIT_USAGE, "%s: the value is empty", source);
    switch (option->kind) {
    case KIND_FLAG:
        *(bool *)field = true;
        return;
    case KIND_SWITCH:
        *(bool *)field = read_switch(source, text);
        return;
    case KIND_STRING:
        *(const char **)field = text;
        return;
    case KIND_LIST:
    case KIND_ROOMS:
    case KIND_ORIGINS:
    case KIND_HOSTS:
    case KIND_NETWORKS:
        field_add(field, read_item(source, option, text));
        return;
    case KIND_COUNT:
        *(uint64_t *)field = read_number(source, option, text, "", NULL, 1);
        return;
    case KIND_SIZE:
        *(uint64_t *)field = read_number(source, option, text, "KkMm", sizes, 1);
        return;
    case KIND_TIME:
        *(uint64_t *)field = read_number(source, option, text, "smhd", times, option->unit_ms);
        return;
    case KIND_SYNC:
        if (strcmp(text, "always") != 0 && strcmp(text, "none") != 0)
            log_exit(EXIT_USAGE, "%s: \"%s\" is not valid; use always or none", source, text);
        *(bool *)field = strcmp(text, "always") == 0;
        return;
    case KIND_LEVEL:
        *(enum log_level *)field = read_level(source, text);
        return;
    }
}
