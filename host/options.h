/* options.h - what the operator asks for, on the command line or in the environment. */

#ifndef OPTIONS_H
#define OPTIONS_H

#include "base/bytes.h"
#include "base/log.h"
#include "net/address.h"

#include <stdint.h>

/* A list of values of an option that may be given more than once. */
struct values {
    struct span *items;
    size_t count;
};

struct options {
    struct values listen; /* host:port, [v6]:port, unix:/path */
    const char *www;      /* NULL: the page inside the binary */
    uint64_t history;     /* bytes a room; a power of two */
    uint64_t max_rooms;   /* 0: no limit */
    struct values rooms;  /* the only ones; none: any */
    uint64_t room_ttl_ms;
    uint64_t max_streams;        /* 0: what the descriptors allow */
    uint64_t max_streams_per_ip; /* 0: no limit */
    uint64_t post_rate;          /* a second and address; 0: no limit */
    uint64_t max_body;           /* bytes */
    uint64_t heartbeat_ms;       /* 0: off */
    uint64_t retry_ms;
    struct values cors;  /* origins, or "*" */
    struct values hosts; /* the names in Host that are ours; none: any */
    struct values trust_proxy;
    struct network *trusted; /* what --trust-proxy says; */
    size_t trusted_count;
    bool trust_unix;     /* with "unix" among it */
    struct values keys;  /* files */
    const char *journal; /* NULL: memory only */
    bool sync;           /* before a message counts */
    uint64_t drain_ms;
    enum log_level log_level;
    bool check;
};

enum { EXIT_SYSTEM = 1, EXIT_USAGE = 2 };

/* Reads the environment (SSECHAT_NAME for --name) and then the command line, which wins. On a
 * mistake it writes one sentence to standard error and exits with EXIT_USAGE; --help and --version
 * are answered here too, and exit with 0. */
void options_read(struct options *o, int argc, char **argv);

/* `ssechat token`: what the token is to say. */
struct token_options {
    const char *key;
    const char *sub; /* NULL: none */
    struct values rooms;
    bool publish;
    uint64_t ttl_ms;
};

/* The same for the words behind `ssechat token`; nothing comes from the environment. */
void options_read_token(struct token_options *o, int argc, char **argv);

/* Writes one sentence to standard error and exits with EXIT_USAGE. */
__attribute__((noreturn, format(printf, 2, 3))) void options_fail(
    const char *source, const char *format, ...);

#endif
