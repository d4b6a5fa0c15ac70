/* parameters.h - the parameters in the query of a URL. */

#ifndef PARAMETERS_H
#define PARAMETERS_H

#include "net/client.h"

enum parameter {
    PARAM_ROOM,
    PARAM_NAME,
    PARAM_HISTORY,
    PARAM_LAST_EVENT_ID,
    PARAM_EVENT,
    PARAM_AFTER,
    PARAM_BEFORE,
    PARAM_LIMIT,
    PARAM_WAIT,
    PARAM_COUNT
};

/* The parameters of a query. Values are decoded and lie in the request's bytes; `at` is NULL for a
 * parameter that is not given. */
struct parameters {
    struct span values[PARAM_COUNT];
    struct span rooms[STREAM_ROOMS_MAX];
    size_t room_count;
};

/* Reads the query of the client's request, decoding it in place: once a request. Without `room` the
 * only room is the lobby. False when the client has been answered 400. */
bool parameters_read(struct client *c, struct parameters *p);

/* Reads a number from a parameter: `initial` when it is not given, `max` when it is greater. False
 * when it is not a number. */
bool parameters_count(struct span value, unsigned initial, unsigned max, unsigned *count);

/* Undoes percent-encoding in place; with `plus` a '+' becomes a space. False when a '%' is not
 * followed by two hexadecimal digits. */
bool parameters_decode(struct span *s, bool plus);

#endif
