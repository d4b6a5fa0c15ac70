/* settings.h - what the operator says about rooms: --history, --max-rooms, --room-ttl, --room. */

#ifndef HUB_SETTINGS_H
#define HUB_SETTINGS_H

#include "base/bytes.h"

struct hub_settings {
    uint64_t history;     /* bytes a room, a power of two */
    uint64_t max_rooms;   /* 0: no limit */
    uint64_t room_ttl_ms; /* after which a silent room without streams is dropped */
    struct spans allowed; /* the only rooms that there may be; empty: any */
};

#endif
