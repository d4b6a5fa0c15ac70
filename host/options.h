/* options.h - the operator's settings, from the command line and the environment. */

#ifndef OPTIONS_H
#define OPTIONS_H

#include "auth/access.h"
#include "base/log.h"
#include "hub/settings.h"
#include "net/settings.h"
#include "store/journal.h"

/* Each folder defines the struct of its own settings; only sse.c and host/ see all of them. Strings
 * are borrowed from argv and the environment. */
struct options {
    struct hub_settings hub;
    struct journal_settings journal;
    struct net_settings net;
    struct access_settings access;
    struct spans listen;      /* host:port, [v6]:port, unix:/path */
    const char *metrics;      /* an address like those; NULL: none */
    const char *www;          /* a folder; NULL: the page in the binary */
    struct spans trust_proxy; /* as given; net.trusted has the parsed form */
    uint64_t drain_ms;        /* the longest that a graceful shutdown may take */
    enum log_level log_level;
    bool check; /* only check the options */
};

/* Reads the environment (SSECHAT_NAME for --name) and then the command line, which takes
 * precedence. On a mistake it writes one sentence to standard error and exits with EXIT_USAGE;
 * --help and --version print to standard output and exit with 0. */
void options_read(struct options *o, int argc, char **argv);

/* The options of `ssechat token`. */
struct token_options {
    const char *key;    /* the key file */
    const char *sub;    /* the user's name; NULL: the user may choose one */
    struct spans rooms; /* "*" among them means all; the caller frees `items` */
    bool publish;
    uint64_t ttl_ms;
};

/* Reads the arguments after `ssechat token` in the same way, but not the environment, because
 * SSECHAT_KEY is for the server, and a token must not be signed with it by accident. */
void options_read_token(struct token_options *o, int argc, char **argv);

/* The arguments of `ssechat journal`. */
struct journal_options {
    bool exports;     /* export; otherwise check */
    const char *file; /* the journal */
    const char *room; /* the only room to export; NULL: all */
};

/* Reads the arguments after `ssechat journal`; argv[0] is that word. */
void options_read_journal(struct journal_options *o, int argc, char **argv);

/* The arguments of `ssechat probe`. */
struct probe_options {
    const char *url;
    uint64_t timeout_ms;
};

/* Reads the arguments after `ssechat probe`; argv[0] is that word. */
void options_read_probe(struct probe_options *o, int argc, char **argv);

/* Writes "ssechat: SOURCE: ..." to standard error and exits with EXIT_USAGE. `source` is the option
 * or the variable that is wrong. */
__attribute__((noreturn, format(printf, 2, 3))) void options_fail(
    const char *source, const char *format, ...);

#endif
