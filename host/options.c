/* options.c - one table says everything about an option: its name, how its value is read, what is
 * allowed, and what --help prints. */

#include "host/options.h"

#include "base/print.h"
#include "host/version.h"
#include "hub/rules.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

enum kind {
    KIND_FLAG,
    KIND_STRING,
    KIND_LIST,
    KIND_COUNT,
    KIND_SIZE,
    KIND_TIME,
    KIND_LEVEL,
    KIND_SYNC
};

struct option {
    const char *name, *value; /* as in "--name VALUE" */
    enum kind kind;
    size_t offset; /* of its field in struct options */
    uint64_t initial, min, max;
    bool zero;        /* 0 is allowed, and means no limit or off */
    unsigned unit_ms; /* of a time without a unit */
    const char *help;
};

#define FIELD(field) offsetof(struct options, field)

enum { KIB = 1024, MIB = 1024 * 1024, SECOND = 1000, DAY = 86400000 };

static const struct option server_options[] = {
    { "listen", "ADDRESS", KIND_LIST, FIELD(listen), 0, 0, 0, false, 0,
        "where to listen: 127.0.0.1:8080 (the default),\n"
        "[::]:8080, unix:/path; may be repeated; port 0 is any\n"
        "free one" },
    { "www", "DIR", KIND_STRING, FIELD(www), 0, 0, 0, false, 0,
        "serve this folder instead of the chat page" },
    { "history", "SIZE", KIND_SIZE, FIELD(hub.history), 256 * KIB, 16 * KIB, 1024ull * MIB, false,
        0,
        "memory for the last messages of a room; rounded up to a\n"
        "power of two (256K)" },
    { "max-rooms", "N", KIND_COUNT, FIELD(hub.max_rooms), 256, 1, 10000000, true, 0,
        "rooms there may be at a time (256)" },
    { "room", "NAME", KIND_LIST, FIELD(hub.allowed), 0, 0, 0, false, 0,
        "allow this room and no others; may be repeated" },
    { "room-ttl", "TIME", KIND_TIME, FIELD(hub.room_ttl_ms), 7ull * DAY, SECOND, 36500ull * DAY,
        false, SECOND,
        "drop a room's history after so long without streams and\n"
        "messages (7d)" },
    { "max-streams", "N", KIND_COUNT, FIELD(net.max_streams), 0, 1, 10000000, true, 0,
        "streams there may be at a time (what the descriptor limit\nallows)" },
    { "max-streams-per-ip", "N", KIND_COUNT, FIELD(net.max_streams_per_ip), 64, 1, 10000000, true,
        0,
        "streams there may be of one address, an IPv6 /64 being\n"
        "one (64); it may have 32 connections more" },
    { "post-rate", "N", KIND_COUNT, FIELD(net.post_rate), 5, 1, 1000000, true, 0,
        "messages a second that one address may post, and after a\n"
        "rest four times as many at once (5)" },
    { "max-body", "SIZE", KIND_SIZE, FIELD(net.max_body), 64 * KIB, 1, 64 * MIB, false, 0,
        "largest body of a POST (64K)" },
    { "heartbeat", "TIME", KIND_TIME, FIELD(net.heartbeat_ms), 15 * SECOND, SECOND, DAY, true,
        SECOND, "send a heartbeat to a stream that got nothing for so long\n(15s); 0 is off" },
    { "retry", "MS", KIND_TIME, FIELD(net.retry_ms), 3000, 1, DAY, false, 1,
        "how long clients wait before they reconnect, in\nmilliseconds (3000)" },
    { "cors", "ORIGIN", KIND_LIST, FIELD(access.cors), 0, 0, 0, false, 0,
        "let pages of this origin (https://example.com) read and\n"
        "post, or of any with *; may be repeated" },
    { "host", "NAME", KIND_LIST, FIELD(access.hosts), 0, 0, 0, false, 0,
        "answer only requests for this host; may be repeated" },
    { "trust-proxy", "CIDR", KIND_LIST, FIELD(trust_proxy), 0, 0, 0, false, 0,
        "believe proxies of this network (10.0.0.0/8, 127.0.0.1,\n"
        "unix) whom they speak for, by X-Forwarded-For or\nForwarded; may be repeated" },
    { "key", "FILE", KIND_LIST, FIELD(access.key_files), 0, 0, 0, false, 0,
        "let in only who has a token signed with this key; twice\nwhile keys are changed" },
    { "journal", "FILE", KIND_STRING, FIELD(journal.path), 0, 0, 0, false, 0,
        "keep messages in this file, over restarts and crashes" },
    { "sync", "WHEN", KIND_SYNC, FIELD(journal.sync), 0, 0, 0, false, 0,
        "always (the default): a message counts when it is on the\n"
        "disk; none: when the kernel has it" },
    { "drain", "TIME", KIND_TIME, FIELD(drain_ms), 5 * SECOND, SECOND, DAY, false, SECOND,
        "time to finish in after SIGTERM (5s)" },
    { "log-level", "LEVEL", KIND_LEVEL, FIELD(log_level), 0, 0, 0, false, 0,
        "error, warn, info (the default) or debug" },
    { "check", NULL, KIND_FLAG, FIELD(check), 0, 0, 0, false, 0, "check the options, then exit" },
    { "version", NULL, KIND_FLAG, 0, 0, 0, 0, false, 0, "print the version, then exit" },
    { "help", NULL, KIND_FLAG, 0, 0, 0, 0, false, 0, "print this, then exit" },
};

#undef FIELD
#define FIELD(field) offsetof(struct token_options, field)

static const struct option token_options[] = {
    { "key", "FILE", KIND_STRING, FIELD(key), 0, 0, 0, false, 0,
        "the key to sign with, the same file as the server's" },
    { "sub", "NAME", KIND_STRING, FIELD(sub), 0, 0, 0, false, 0,
        "the name of who gets the token; without it he may choose" },
    { "rooms", "NAME", KIND_LIST, FIELD(rooms), 0, 0, 0, false, 0,
        "the rooms it is for, a list with commas, or * for all;\nmay be repeated" },
    { "publish", NULL, KIND_FLAG, FIELD(publish), 0, 0, 0, false, 0,
        "allow to publish; without it, it is for reading only" },
    { "ttl", "TIME", KIND_TIME, FIELD(ttl_ms), 3600ull * SECOND, SECOND, 36500ull * DAY, false,
        SECOND, "how long it is good (1h)" },
    { "help", NULL, KIND_FLAG, 0, 0, 0, 0, false, 0, "print this, then exit" },
};

/* A command: its options, and what --help says before and after them. */
struct command {
    const struct option *options;
    size_t count;
    const char *before, *after;
};

enum { OPTIONS_MAX = 64 };

static const struct command server_command = {
    server_options,
    sizeof server_options / sizeof server_options[0],
    "usage: ssechat [option ...]\n"
    "       ssechat token --key FILE [option ...]\n"
    "\n"
    "An online chat and event server on Server-Sent Events. Without options it serves\n"
    "a chat at http://127.0.0.1:8080. `ssechat token --help` tells of signing people in.\n",
    "\n"
    "Sizes take K and M, times s, m, h and d. A count of 0 is no limit. Every option\n"
    "can also come from the environment: SSECHAT_MAX_ROOMS=10 is --max-rooms 10; what\n"
    "may be repeated is a list with commas there. The command line wins.\n"
    "\n"
    "Exit codes: 0 after SIGTERM or SIGINT, 1 when the system says no, 2 for a wrong\n"
    "option.",
};

static const struct command token_command = {
    token_options,
    sizeof token_options / sizeof token_options[0],
    "usage: ssechat token --key FILE --rooms NAME [option ...]\n"
    "\n"
    "Prints a token that lets somebody in where the server was started with that key.\n",
    "\n"
    "For a page, put it behind the address: http://127.0.0.1:8080/#token=TOKEN",
};

_Static_assert(sizeof server_options / sizeof server_options[0] <= OPTIONS_MAX, "see `seen`");

void options_fail(const char *source, const char *format, ...)
{
    char why[1024];
    va_list args;
    va_start(args, format);
    print_list(why, sizeof why, format, args);
    va_end(args);
    log_exit(EXIT_USAGE, "%s: %s", source, why);
}

/* ==== Help =================================================================================== */

/* The option, and beside it what it does; the lines of that begin in the same column. */
static void print_option(const struct option *option)
{
    enum { COLUMN = 23 };
    char name[64];
    const char *text = option->help;
    size_t len = print_into(name, sizeof name, "  --%s%s%s", option->name,
        option->value != NULL ? " " : "", option->value != NULL ? option->value : "");
    size_t gap = len < COLUMN ? COLUMN - len : 1;
    for (;;) {
        int line = (int)strcspn(text, "\n");
        print_line(
            STDOUT_FILENO, "%s%.*s%.*s\n", name, (int)gap, "                       ", line, text);
        if (text[line] == '\0')
            return;
        text += line + 1;
        name[0] = '\0';
        gap = COLUMN;
    }
}

__attribute__((noreturn)) static void print_help(const struct command *command)
{
    print_line(STDOUT_FILENO, "%s\n", command->before);
    for (size_t i = 0; i < command->count; i++)
        print_option(&command->options[i]);
    print_line(STDOUT_FILENO, "%s\n", command->after);
    exit(0);
}

/* ==== Values ================================================================================= */

/* A number with one of `units` behind it, or none. */
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
        options_fail(
            source, "\"%s\" is no number%s%s", text, *units != '\0' ? "; units are " : "", units);
    uint64_t value = number * factor;
    if (value == 0 && o->zero)
        return 0;
    uint64_t base = o->unit_ms > 0 ? o->unit_ms : 1;
    if (value < o->min || value > o->max)
        options_fail(source, "%s is not from %llu to %llu%s%s", text,
            (unsigned long long)(o->min / base), (unsigned long long)(o->max / base),
            o->kind == KIND_SIZE   ? " bytes"
            : o->unit_ms == SECOND ? " seconds"
            : o->unit_ms == 1      ? " milliseconds"
                                   : "",
            o->zero ? ", nor 0" : "");
    return value;
}

static uint64_t round_up_to_power_of_two(uint64_t number)
{
    uint64_t power = 1;
    while (power < number)
        power *= 2;
    return power;
}

__attribute__((noreturn)) static void fail_for_memory(void)
{
    log_exit(EXIT_SYSTEM, "no memory for the options");
}

static void add_value(struct spans *values, struct span value)
{
    struct span *items = realloc(values->items, (values->count + 1) * sizeof *items);
    if (items == NULL)
        fail_for_memory();
    items[values->count++] = value;
    values->items = items;
}

static enum log_level read_level(const char *source, const char *text)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    for (int i = LOG_ERROR; i <= LOG_DEBUG; i++)
        if (strcmp(text, names[i]) == 0)
            return (enum log_level)i;
    options_fail(source, "\"%s\" is none of error, warn, info, debug", text);
}

/* Sets the field of `o` that is the option's. */
static void set_field(void *o, const char *source, const struct option *option, const char *text)
{
    static const uint64_t sizes[] = { KIB, KIB, MIB, MIB };
    static const uint64_t times[] = { SECOND, 60 * SECOND, 3600 * SECOND, DAY };
    void *field = (char *)o + option->offset;
    if (option->kind != KIND_FLAG && *text == '\0')
        options_fail(source, "it has an empty value");
    switch (option->kind) {
    case KIND_FLAG:
        *(bool *)field = true;
        return;
    case KIND_STRING:
        *(const char **)field = text;
        return;
    case KIND_LIST:
        add_value(field, span_of(text));
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
            options_fail(source, "\"%s\" is neither always nor none", text);
        *(bool *)field = strcmp(text, "always") == 0;
        return;
    case KIND_LEVEL:
        *(enum log_level *)field = read_level(source, text);
        return;
    }
}

/* ==== Where they come from =================================================================== */

static const struct option *find_option(const struct command *command, struct span name)
{
    for (size_t i = 0; i < command->count; i++)
        if (span_equal(span_of(command->options[i].name), name))
            return &command->options[i];
    return NULL;
}

static void set_initial(const struct command *command, void *o)
{
    for (size_t i = 0; i < command->count; i++) {
        const struct option *option = &command->options[i];
        if (option->kind >= KIND_COUNT && option->kind <= KIND_TIME)
            *(uint64_t *)(void *)((char *)o + option->offset) = option->initial;
    }
}

/* SSECHAT_MAX_ROOMS is max-rooms; NULL when there is no such option. */
static const struct option *find_variable(struct span variable)
{
    char name[32];
    if (variable.len >= sizeof name)
        return NULL;
    for (size_t i = 0; i < variable.len; i++) {
        char c = variable.at[i];
        name[i] = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : '?';
    }
    return find_option(&server_command, (struct span) { name, variable.len });
}

/* Makes a C string of a piece of the environment, where it lies. */
static const char *cut_out(struct span s)
{
    char *text = span_bytes(s);
    text[s.len] = '\0'; /* a comma, a space or the end stood there */
    return text;
}

static void read_environment(struct options *o)
{
    for (char **e = environ; *e != NULL; e++) {
        struct span rest = span_of(*e), variable, value;
        if (strncmp(*e, "SSECHAT_", 8) != 0 || !span_split(&rest, '=', &variable))
            continue;
        char source[64];
        print_into(source, sizeof source, "%.*s", (int)variable.len, variable.at);
        const struct option *option =
            find_variable((struct span) { variable.at + 8, variable.len - 8 });
        if (option == NULL) {
            /* Others may set such names too: Kubernetes does, for a service called ssechat. */
            print_line(
                STDERR_FILENO, "ssechat: %s: there is no such option; it is ignored\n", source);
            continue;
        }
        if (option->kind == KIND_FLAG)
            options_fail(source, "this option goes on the command line only");
        if (option->kind != KIND_LIST) {
            set_field(o, source, option, rest.at);
            continue;
        }
        while (span_split(&rest, ',', &value))
            set_field(o, source, option, cut_out(span_trim(value)));
    }
}

/* A list on the command line takes the place of the one in the environment. */
static void read_arguments(const struct command *command, void *o, int argc, char **argv)
{
    bool seen[OPTIONS_MAX] = { false };
    for (int i = 1; i < argc; i++) {
        struct span rest = span_of(argv[i]), name;
        if (strncmp(argv[i], "--", 2) != 0)
            options_fail(argv[i], "not an option; see --help");
        span_split(&rest, '=', &name);
        char source[64];
        print_into(source, sizeof source, "%.*s", (int)name.len, name.at);
        const struct option *option =
            find_option(command, (struct span) { name.at + 2, name.len - 2 });
        if (option == NULL)
            options_fail(source, "there is no such option; see --help");
        if (strcmp(option->name, "help") == 0)
            print_help(command);
        if (strcmp(option->name, "version") == 0) {
            print_line(STDOUT_FILENO, "ssechat %s\n", SSECHAT_VERSION);
            exit(0);
        }
        if (option->kind == KIND_FLAG && rest.at != NULL)
            options_fail(source, "it takes no value");
        if (option->kind != KIND_FLAG && rest.at == NULL && i + 1 == argc)
            options_fail(source, "its value is missing");
        bool *before = &seen[option - command->options];
        if (option->kind == KIND_LIST && !*before)
            ((struct spans *)(void *)((char *)o + option->offset))->count = 0;
        *before = true;
        set_field(o, source, option,
            option->kind == KIND_FLAG ? ""
            : rest.at != NULL         ? rest.at
                                      : argv[++i]);
    }
}

/* ==== What they must be ====================================================================== */

/* scheme://host[:port], as a browser writes it in Origin; or "*". */
static bool is_origin(struct span origin)
{
    struct span scheme, rest = origin;
    if (span_equal(origin, SPAN("*")))
        return true;
    if (!span_split(&rest, ':', &scheme) || rest.at == NULL || scheme.len == 0)
        return false;
    return rest.len > 2 && memcmp(rest.at, "//", 2) == 0 && rest.at[2] != '/' &&
           memchr(rest.at + 2, '/', rest.len - 2) == NULL && memchr(rest.at, ' ', rest.len) == NULL;
}

/* A name as in Host, with or without a port; an IPv6 address in brackets. */
static bool is_host(struct span host)
{
    bool good = host.len > 0;
    for (size_t i = 0; i < host.len; i++)
        good &= host.at[i] > ' ' && host.at[i] < 0x7f && strchr("/@?#,", host.at[i]) == NULL;
    return good;
}

static void read_trusted(struct options *o)
{
    const struct spans *list = &o->trust_proxy;
    o->net.trusted = calloc(list->count + 1, sizeof *o->net.trusted);
    if (o->net.trusted == NULL)
        fail_for_memory();
    for (size_t i = 0; i < list->count; i++) {
        if (span_equal(list->items[i], SPAN("unix")))
            o->net.trust_unix = true;
        else if (!network_parse(list->items[i], &o->net.trusted[o->net.trusted_count++]))
            options_fail("--trust-proxy",
                "a network looks like 10.0.0.0/8, 192.0.2.1 or 2001:db8::/32, with no bits set "
                "behind its prefix; or it is the word unix");
    }
}

static void check_server(struct options *o)
{
    for (size_t i = 0; i < o->hub.allowed.count; i++) {
        const char *why = rule_room(o->hub.allowed.items[i]);
        if (why != NULL)
            options_fail("--room", "%s", why);
    }
    for (size_t i = 0; i < o->access.cors.count; i++)
        if (!is_origin(o->access.cors.items[i]))
            options_fail(
                "--cors", "an origin looks like https://example.com, without a path; or it is *");
    for (size_t i = 0; i < o->access.hosts.count; i++)
        if (!is_host(o->access.hosts.items[i]))
            options_fail("--host", "a host looks like chat.example.com, without http:// and path");
    read_trusted(o);
    if (o->listen.count == 0)
        add_value(&o->listen, SPAN("127.0.0.1:8080"));
    o->hub.history = round_up_to_power_of_two(o->hub.history);
}

void options_read(struct options *o, int argc, char **argv)
{
    *o = (struct options) { .log_level = LOG_INFO, .journal.sync = true };
    set_initial(&server_command, o);
    read_environment(o);
    read_arguments(&server_command, o, argc, argv);
    check_server(o);
}

/* What a token may say is what the server takes: rules.h, token.h. */
static void check_token(struct token_options *o)
{
    struct span name = span_of(o->sub != NULL ? o->sub : "x"), given = name;
    const char *why = rule_name(&name);
    if (o->key == NULL)
        options_fail("token", "--key FILE is missing");
    if (why != NULL)
        options_fail("--sub", "%s", why);
    if (name.len != given.len)
        options_fail("--sub", "a signed name has no white space at its ends");
    if (o->rooms.count == 0)
        options_fail("token", "--rooms is missing: which rooms is it for? --rooms '*' is all");
    for (size_t i = 0; i < o->rooms.count; i++)
        if ((why = rule_room(o->rooms.items[i])) != NULL)
            options_fail("--rooms", "%s", why);
}

/* "--rooms lobby,news" is two values. */
static void split_lists(struct spans *values)
{
    struct spans whole = *values;
    struct span piece;
    *values = (struct spans) { NULL, 0 };
    for (size_t i = 0; i < whole.count; i++)
        while (span_split(&whole.items[i], ',', &piece))
            add_value(values, span_trim(piece));
    free(whole.items);
}

void options_read_token(struct token_options *o, int argc, char **argv)
{
    *o = (struct token_options) { 0 };
    set_initial(&token_command, o);
    read_arguments(&token_command, o, argc, argv);
    split_lists(&o->rooms);
    check_token(o);
}
