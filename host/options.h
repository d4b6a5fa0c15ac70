/* options.h - what the operator asks for, on the command line or in the environment. */

#ifndef OPTIONS_H
#define OPTIONS_H

#include "auth/access.h"
#include "base/log.h"
#include "hub/settings.h"
#include "net/settings.h"
#include "store/journal.h"

/* Each part is the settings of what reads it. */
struct options {
    struct hub_settings hub;
    struct journal_settings journal;
    struct net_settings net;
    struct access_settings access;
    struct spans listen;      /* host:port, [v6]:port, unix:/path */
    const char *www;          /* a folder; NULL: the page inside the binary */
    struct spans trust_proxy; /* as it was given; net.trusted is what it says */
    uint64_t drain_ms;
    enum log_level log_level;
    bool check;
};

/* Reads the environment (SSECHAT_NAME for --name) and then the command line, which wins. On a
 * mistake it writes one sentence to standard error and exits with EXIT_USAGE; --help and --version
 * are answered here too, and exit with 0. */
void options_read(struct options *o, int argc, char **argv);

/* `ssechat token`: what the token is to say. */
struct token_options {
    const char *key;
    const char *sub; /* NULL: none */
    struct spans rooms;
    bool publish;
    uint64_t ttl_ms;
};

/* The same for the words behind `ssechat token`; nothing comes from the environment. */
void options_read_token(struct token_options *o, int argc, char **argv);

/* Exits with EXIT_USAGE: "ssechat: `source`: ..." */
__attribute__((noreturn, format(printf, 2, 3))) void options_fail(
    const char *source, const char *format, ...);

#endif
