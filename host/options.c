/* options.c - reads the command line and the environment into a struct, from a table.
 *
 * One row of the table says everything about an option: its name, how its value is read, which
 * field it sets, what is allowed, and what --help prints. So the help cannot miss an option, and a
 * new option needs only one row and one field. getopt_long(3) handles neither types, ranges nor the
 * environment, so most of this file would still be needed.
 *
 * field.c reads and checks the values. Each mistake ends the program with one sentence that names
 * the option or the variable. Values are borrowed from argv and the environment; allocated memory
 * lives as long as the process. */

#include "host/options.h"

#include "base/print.h"
#include "host/field.h"
#include "host/version.h"
#include "hub/rules.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define FIELD(field) offsetof(struct options, field)

static const struct option server_options[] = {
    { "listen", "ADDRESS", KIND_LIST, FIELD(listen), 0, 0, 0, false, 0,
        "an address to listen on: 127.0.0.1:8080 (the default),\n"
        "[::]:8080, unix:/path, unix:/path?mode=0660, unix:@name;\n"
        "may be repeated; port 0 picks a free port" },
    { "www", "DIR", KIND_STRING, FIELD(www), 0, 0, 0, false, 0,
        "serve this folder instead of the chat page" },
    { "history", "SIZE", KIND_SIZE, FIELD(hub.history), 256 * KIB, 16 * KIB, 1024ull * MIB, false,
        0,
        "what the latest messages of each room may take, with 56\n"
        "bytes each and their keys, rounded up to a power of two\n"
        "(256K); a room takes at most twice as much memory" },
    { "max-rooms", "N", KIND_COUNT, FIELD(hub.max_rooms), 256, 1, 10000000, true, 0,
        "the most rooms with messages at a time (256), not counting\n"
        "lobby; one address may have made a quarter of them" },
    { "room", "NAME", KIND_ROOMS, FIELD(hub.allowed), 0, 0, 0, false, 0,
        "allow this room and no others; may be repeated" },
    { "room-ttl", "TIME", KIND_TIME, FIELD(hub.room_ttl_ms), 7ull * DAY, SECOND, 36500ull * DAY,
        false, SECOND,
        "drop a room's history after this long without streams\n"
        "or messages (7d)" },
    { "max-streams", "N", KIND_COUNT, FIELD(net.max_streams), 0, 1, 10000000, true, 0,
        "the most streams at a time (as many as the descriptor\nlimit allows)" },
    { "max-streams-per-ip", "N", KIND_COUNT, FIELD(net.max_streams_per_ip), 64, 1, 10000000, true,
        0,
        "the most streams from one address, or from one IPv6 /64\n"
        "(64); its limit for connections is 32 higher; 0 also ends\n"
        "its limits for rooms and for names" },
    { "post-rate", "N", KIND_COUNT, FIELD(net.post_rate), 5, 1, 1000000, true, 0,
        "messages per second that one address may post (5); after\n"
        "a pause it may post four times as many at once; a large\n"
        "message counts as one for every 4 KiB" },
    { "max-body", "SIZE", KIND_SIZE, FIELD(net.max_body), 64 * KIB, 1, 64 * MIB, false, 0,
        "the largest body of a POST (64K)" },
    { "heartbeat", "TIME", KIND_TIME, FIELD(net.heartbeat_ms), 15 * SECOND, SECOND, DAY, true,
        SECOND,
        "send a heartbeat to a stream after this long without\n"
        "anything else (15s); 0 turns heartbeats off" },
    { "keep-alive", "TIME", KIND_TIME, FIELD(net.keep_alive_ms), 75 * SECOND, SECOND, DAY, false,
        SECOND,
        "close a connection after this long between two requests\n"
        "(75s); longer than a proxy keeps it, often 60 s" },
    { "retry", "MS", KIND_TIME, FIELD(net.retry_ms), 3000, 1, DAY, false, 1,
        "how long clients wait before they reconnect, in\nmilliseconds (3000)" },
    { "cors", "ORIGIN", KIND_ORIGINS, FIELD(access.cors), 0, 0, 0, false, 0,
        "let pages of this origin (https://example.com) read and\n"
        "post; * allows pages of any origin; may be repeated" },
    { "host", "NAME", KIND_HOSTS, FIELD(access.hosts), 0, 0, 0, false, 0,
        "answer only requests for this host (chat.example, with\n"
        "any port, or chat.example:8080); may be repeated" },
    { "trust-proxy", "CIDR", KIND_NETWORKS, FIELD(trust_proxy), 0, 0, 0, false, 0,
        "take the client's address from X-Forwarded-For or\n"
        "Forwarded if a proxy in this network (10.0.0.0/8,\n"
        "127.0.0.1, unix) sent it; may be repeated" },
    { "key", "FILE", KIND_LIST, FIELD(access.key_files), 0, 0, 0, false, 0,
        "require a token that is signed with the key in this\n"
        "file; may be repeated while a key is being replaced" },
    { "journal", "FILE", KIND_STRING, FIELD(journal.path), 0, 0, 0, false, 0,
        "keep messages in this file across restarts and crashes" },
    { "sync", "WHEN", KIND_SYNC, FIELD(journal.sync), 0, 0, 0, false, 0,
        "always (the default): acknowledge a message when it is\n"
        "on the disk; none: when the kernel has it" },
    { "metrics", "ADDRESS", KIND_STRING, FIELD(metrics), 0, 0, 0, false, 0,
        "serve metrics for Prometheus on this address, and nothing\n"
        "else: http://ADDRESS/metrics; it needs no token" },
    { "drain", "TIME", KIND_TIME, FIELD(drain_ms), 5 * SECOND, SECOND, DAY, false, SECOND,
        "how long a graceful shutdown may take (5s)" },
    { "log-level", "LEVEL", KIND_LEVEL, FIELD(log_level), 0, 0, 0, false, 0,
        "error, warn, info (the default) or debug" },
    { "access-log", NULL, KIND_SWITCH, FIELD(net.access_log), 0, 0, 0, false, 0,
        "log a line for each request: address, method, path,\n"
        "status, bytes and time" },
    { "check", NULL, KIND_FLAG, FIELD(check), 0, 0, 0, false, 0,
        "check the options and what they allow, then exit" },
    { "version", NULL, KIND_FLAG, 0, 0, 0, 0, false, 0, "print the version, then exit" },
    { "help", NULL, KIND_FLAG, 0, 0, 0, 0, false, 0, "print this, then exit" },
};

#undef FIELD
#define FIELD(field) offsetof(struct token_options, field)

static const struct option token_options[] = {
    { "key", "FILE", KIND_STRING, FIELD(key), 0, 0, 0, false, 0,
        "the key to sign with: the same file as the server's" },
    { "sub", "NAME", KIND_STRING, FIELD(sub), 0, 0, 0, false, 0,
        "the user's name; without it the user may choose one" },
    { "rooms", "NAME", KIND_LIST, FIELD(rooms), 0, 0, 0, false, 0,
        "the rooms it is valid for, separated by commas, or * for\nall rooms; may be repeated" },
    { "publish", NULL, KIND_FLAG, FIELD(publish), 0, 0, 0, false, 0,
        "allow publishing; without this, the token is read-only" },
    { "ttl", "TIME", KIND_TIME, FIELD(ttl_ms), 3600ull * SECOND, SECOND, 36500ull * DAY, false,
        SECOND, "how long it is valid (1h)" },
    { "help", NULL, KIND_FLAG, 0, 0, 0, 0, false, 0, "print this, then exit" },
};

#undef FIELD
#define FIELD(field) offsetof(struct journal_options, field)

static const struct option journal_options[] = {
    { "room", "NAME", KIND_STRING, FIELD(room), 0, 0, 0, false, 0, "export only this room" },
    { "help", NULL, KIND_FLAG, 0, 0, 0, 0, false, 0, "print this, then exit" },
};

#undef FIELD
#define FIELD(field) offsetof(struct probe_options, field)

static const struct option probe_options[] = {
    { "timeout", "TIME", KIND_TIME, FIELD(timeout_ms), 5 * SECOND, SECOND, 3600 * SECOND, false,
        SECOND, "how long to wait for the answer (5s)" },
    { "help", NULL, KIND_FLAG, 0, 0, 0, 0, false, 0, "print this, then exit" },
};

/* A command: its options, and the text of --help before and after them. */
struct command {
    const struct option *options;
    size_t count;
    const char *before, *after;
};

enum { OPTIONS_MAX = 64 }; /* the size of the array `seen`, which is on the stack */

static const struct command server_command = {
    server_options,
    sizeof server_options / sizeof server_options[0],
    "usage: ssechat [option ...]\n"
    "       ssechat token --key FILE --rooms NAME [option ...]\n"
    "       ssechat journal check FILE\n"
    "       ssechat journal export FILE [--room NAME]\n"
    "       ssechat probe [URL] [--timeout TIME]\n"
    "\n"
    "A chat and event server that speaks Server-Sent Events. Without options it\n"
    "serves a chat page at http://127.0.0.1:8080. `ssechat token --help` shows how to\n"
    "sign users in, `ssechat journal --help` how to look into a journal, `ssechat\n"
    "probe --help` how to ask a server whether it is well.\n",
    "\n"
    "Sizes take the units K and M, times s, m, h and d. A count of 0 means no limit.\n"
    "Each option with a value can also be set in the environment:\n"
    "SSECHAT_MAX_ROOMS=10 means --max-rooms 10, SSECHAT_ACCESS_LOG=yes --access-log.\n"
    "There, an option that may be repeated takes a comma-separated list. The command\n"
    "line takes precedence: --access-log=no turns it off.\n"
    "\n"
    "Exit codes: 0 after SIGTERM, SIGINT or SIGQUIT, 1 if the system refuses something\n"
    "(a port, a file, memory), 2 for a wrong option.",
};

static const struct command token_command = {
    token_options,
    sizeof token_options / sizeof token_options[0],
    "usage: ssechat token --key FILE --rooms NAME [option ...]\n"
    "\n"
    "Prints a token that lets a user into a server that was started with this key.\n",
    "\n"
    "To use it in the chat page, append it to the address:\n"
    "http://127.0.0.1:8080/#token=TOKEN",
};

static const struct command journal_command = {
    journal_options,
    sizeof journal_options / sizeof journal_options[0],
    "usage: ssechat journal check FILE\n"
    "       ssechat journal export FILE [--room NAME]\n"
    "\n"
    "`check` prints what a journal contains, and exits with 1 if it is damaged.\n"
    "`export` prints its messages, one JSON object per line. Both only read, and can\n"
    "run while a server uses the journal.\n",
    "",
};

static const struct command probe_command = {
    probe_options,
    sizeof probe_options / sizeof probe_options[0],
    "usage: ssechat probe [URL] [--timeout TIME]\n"
    "\n"
    "Asks a server whether it is well, and exits with 0 if it is. Otherwise it says why\n"
    "not, and exits with 1. URL is http://127.0.0.1:8080 if it is left out; other\n"
    "examples are http://[::1]:8080/healthz, unix:/run/ssechat/chat.sock and unix:@name.\n",
    "",
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

/* Prints an option and, beside it, the lines of its help, which all begin in one column:
 *
 *        --name VALUE         first line
 *                             second line
 *
 * A name that reaches into the column is followed by one space. */
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

/* Prints the help to standard output and exits with 0, so that it can be piped into a pager. After
 * a wrong option only one sentence is printed, not the help. */
__attribute__((noreturn)) static void print_help(const struct command *command)
{
    print_line(STDOUT_FILENO, "%s\n", command->before);
    for (size_t i = 0; i < command->count; i++)
        print_option(&command->options[i]);
    print_line(STDOUT_FILENO, "%s\n", command->after);
    exit(0);
}

/* ==== Where they come from =================================================================== */

/* Finds an option. The search is linear, which is fine for a few dozen options. Abbreviations are
 * not allowed, because a new option that makes one ambiguous would break scripts. */
static const struct option *find_option(const struct command *command, struct span name)
{
    for (size_t i = 0; i < command->count; i++)
        if (span_equal(span_of(command->options[i].name), name))
            return &command->options[i];
    return NULL;
}

/* Fills in the defaults of the numbers; all other fields are zero, or set by the caller. */
static void set_initial(const struct command *command, void *o)
{
    for (size_t i = 0; i < command->count; i++)
        field_set_initial(o, &command->options[i]);
}

/* Finds max-rooms for the MAX_ROOMS of SSECHAT_MAX_ROOMS. Lower-case letters become '?', which no
 * name contains, so SSECHAT_max_rooms is not found. Returns NULL if there is no such option. */
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

/* Turns a piece of a list in the environment into a C string, in place to save a copy. The price:
 * from then on the variable ends after its first piece. */
static const char *cut_out(struct span s)
{
    char *text = span_bytes(s);
    text[s.len] = '\0'; /* overwrites a comma, a space, or the NUL at the end */
    return text;
}

/* Reads each variable SSECHAT_NAME as --name. A name that is not an option is reported and ignored;
 * a wrong value ends the program, as on the command line. Flags are refused, because they request
 * an action (check, help) and do not configure the server; switches (access-log) do. */
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
            /* Other programs set such names too: Kubernetes does, for a service called ssechat. */
            log_plain(
                LOG_WARN, "ssechat: %s: this variable names no option and is ignored\n", source);
            continue;
        }
        if (option->kind == KIND_FLAG)
            options_fail(source, "this option can be given on the command line only");
        if (!field_is_list(option)) {
            field_set(o, source, option, rest.at);
            continue;
        }
        while (span_split(&rest, ',', &value))
            field_set(o, source, option, cut_out(span_trim(value)));
    }
}

/* Reads "--name VALUE" and "--name=VALUE", from left to right; a later value replaces an earlier
 * one, or is added if the option is a list. The first value of a list on the command line replaces
 * the list from the environment. --help and --version act at once, so a mistake after them goes
 * unnoticed. There are no short options and no other arguments. */
static void read_arguments(const struct command *command, void *o, int argc, char **argv)
{
    bool seen[OPTIONS_MAX] = { false };
    for (int i = 1; i < argc; i++) {
        struct span rest = span_of(argv[i]), name;
        if (strncmp(argv[i], "--", 2) != 0)
            options_fail(argv[i], "this is not an option; see --help");
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
            options_fail(source, "this option takes no value");
        if (option->value != NULL && rest.at == NULL && i + 1 == argc)
            options_fail(source, "the value is missing");
        bool *before = &seen[option - command->options];
        if (field_is_list(option) && !*before)
            ((struct spans *)field_of(o, option))->count = 0;
        *before = true;
        field_set(o, source, option,
            rest.at != NULL         ? rest.at
            : option->value != NULL ? argv[++i]
                                    : "yes");
    }
}

/* ==== What they must be ====================================================================== */

/* Fills in net.trusted and net.trust_unix from the list, which check_network has checked. */
static void read_trusted(struct options *o)
{
    const struct spans *list = &o->trust_proxy;
    o->net.trusted = calloc(list->count + 1, sizeof *o->net.trusted);
    if (o->net.trusted == NULL)
        field_out_of_memory();
    for (size_t i = 0; i < list->count; i++)
        if (network_parse(list->items[i], &o->net.trusted[o->net.trusted_count]))
            o->net.trusted_count++;
        else
            o->net.trust_unix = true; /* the only item that is no network */
}

/* Rounds up the size of a ring, which must be a power of two because a ring finds the place of a
 * byte with a mask (hub/ring.h). `number` is at most 1 GiB here, so the doubling ends. */
static uint64_t round_up_to_power_of_two(uint64_t number)
{
    uint64_t power = 1;
    while (power < number)
        power *= 2;
    return power;
}

/* Computes what depends on several values. This comes last, after the command line has replaced
 * values from the environment. */
static void complete_server(struct options *o)
{
    read_trusted(o);
    o->hub.history = round_up_to_power_of_two(o->hub.history);
}

/* Applies the defaults, the environment and the command line; each overrides the one before. The
 * environment is read even if --help is given, so a wrong variable is reported first. */
void options_read(struct options *o, int argc, char **argv)
{
    *o = (struct options) { .log_level = LOG_INFO, .journal.sync = true };
    set_initial(&server_command, o);
    read_environment(o);
    read_arguments(&server_command, o, argc, argv);
    complete_server(o);
}

/* Applies the server's rules (rules.h), so that the command prints no token that the server would
 * refuse. A name is refused rather than trimmed: a token should contain exactly the given name. */
static void check_token(struct token_options *o)
{
    struct span name = span_of(o->sub != NULL ? o->sub : "x"), given = name;
    const char *why = rule_name(&name);
    if (o->key == NULL)
        options_fail("token", "--key FILE is missing");
    if (why != NULL)
        options_fail("--sub", "%s", why);
    if (name.len != given.len)
        options_fail("--sub", "the name begins or ends with white space; remove it");
    if (o->rooms.count == 0)
        options_fail("token", "--rooms NAME is missing; use --rooms '*' for all rooms");
    for (size_t i = 0; i < o->rooms.count; i++)
        if ((why = rule_room(o->rooms.items[i])) != NULL)
            options_fail("--rooms", "%s", why);
}

/* Splits values at commas: "--rooms lobby,news" is two values, because a room's name contains no
 * comma. The server's lists are split only in variables, which cannot be repeated. */
static void split_lists(struct spans *values)
{
    struct spans whole = *values;
    struct span piece;
    *values = (struct spans) { NULL, 0 };
    for (size_t i = 0; i < whole.count; i++)
        while (span_split(&whole.items[i], ',', &piece))
            field_add(values, span_trim(piece));
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

/* Expects the word and the file before the options. */
void options_read_journal(struct journal_options *o, int argc, char **argv)
{
    *o = (struct journal_options) { 0 };
    if (argc < 2 || strncmp(argv[1], "--", 2) == 0) {
        read_arguments(&journal_command, o, argc, argv);
        options_fail("journal", "say check or export, then the file; see --help");
    }
    o->exports = strcmp(argv[1], "export") == 0;
    if (!o->exports && strcmp(argv[1], "check") != 0)
        options_fail(argv[1], "there is no such command; use check or export");
    if (argc > 2 && strncmp(argv[2], "--", 2) != 0) {
        o->file = argv[2];
        read_arguments(&journal_command, o, argc - 2, argv + 2);
    } else {
        read_arguments(&journal_command, o, argc - 1, argv + 1);
        options_fail(argv[1], "the file is missing; it comes before the options");
    }
    if (o->room != NULL && !o->exports)
        options_fail("--room", "only export takes this option");
    const char *why = o->room != NULL ? rule_room(span_of(o->room)) : NULL;
    if (why != NULL)
        options_fail("--room", "%s", why);
}

/* Expects the URL before the options, if there is one. */
void options_read_probe(struct probe_options *o, int argc, char **argv)
{
    *o = (struct probe_options) { .url = "http://127.0.0.1:8080" };
    set_initial(&probe_command, o);
    if (argc > 1 && strncmp(argv[1], "--", 2) != 0) {
        o->url = argv[1];
        argc--;
        argv++;
    }
    read_arguments(&probe_command, o, argc, argv);
}
