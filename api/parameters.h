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

/* The parameters of a URL's query, decoded where they lie. What is not given has a NULL `at`. */
struct parameters {
    struct span values[PARAM_COUNT];
    struct span rooms[STREAM_ROOMS_MAX];
    size_t room_count;
};

/* Reads the query of the client's request, decoding it where it lies. Unknown parameters are
 * ignored; without `room` it is the lobby. False when it was wrong, and then that is answered. */
bool parameters_read(struct client *c, struct parameters *p);

/* A number from a parameter: `initial` when it is not given, `max` when it is more. False when it
 * is no number. */
bool parameters_count(struct span value, unsigned initial, unsigned max, unsigned *count);

/* Undoes percent-encoding where it lies; `plus`: a '+' is a space. False when it is broken. */
bool parameters_decode(struct span *s, bool plus);

#endif
