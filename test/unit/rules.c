/* rules.c - a driver for rules.c. Standard input is the value of a field; the argument is the
 * field:
 *
 *     rules room|name|event|message     prints `ok`, or the sentence that tells what to change
 *
 * The driver also checks the promises of rules.h, with the input directly before an unreadable
 * page. A broken promise (driver.h) calls abort. With -DFUZZ the same checks are a libFuzzer
 * target. */

#include "hub/rules.h"
#include "base/text.h"
#include "driver.h"
#include "utf8.h"

/* ---- The promises ------------------------------------------------------------------------- */

/* Checks that no two values that pass look the same because of what cannot be seen: every such
 * character stands beside one that can. */
static void check_strict(struct span text)
{
    enum text_class before = TEXT_SPACE, class = TEXT_SPACE;
    check(is_utf8(text), "a field that passes is UTF-8");
    for (int32_t c; (c = text_next(&text)) >= 0; before = class) {
        size_t tags = c == TEXT_BLACK_FLAG ? text_flag(text) : 0;
        class = text_class(c);
        text = (struct span) { text.at + tags, text.len - tags };
        check(class == TEXT_VISIBLE || class == TEXT_SPACE || class == TEXT_JOINER ||
                  class == TEXT_SELECTOR,
            "a field that passes has no control and no invisible character");
        check(before != TEXT_JOINER || class == TEXT_VISIBLE, "a joiner precedes what is visible");
        check(class != TEXT_SELECTOR || before == TEXT_VISIBLE,
            "a variation selector follows what is visible");
        check(class != TEXT_JOINER || before == TEXT_VISIBLE || before == TEXT_SELECTOR,
            "a joiner follows what is visible");
    }
    check(class != TEXT_JOINER, "a joiner is not the last character");
}

/* Checks that a name that passes does so again, and is not changed again. */
static void check_name(struct span name)
{
    struct span once = name;
    if (rule_name(&once) != NULL)
        return;
    struct span twice = once;
    check_strict(name);
    check(once.at >= name.at && once.at + once.len <= name.at + name.len,
        "a trimmed name is a part of the name");
    check(rule_name(&twice) == NULL && twice.at == once.at && twice.len == once.len,
        "a name that passes does so again, unchanged");
    check(text_is_visible(once), "a name can be seen");
    check(once.len <= NAME_MAX_BYTES, "a name has at most NAME_MAX_BYTES");
}

static void check_rules(struct span text)
{
    check_name(text);
    if (rule_room(text) == NULL) {
        check_strict(text);
        check(text.len >= 1 && text.len <= ROOM_MAX_BYTES, "a room has 1 to ROOM_MAX_BYTES");
    }
    if (rule_event(text) == NULL) {
        check_strict(text);
        check(text.len >= 1 && text.len <= EVENT_MAX_BYTES, "an event has 1 to EVENT_MAX_BYTES");
    }
    if (rule_message(text) == NULL)
        check(is_utf8(text) && text_is_visible(text), "a message is UTF-8, and can be seen");
}

/* Checks the rules for a copy before an unreadable page. */
static void check_guarded(struct span text)
{
    struct guarded g = guarded_new(text.len);
    check_rules(at_end(g, text));
    guarded_free(g);
}

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    check_guarded((struct span) { (const char *)data, size });
    return 0;
}

#else

/* Prints the rule's answer. Returns false if there is no such field. */
static bool show(const char *field, struct span value)
{
    const char *why;
    if (strcmp(field, "room") == 0)
        why = rule_room(value);
    else if (strcmp(field, "name") == 0)
        why = rule_name(&value);
    else if (strcmp(field, "event") == 0)
        why = rule_event(value);
    else if (strcmp(field, "message") == 0)
        why = rule_message(value);
    else
        return false;
    puts(why != NULL ? why : "ok");
    return true;
}

int main(int argc, char **argv)
{
    struct span value = read_input();
    check_guarded(value);
    bool known = argc == 2 && show(argv[1], value);
    span_free(value);
    if (known)
        return 0;
    fprintf(stderr, "usage: rules room|name|event|message <VALUE\n");
    return 2;
}

#endif
