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

/* The parameters of a query. Values are decoded and point into the request's bytes; `at` is NULL
 * for an absent parameter. */
struct parameters {
    struct span values[PARAM_COUNT];
    struct span rooms[STREAM_ROOMS_MAX];
    size_t room_count;
    unsigned room_names; /* with those that were named again */
};

/* Reads the query of the client's request and decodes it in place; call this once per request.
 * If `room` is absent, the only room is the lobby. Returns false if it has answered 400. */
bool parameters_read(struct client *c, struct parameters *p);

/* Reads a number from a parameter, and lowers it to `max` if it is larger; an absent parameter
 * means `initial`. Returns false if the value is not a number. */
bool parameters_count(struct span value, unsigned initial, unsigned max, unsigned *count);

/* Undoes percent-encoding in place, and turns '+' into a space if `plus` is set. Returns false if a
 * '%' is not followed by two hexadecimal digits. */
bool parameters_decode(struct span *s, bool plus);

#endif
