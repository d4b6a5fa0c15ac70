/* rules.h - what the fields of a message and the parameters of a URL may hold.
 *
 * Each returns NULL when the value keeps its rule, or the sentence that tells the person who sent
 * it what to change. Values are bytes from outside: that they are UTF-8 is part of every rule. */

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

/* Also takes the white space off the name's ends. */
const char *rule_name(struct span *name);
const char *rule_event(struct span event);
const char *rule_message(struct span message);
const char *rule_key(struct span key);

#endif
