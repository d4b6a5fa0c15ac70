/* settings.h - the operator's settings for connections, and for how much one address may use. */

#ifndef NET_SETTINGS_H
#define NET_SETTINGS_H

#include "net/address.h"

struct net_settings {
    uint64_t memory;             /* bytes that there are, for all purposes */
    uint64_t max_body;           /* bytes */
    uint64_t heartbeat_ms;       /* 0: off */
    uint64_t keep_alive_ms;      /* how long a connection may be idle between requests */
    uint64_t retry_ms;           /* how long a client waits before it reconnects a stream */
    uint64_t max_streams;        /* 0: as many as the descriptors allow */
    uint64_t max_streams_per_ip; /* 0: no limit */
    uint64_t post_rate;          /* messages per second and address; 0: no limit */
    struct network *trusted;     /* networks of the operator's proxies */
    size_t trusted_count;
    bool trust_unix; /* clients of a unix socket are also trusted proxies */
    bool access_log; /* a line for each request: see request_log.h */
};

#endif
