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
        return "A room's name has 1 to 64 bytes.";
    int32_t c = find_control(room, false);
    if (c == -1)
        return "A room's name must be UTF-8.";
    if (c >= 0 || memchr(room.at, ',', room.len) != NULL || memchr(room.at, '/', room.len) != NULL)
        return "A room's name must have no control character, comma or slash.";
    return NULL;
}

const char *rule_name(struct span *name)
{
    int32_t c = find_control(*name, false);
    if (c == -1)
        return "A name must be UTF-8.";
    if (c >= 0)
        return "A name must have no control character.";
    *name = text_trim(*name);
    if (name->len < 1 || text_length(*name) > NAME_MAX_CHARACTERS)
        return "A name has 1 to 32 characters, not counting white space at its ends; leave the "
               "field out to be anonymous.";
    return NULL;
}

const char *rule_event(struct span event)
{
    static const char *const ours[] = { "ready", "gap", "presence", "heartbeat", "busy", "open",
        "error" };
    if (event.len < 1 || event.len > EVENT_MAX_BYTES)
        return "An event's name has 1 to 64 bytes; leave the field out for the default event.";
    int32_t c = find_control(event, false);
    if (c == -1)
        return "An event's name must be UTF-8.";
    if (c >= 0)
        return "An event's name must have no control character.";
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (span_equal(span_of(ours[i]), event))
            return "ready, gap, presence, heartbeat, busy, open and error are the server's own or "
                   "the browser's events; choose another name.";
    return NULL;
}

const char *rule_message(struct span message)
{
    int32_t c = find_control(message, true);
    if (c == -1)
        return "A message must be UTF-8.";
    if (c >= 0)
        return "A message must have no control character but tab, CR and LF.";
    if (message.len > MESSAGE_MAX_CHARACTERS && text_length(message) > MESSAGE_MAX_CHARACTERS)
        return "A message has at most 4096 characters; send it in parts.";
    if (text_trim(message).len == 0)
        return "A message needs at least one character that is not white space.";
    return NULL;
}

const char *rule_key(struct span key)
{
    bool visible = true;
    for (size_t i = 0; i < key.len; i++)
        visible &= key.at[i] > ' ' && key.at[i] < 0x7f;
    if (key.len < 1 || key.len > KEY_MAX_BYTES || !visible)
        return "An Idempotency-Key has 1 to 64 visible ASCII characters.";
    return NULL;
}
