/* rules.h - what the fields of a message and the parameters of a URL may hold.
 *
 * Each function returns NULL when the value keeps its rule, otherwise a sentence (a constant) that
 * tells the sender what to change. Values are bytes from outside, so that UTF-8 is a part of every
 * rule. What has passed here is never checked again: frame.c relies on it. */

#ifndef RULES_H
#define RULES_H

#include "base/bytes.h"

enum {
    ROOM_MAX_BYTES = 64,
    EVENT_MAX_BYTES = 64,
    KEY_MAX_BYTES = 64,
    NAME_MAX_CHARACTERS = 32,
    NAME_MAX_BYTES = 4 * NAME_MAX_CHARACTERS,
    MESSAGE_MAX_CHARACTERS = 4096,
};

const char *rule_room(struct span room);

/* Also removes the white space at the name's ends from the span. */
const char *rule_name(struct span *name);
const char *rule_event(struct span event);
const char *rule_message(struct span message);
const char *rule_key(struct span key);

#endif
