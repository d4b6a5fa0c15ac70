/* rules.c - the rules of rules.h.
 *
 * Some rules are for security. Control characters are refused, because a line end in an event's
 * name could forge a line of the stream (frame.c). Rooms, names and events also contain nothing
 * that can make one look like another: nothing invisible, and nothing that changes the direction of
 * text. Text must be valid UTF-8 (RFC 3629), because clients decode streams and JSON as UTF-8, and
 * some repair invalid bytes that others refuse. The other rules are for usability: length limits
 * keep frames and presence small, and a message without a visible character would be a blank line
 * in a chat.
 *
 * A message may contain bidirectional controls and invisible characters, because texts that are
 * copied from other programs often do. A page must isolate it from the text around it, as it must
 * anyway: a message of Arabic letters has a direction too.
 *
 * Lengths are in bytes for what machines compare (rooms, events, keys) and in characters (Unicode
 * code points) for what users write (names, messages). The meaning and the width of a text are left
 * to the page. So are letters that look alike, such as Latin and Cyrillic "a": only a token
 * proves the author of a message. */

#include "hub/rules.h"

#include "base/scan.h"
#include "base/text.h"

/* ==== Rooms, names and events ================================================================ */

/* What to say of a character that a field must not contain, by its class; TEXT_VISIBLE stands for
 * bytes that are not UTF-8. */
#define FAULTS(field)                                                                             \
    {                                                                                             \
        [TEXT_VISIBLE] = field " is not UTF-8; encode it as UTF-8.",                              \
        [TEXT_CONTROL] = field " contains a control character, such as a tab or a line end; "     \
                               "remove it.",                                                      \
        [TEXT_SEPARATOR] = field " contains a line or paragraph separator (U+2028 or U+2029); "   \
                                 "remove it.",                                                    \
        [TEXT_BIDI] = field " contains a character that controls the direction of text, such as " \
                            "U+200E or U+202E; remove it.",                                       \
        [TEXT_JOINER] = field " contains a joiner (U+200C or U+200D) that is not between two "    \
                              "visible characters; remove it.",                                   \
        [TEXT_SELECTOR] = field " contains a variation selector, such as U+FE0F, that does not "  \
                                "follow a visible character; remove it.",                         \
        [TEXT_INVISIBLE] = field " contains an invisible character, such as U+200B, U+00AD or "   \
                                 "U+3164; remove it.",                                            \
    }

/* Returns whether a character may follow one of the class `before`; at the start, that is a space.
 * So every character that cannot be seen changes one that can: joiners stand between visible
 * characters, the first of which can have a variation selector, as in many emoji. */
static bool may_follow(enum text_class before, enum text_class class)
{
    switch (class) {
    case TEXT_VISIBLE:
        return true;
    case TEXT_SPACE:
        return before != TEXT_JOINER;
    case TEXT_JOINER:
        return before == TEXT_VISIBLE || before == TEXT_SELECTOR;
    case TEXT_SELECTOR:
        return before == TEXT_VISIBLE;
    default:
        return false;
    }
}

/* Checks every character of a field; returns NULL, or the sentence for the first fault. Most fields
 * are printable ASCII, and need no look at each character. */
static const char *find_fault(struct span text, const char *const faults[TEXT_CLASSES])
{
    enum text_class before = TEXT_SPACE;
    if (text_plain(text) == text.len)
        return NULL;
    int32_t c;
    while ((c = text_next(&text)) >= 0) {
        enum text_class class = text_class(c);
        if (!may_follow(before, class))
            return faults[class == TEXT_SPACE ? before : class];
        if (c == TEXT_BLACK_FLAG)
            scan_skip(&text, text_flag(text));
        before = class;
    }
    if (c == -1)
        return faults[TEXT_VISIBLE];
    return before == TEXT_JOINER ? faults[TEXT_JOINER] : NULL;
}

/* Refuses commas, which separate the rooms in a list (`room=a,b`), and slashes, so that a name fits
 * into one segment of a path. */
const char *rule_room(struct span room)
{
    static const char *const faults[] = FAULTS("The room name");
    if (room.len < 1 || room.len > ROOM_MAX_BYTES)
        return "The room name must have 1 to 64 bytes.";
    const char *why = find_fault(room, faults);
    if (why == NULL && (span_find(room, ',') < room.len || span_find(room, '/') < room.len))
        why = "The room name contains a comma or a slash; use other characters.";
    return why;
}

/* Checks the characters before trimming, so that a tab or a line end at the end of a name is
 * refused, not trimmed; checks the length after trimming. Counts characters only in a long name,
 * because a text never has more characters than bytes. */
const char *rule_name(struct span *name)
{
    static const char *const faults[] = FAULTS("The name");
    const char *why = find_fault(*name, faults);
    if (why != NULL)
        return why;
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
    static const char *const faults[] = FAULTS("The event name");
    static const char *const ours[] = { "ready", "gap", "presence", "heartbeat", "busy", "delete",
        "mute", "open", "error" };
    if (event.len < 1 || event.len > EVENT_MAX_BYTES)
        return "The event name must have 1 to 64 bytes; leave it out for the default event.";
    const char *why = find_fault(event, faults);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (span_equal(span_of(ours[i]), event))
            why = "The event names ready, gap, presence, heartbeat, busy, delete, mute, open and "
                  "error are reserved; choose another one.";
    return why;
}

/* ==== Messages and keys ====================================================================== */

/* Finds the first control character except tab, CR and LF. Returns that character or, like
 * text_next, -1 if the text is not UTF-8 and -2 if there is none. Printable ASCII, the bulk of most
 * texts, is skipped a word at a time. */
static int32_t find_control(struct span text)
{
    int32_t c;
    do {
        size_t plain = text_plain(text);
        text.at += plain, text.len -= plain;
        c = text_next(&text);
        if (c >= 0 && text_is_control(c) && c != '\t' && c != '\r' && c != '\n')
            return c;
    } while (c >= 0);
    return c;
}

/* Counts characters only in long texts, as rule_name does. */
const char *rule_message(struct span message)
{
    int32_t c = find_control(message);
    if (c == -1)
        return "The message is not UTF-8; encode it as UTF-8.";
    if (c >= 0)
        return "The message contains a control character other than tab, CR and LF; remove it.";
    if (message.len > MESSAGE_MAX_CHARACTERS && text_length(message) > MESSAGE_MAX_CHARACTERS)
        return "The message has more than 4096 characters; send it in parts.";
    if (!text_is_visible(message))
        return "The message has no visible character: it is empty, or has only white space and "
               "invisible characters; write at least one other character.";
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
