/* settings.h - the operator's settings for rooms: --history, --max-rooms, --room-ttl, --room. */

#ifndef HUB_SETTINGS_H
#define HUB_SETTINGS_H

#include "base/bytes.h"

struct hub_settings {
    uint64_t history;     /* bytes per room, a power of two */
    uint64_t max_rooms;   /* 0: no limit */
    uint64_t room_ttl_ms; /* how long a silent room without streams is kept */
    struct spans allowed; /* the only rooms that are allowed; empty: any */
};

#endif
