/* rules.h - what the fields of a message and the parameters of a URL may contain.
 *
 * Each function returns NULL if the value follows its rule, otherwise a sentence (a constant) that
 * tells the sender what to change. Values are bytes from outside, so every rule requires UTF-8. A
 * value that has passed is never checked again: frame.c relies on these rules. */

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

/* Also trims white space from both ends of the name. */
const char *rule_name(struct span *name);
const char *rule_event(struct span event);
const char *rule_message(struct span message);
const char *rule_key(struct span key);

#endif
