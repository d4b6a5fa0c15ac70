/* parameters.c - reads "room=lobby&name=ann", as a form would write it: '+' is a space. */

#include "api/parameters.h"

#include "api/answer.h"
#include "base/uri.h"
#include "hub/rules.h"

static const char *add_rooms(struct parameters *p, struct span list)
{
    struct span room;
    while (span_split(&list, ',', &room)) {
        const char *why = rule_room(room);
        if (why != NULL)
            return why;
        bool known = false;
        for (size_t i = 0; i < p->room_count; i++)
            known |= span_equal(p->rooms[i], room);
        if (known)
            continue;
        if (p->room_count == STREAM_ROOMS_MAX)
            return "A stream has at most 16 rooms; open another one for the rest.";
        p->rooms[p->room_count++] = room;
    }
    return NULL;
}

/* lastEventId is a second spelling of last_event_id, and yields to it. */
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
            return "A parameter is given twice; give it once.";
        p->values[i] = value;
    }
    return NULL;
}

bool parameters_decode(struct span *s, bool plus)
{
    ptrdiff_t len = uri_decode(*s, plus, span_bytes(*s));
    s->len = len < 0 ? 0 : (size_t)len;
    return len >= 0;
}

bool parameters_read(struct client *c, struct parameters *p)
{
    struct span query = http_span(exchange_request(c)->query, exchange_bytes(c)), name, value;
    const char *why = NULL;
    *p = (struct parameters) { 0 };
    while (why == NULL && span_split(&query, '&', &value)) {
        span_split(&value, '=', &name);
        if (value.at == NULL)
            value = (struct span) { name.at + name.len, 0 };
        if (!parameters_decode(&name, true) || !parameters_decode(&value, true))
            why = "In a URL a % must be followed by two hexadecimal digits.";
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
