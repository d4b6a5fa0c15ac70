/* rules.c - the rules of rules.h.
 *
 * Two rules are for security. Control characters are refused, because a line end in an event's name
 * could forge a line of the stream (frame.c), and a bidirectional override can make one name look
 * like another. Text must be valid UTF-8 (RFC 3629), because clients decode streams and JSON as
 * UTF-8, and some repair invalid bytes that others refuse. The other rules are for usability:
 * length limits keep frames and presence small, and a message of only white space would be a blank
 * line in a chat.
 *
 * Lengths are in bytes for what machines compare (rooms, events, keys) and in characters (Unicode
 * code points) for what users write (names, messages). The meaning and the width of a text are left
 * to the page. */

#include "hub/rules.h"

#include "base/text.h"

/* Finds the first control character; if `lines`, tab, CR and LF are allowed. Returns that character
 * or, like text_next, -1 if the text is not UTF-8 and -2 if there is none. Printable ASCII, the
 * bulk of most texts, is skipped a word at a time. */
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

/* Refuses commas, which separate the rooms in a list (`room=a,b`), and slashes, so that a name fits
 * into one segment of a path. */
const char *rule_room(struct span room)
{
    if (room.len < 1 || room.len > ROOM_MAX_BYTES)
        return "The room name must have 1 to 64 bytes.";
    int32_t c = find_control(room, false);
    if (c == -1)
        return "The room name is not UTF-8; encode it as UTF-8.";
    if (c >= 0 || span_find(room, ',') < room.len || span_find(room, '/') < room.len)
        return "The room name contains a control character, a comma or a slash; use other "
               "characters.";
    return NULL;
}

/* Looks for control characters before trimming, so that a tab or a line end at the end of a name is
 * refused, not trimmed; checks the length after trimming. Counts characters only in a long name,
 * because a text never has more characters than bytes. */
const char *rule_name(struct span *name)
{
    int32_t c = find_control(*name, false);
    if (c == -1)
        return "The name is not UTF-8; encode it as UTF-8.";
    if (c >= 0)
        return "The name contains a control character; remove it.";
    *name = text_trim(*name);
    if (name->len < 1 ||
        (name->len > NAME_MAX_CHARACTERS && text_length(*name) > NAME_MAX_CHARACTERS))
        return "The name must have 1 to 32 characters, not counting white space at its ends; leave "
               "it out to be anonymous.";
    return NULL;
}

/* Reserves names, so that a POST cannot imitate the server: a client that listens for `ready` or
 * `gap` must get only the server's events. EventSource itself fires `open` and `error`. */
const char *rule_event(struct span event)
{
    static const char *const ours[] = { "ready", "gap", "presence", "heartbeat", "busy", "delete",
        "mute", "open", "error" };
    if (event.len < 1 || event.len > EVENT_MAX_BYTES)
        return "The event name must have 1 to 64 bytes; leave it out for the default event.";
    int32_t c = find_control(event, false);
    if (c == -1)
        return "The event name is not UTF-8; encode it as UTF-8.";
    if (c >= 0)
        return "The event name contains a control character; remove it.";
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (span_equal(span_of(ours[i]), event))
            return "The event names ready, gap, presence, heartbeat, busy, delete, mute, open and "
                   "error are reserved; choose another one.";
    return NULL;
}

/* Counts characters only in long texts, as rule_name does. */
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

/* Allows only visible ASCII, which passes unchanged in any field value (RFC 9110 5.5). */
const char *rule_key(struct span key)
{
    bool visible = true;
    for (size_t i = 0; i < key.len; i++)
        visible &= key.at[i] > ' ' && key.at[i] < 0x7f;
    if (key.len < 1 || key.len > KEY_MAX_BYTES || !visible)
        return "The Idempotency-Key must have 1 to 64 visible ASCII characters, without spaces.";
    return NULL;
}
