/* parameters.c - reads the query of a URL, "room=lobby&name=ann".
 *
 * The query is split first and decoded afterwards, each name and value separately, so an encoded
 * '&' or '=' is part of a value. '+' is a space, as in HTML forms
 * (application/x-www-form-urlencoded, URL Standard). Names and values are decoded in place, in the
 * client's input buffer, because they only become shorter. The price: a query can be read only
 * once, so the token must be taken from it first (routes.c).
 *
 * Unknown parameters are ignored. Rooms and names are checked here, because several URLs have them;
 * events.c and messages.c read all other values. */

#include "api/parameters.h"

#include "api/answer.h"
#include "base/uri.h"
#include "hub/rules.h"

/* The most names of rooms, with those that are named again, so that a URL which consists of
 * thousands of them costs no more than any other. */
enum { NAMES_MAX = 64 };

/* Adds the rooms of one `room` parameter, a comma-separated list; the parameter can be repeated. A
 * room that is named twice counts once, because a stream has one place in a room. Compares each
 * room with all others, which is fine for 16. Returns NULL or an error message, as does
 * add_parameter. */
static const char *add_rooms(struct parameters *p, struct span list)
{
    struct span room;
    while (span_split(&list, ',', &room)) {
        if (++p->room_names > NAMES_MAX)
            return "The URL names more than 64 rooms; a stream can have at most 16.";
        const char *why = rule_room(room);
        if (why != NULL)
            return why;
        bool known = false;
        for (size_t i = 0; i < p->room_count; i++)
            known |= span_equal(p->rooms[i], room);
        if (known)
            continue;
        if (p->room_count == STREAM_ROOMS_MAX)
            return "A stream can have at most 16 rooms; open another stream for the rest.";
        p->rooms[p->room_count++] = room;
    }
    return NULL;
}

/* Keeps the value of a known parameter. A parameter that is given twice is an error, because the
 * two values could contradict each other. The id to resume from is an exception: its last value
 * counts, because an error would end an EventSource for good. Some polyfills of EventSource send
 * lastEventId; last_event_id takes precedence over it. */
static const char *add_parameter(struct parameters *p, struct span name, struct span value)
{
    static const char *const names[PARAM_COUNT] = { "room", "name", "history", "last_event_id",
        "event", "after", "before", "limit", "wait" };
    if (span_equal(name, SPAN("room")))
        return add_rooms(p, value);
    if (span_equal(name, SPAN("lastEventId"))) {
        if (p->values[PARAM_LAST_EVENT_ID].at == NULL)
            p->values[PARAM_LAST_EVENT_ID] = value;
        return NULL;
    }
    for (int i = 0; i < PARAM_COUNT; i++) {
        if (!span_equal(name, span_of(names[i])))
            continue;
        if (p->values[i].at != NULL && i != PARAM_LAST_EVENT_ID)
            return "A URL parameter was given twice; send it once.";
        p->values[i] = value;
    }
    return NULL;
}

/* Empties `*s` if it returns false. */
bool parameters_decode(struct span *s, bool plus)
{
    ptrdiff_t len = uri_decode(*s, plus, span_bytes(*s));
    s->len = len < 0 ? 0 : (size_t)len;
    return len >= 0;
}

/* Decodes a value, in place. A malformed id to resume from stays encoded, as a text that is no id,
 * because it must not end an EventSource. Returns false if the value is malformed. */
static bool decode_value(struct span name, struct span *value)
{
    struct span encoded = *value;
    if (parameters_decode(value, true))
        return true;
    *value = encoded;
    return span_equal(name, SPAN("last_event_id")) || span_equal(name, SPAN("lastEventId"));
}

bool parameters_read(struct client *c, struct parameters *p)
{
    struct span query = http_span(exchange_request(c)->query, exchange_bytes(c)), name, value;
    const char *why = NULL;
    unsigned count = 0;
    *p = (struct parameters) { 0 };
    while (why == NULL && uri_parameter(&query, &name, &value)) {
        if (value.at == NULL) /* "room" means "room=" */
            value = (struct span) { name.at + name.len, 0 };
        if (++count > URI_PARAMETERS_MAX)
            why = "The URL has more than 64 parameters; leave out those that are not needed.";
        else if (!parameters_decode(&name, true) || !decode_value(name, &value))
            why = "A % in the URL must be followed by two hexadecimal digits; write %25 for a % "
                  "itself.";
        else
            why = add_parameter(p, name, value);
    }
    if (why == NULL && p->room_count == 0)
        p->rooms[p->room_count++] = SPAN("lobby");
    if (why == NULL && p->values[PARAM_NAME].at != NULL)
        why = rule_name(&p->values[PARAM_NAME]);
    if (why != NULL)
        answer_problem(c, 400, why);
    return why == NULL;
}

/* Lowers a number above `max` to `max`, so that clients need not know the limit; a number above
 * 999999999999, which can only be a mistake, is still an error. */
bool parameters_count(struct span value, unsigned initial, unsigned max, unsigned *count)
{
    unsigned long long number;
    *count = initial;
    if (value.at == NULL)
        return true;
    if (!span_number(value, 999999999999, &number))
        return false;
    *count = number < max ? (unsigned)number : max;
    return true;
}
