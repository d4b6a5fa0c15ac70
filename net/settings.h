/* settings.h - what the operator says about connections, and how much one address may take. */

#ifndef NET_SETTINGS_H
#define NET_SETTINGS_H

#include "net/address.h"

struct net_settings {
    uint64_t max_body;           /* bytes */
    uint64_t heartbeat_ms;       /* 0: off */
    uint64_t retry_ms;           /* what a stream is told to wait before it reconnects */
    uint64_t max_streams;        /* 0: what the descriptors allow */
    uint64_t max_streams_per_ip; /* 0: no limit */
    uint64_t post_rate;          /* messages a second and address; 0: no limit */
    struct network *trusted;     /* proxies of the operator's; trusted_count of them */
    size_t trusted_count;
    bool trust_unix; /* whatever connects to a unix socket is one, too */
};

#endif
