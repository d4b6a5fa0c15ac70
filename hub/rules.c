/* rules.c - the rules of rules.h, in the order of the fields. */

#include "hub/rules.h"

#include "base/text.h"

/* The first character that must not be there, -1 when the text is no UTF-8, -2 when all is well. */
static int32_t find_control(struct span text, bool lines)
{
    int32_t c;
    do {
        size_t plain = text_plain(text);
        text.at += plain, text.len -= plain;
        c = text_next(&text);
        if (c >= 0 && text_is_control(c) && !(lines && (c == '\t' || c == '\r' || c == '\n')))
            return c;
    } while (c >= 0);
    return c;
}

const char *rule_room(struct span room)
{
    if (room.len < 1 || room.len > ROOM_MAX_BYTES)
        return "The room name must have 1 to 64 bytes.";
    int32_t c = find_control(room, false);
    if (c == -1)
        return "The room name is not UTF-8; encode it as UTF-8.";
    if (c >= 0 || memchr(room.at, ',', room.len) != NULL || memchr(room.at, '/', room.len) != NULL)
        return "The room name contains a control character, a comma or a slash; use other "
               "characters.";
    return NULL;
}

const char *rule_name(struct span *name)
{
    int32_t c = find_control(*name, false);
    if (c == -1)
        return "The name is not UTF-8; encode it as UTF-8.";
    if (c >= 0)
        return "The name contains a control character; remove it.";
    *name = text_trim(*name);
    if (name->len < 1 || text_length(*name) > NAME_MAX_CHARACTERS)
        return "The name must have 1 to 32 characters, without the white space at its ends; leave "
               "it out to be anonymous.";
    return NULL;
}

const char *rule_event(struct span event)
{
    static const char *const ours[] = { "ready", "gap", "presence", "heartbeat", "busy", "open",
        "error" };
    if (event.len < 1 || event.len > EVENT_MAX_BYTES)
        return "The event name must have 1 to 64 bytes; leave it out for the default event.";
    int32_t c = find_control(event, false);
    if (c == -1)
        return "The event name is not UTF-8; encode it as UTF-8.";
    if (c >= 0)
        return "The event name contains a control character; remove it.";
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (span_equal(span_of(ours[i]), event))
            return "The event names ready, gap, presence, heartbeat, busy, open and error are "
                   "reserved; choose another one.";
    return NULL;
}

const char *rule_message(struct span message)
{
    int32_t c = find_control(message, true);
    if (c == -1)
        return "The message is not UTF-8; encode it as UTF-8.";
    if (c >= 0)
        return "The message contains a control character other than tab, CR and LF; remove it.";
    if (message.len > MESSAGE_MAX_CHARACTERS && text_length(message) > MESSAGE_MAX_CHARACTERS)
        return "The message has more than 4096 characters; send it in parts.";
    if (text_trim(message).len == 0)
        return "The message is empty or only white space; write at least one other character.";
    return NULL;
}

const char *rule_key(struct span key)
{
    bool visible = true;
    for (size_t i = 0; i < key.len; i++)
        visible &= key.at[i] > ' ' && key.at[i] < 0x7f;
    if (key.len < 1 || key.len > KEY_MAX_BYTES || !visible)
        return "The Idempotency-Key must have 1 to 64 visible ASCII characters, without spaces.";
    return NULL;
}
