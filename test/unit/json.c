/* json.c - a driver for json.c. It reads a document from standard input, and prints:
 *
 *     json decode NAME...    each requested field: its name, its type and its value
 *     json compact [NAME]    the field, or the complete document, in compact form
 *     json strings NAME      the strings of an array, one per line, then `end` or `no string`
 *     json escape            the input as a JSON string
 *
 * In a decoded value, backslashes and bytes outside printable ASCII appear as \xHH. For a refused
 * document the driver prints `error:` and the reason, and exits with code 1.
 *
 * The driver also checks every promise of json.h. Most are laws that need no expected output: an
 * escaped text decodes to itself, compacting a compact form changes nothing, an accepted value is
 * accepted in every document, and every beginning of an accepted document is refused. The document
 * is placed directly before and directly after an unreadable page. A broken promise (driver.h)
 * calls abort. With -DFUZZ the same checks are a libFuzzer target.
 *
 * The suite uses examples to check that invalid documents are refused. */

#include "json.h"
#include "base/text.h"
#include "driver.h"
#include "utf8.h"

/* ---- The promises ------------------------------------------------------------------------- */

/* Makes {"x":VALUE} and finds x in it. The caller frees the document with span_free. */
static struct span wrap(struct span value, struct json_field *x)
{
    struct span before = SPAN("{\"x\":");
    char *at = bytes_new(before.len + value.len + 1);
    memcpy(at, before.at, before.len);
    memcpy(at + before.len, value.at, value.len);
    at[before.len + value.len] = '}';
    struct span document = { at, before.len + value.len + 1 };
    *x = (struct json_field) { .name = SPAN("x") };
    check(json_find(document, x, 1) == NULL,
        "a value that was accepted is accepted in another document");
    check(span_equal(x->raw, value), "the raw value is exactly the value");
    return document;
}

/* Decodes a string into a copy, and also in place, which json_decode allows. The caller frees the
 * copy. */
static struct span decoded(struct span raw)
{
    char *out = bytes_new(raw.len);
    struct span text = { out, json_decode(raw, out) };
    check(text.len + 2 <= raw.len, "a decoded string is no longer than its source");
    check(is_utf8(text), "a decoded string is UTF-8");
    for (size_t shift = 0; shift < 2; shift++) {
        struct span place = copy_of(raw);
        char *same = (char *)(uintptr_t)place.at + shift;
        check(json_decode(place, same) == text.len,
            "decoding in place gives the same length as decoding into a copy");
        check(text.len == 0 || memcmp(same, out, text.len) == 0,
            "decoding in place gives the same text as decoding into a copy");
        span_free(place);
    }
    return text;
}

/* Checks that no byte and no separator (U+0085, U+2028, U+2029) of a text can end a line. */
static void check_unseparated(struct span text)
{
    static const struct span separators[] = { SPAN_INIT("\xc2\x85"), SPAN_INIT("\xe2\x80\xa8"),
        SPAN_INIT("\xe2\x80\xa9"), SPAN_INIT("\n"), SPAN_INIT("\r") };
    for (size_t i = 0; i < sizeof separators / sizeof separators[0]; i++)
        check(
            text.len == 0 || memmem(text.at, text.len, separators[i].at, separators[i].len) == NULL,
            "JSON that is sent has no separator");
}

/* Escapes a text. The caller frees the result. */
static struct span escaped(struct span text)
{
    char *out = bytes_new(JSON_ESCAPED_MAX(text.len));
    struct span raw = { out, json_escape(text, out) };
    check(raw.len <= JSON_ESCAPED_MAX(text.len),
        "an escaped text is no longer than JSON_ESCAPED_MAX");
    check_unseparated(raw);
    return raw;
}

/* Checks that escaping and decoding a text give it back. */
static void check_text(struct span text)
{
    struct json_field x;
    struct span raw = escaped(text);
    struct span document = wrap(raw, &x);
    check(x.type == JSON_STRING, "an escaped text is a string");
    struct span again = decoded(x.raw);
    check(span_equal(again, text), "escaping and decoding give the text back");
    span_free(again);
    span_free(document);
    span_free(raw);
}

/* Compacts a value. The caller frees the result. */
static struct span compacted(struct span raw)
{
    char *out = bytes_new(raw.len);
    struct span compact = { out, json_compact(raw, out) };
    check(compact.len <= raw.len, "the compact form is no longer than its source");
    return compact;
}

/* Writes a compact value as a line. The caller frees the result. */
static struct span lined(struct span compact)
{
    char *out = bytes_new(JSON_LINE_MAX(compact.len));
    struct span line = { out, json_line(compact, out) };
    check(line.len <= JSON_LINE_MAX(compact.len), "a line is no longer than JSON_LINE_MAX");
    check_unseparated(line);
    return line;
}

/* Checks that a line means the same as the compact value: both decode to the same strings. For
 * other values, that the line is a fixed point, and of the same type. */
static void check_line(struct span compact, enum json_type type)
{
    struct json_field x, y;
    struct span line = lined(compact), again = lined(line);
    check(span_equal(line, again), "a line stays as it is");
    struct span document = wrap(compact, &x), other = wrap(line, &y);
    check(y.type == type, "a line has the value's type");
    if (type == JSON_STRING) {
        struct span one = decoded(x.raw), two = decoded(y.raw);
        check(span_equal(one, two), "a line decodes to the same string");
        span_free(two);
        span_free(one);
    }
    span_free(other);
    span_free(document);
    span_free(again);
    span_free(line);
}

/* Checks that there is no raw control character, which could end a line of an event stream. */
static void check_one_line(struct span compact)
{
    for (size_t i = 0; i < compact.len; i++)
        check((unsigned char)compact.at[i] >= ' ', "the compact form is one line");
}

/* Checks that compacting again changes nothing, and that the value keeps its type. */
static void check_compact(struct json_field field)
{
    struct json_field x;
    struct span once = compacted(field.raw), twice = compacted(once);
    check(span_equal(once, twice), "compacting a compact form changes nothing");
    check_one_line(once);
    check_line(once, field.type);
    struct span document = wrap(once, &x);
    check(x.type == field.type, "the compact form has the same type");
    span_free(document);
    span_free(twice);
    span_free(once);
}

/* Walks over an array to its end, or to its first element that is not a string. */
static void check_strings(struct span raw)
{
    struct span rest = raw, string;
    int found;
    while ((found = json_next_string(&rest, &string)) == 1)
        span_free(decoded(string));
    check(json_next_string(&rest, &string) == found,
        "json_next_string repeats its last answer at the end of an array");
}

/* Checks everything that can be done with a field, whatever its type. */
static void check_field(struct json_field field)
{
    if (field.type == JSON_ABSENT)
        return;
    struct json_field x;
    struct span document = wrap(field.raw, &x);
    check(x.type == field.type, "a value has the same type in another document");
    span_free(document);
    check_compact(field);
    if (field.type == JSON_ARRAY)
        check_strings(field.raw);
    if (field.type == JSON_STRING) {
        struct span text = decoded(field.raw);
        check_text(text);
        span_free(text);
    }
}

#ifdef FUZZ

/* Finds the fields that the server uses, and one with an empty name. Also escapes any input that is
 * UTF-8. */
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct json_field fields[] = {
        { .name = SPAN("message") },
        { .name = SPAN("data") },
        { .name = SPAN("event") },
        { .name = SPAN("room") },
        { .name = SPAN("name") },
        { .name = SPAN("") },
    };
    size_t count = sizeof fields / sizeof fields[0];
    struct span text = { (const char *)data, size };
    if (json_find(text, fields, count) == NULL) {
        check(is_utf8(text), "an accepted document is UTF-8");
        for (size_t i = 0; i < count; i++)
            check_field(fields[i]);
        struct span whole = compacted(text);
        check_one_line(whole);
        check(json_find(whole, NULL, 0) == NULL, "the compact form of a document is accepted");
        span_free(whole);
    }
    if (is_utf8(text))
        check_text(text);
    return 0;
}

#else

/* ---- Every place and every beginning ------------------------------------------------------ */

/* Finds the fields again with the document in another place; the answer must be the same. */
static void check_place(struct span place, struct span text, const char *problem,
    const struct json_field *fields, size_t count)
{
    struct json_field *here = calloc(count + 1, sizeof *here);
    check(here != NULL, "the driver can allocate memory");
    for (size_t i = 0; i < count; i++)
        here[i].name = fields[i].name;
    check(json_find(place, here, count) == problem, "json_find's answer depends on the text alone");
    for (size_t i = 0; problem == NULL && i < count; i++) {
        check(here[i].type == fields[i].type, "a field's type depends on the text alone");
        check(span_equal(here[i].raw, fields[i].raw), "a field's value depends on the text alone");
        if (here[i].type != JSON_ABSENT)
            check(here[i].raw.at - place.at == fields[i].raw.at - text.at,
                "a field's place depends on the text alone");
        check_field(here[i]);
    }
    free(here);
}

/* Checks that every beginning of the document, at both ends of the pages, is refused, unless only
 * white space is cut off. Tries only some beginnings of a long document. */
static void check_beginnings(
    struct guarded g, struct span text, bool accepted, struct json_field *fields, size_t count)
{
    size_t stride = text.len > 4096 ? text.len / 64 : 1;
    size_t space = 0; /* white space after the object, which may be cut off */
    while (space < text.len && memchr(" \t\r\n", text.at[text.len - 1 - space], 4) != NULL)
        space++;
    for (size_t len = 0; len < text.len; len += stride) {
        struct span beginning = { text.at, len };
        const char *problem = json_find(at_end(g, beginning), fields, count);
        check(problem == json_find(at_start(g, beginning), fields, count),
            "json_find gives the same text the same answer");
        if (accepted && len + space < text.len)
            check(problem != NULL, "a truncated document is refused");
    }
}

/* Calls json_find and checks all promises about it. Returns NULL or an error message. */
static const char *find(struct span text, struct json_field *fields, size_t count)
{
    struct guarded g = guarded_new(text.len);
    const char *problem = json_find(text, fields, count);
    check_beginnings(g, text, problem == NULL, fields, count);
    json_find(text, fields, count); /* check_beginnings has overwritten the fields */
    check_place(at_end(g, text), text, problem, fields, count);
    check_place(at_start(g, text), text, problem, fields, count);
    return problem;
}

/* ---- The modes ---------------------------------------------------------------------------- */

static void print_line(struct span s)
{
    print_span(s);
    putchar('\n');
}

/* Prints a decoded string visibly, so that the suite can compare bytes of any kind as text. */
static void print_decoded(struct span raw)
{
    struct span text = decoded(raw);
    print_visible(text);
    putchar('\n');
    span_free(text);
}

static void print_compact(struct span raw)
{
    struct span compact = compacted(raw);
    print_line(compact);
    span_free(compact);
}

static void print_as_line(struct span raw)
{
    struct span compact = compacted(raw), line = lined(compact);
    print_line(line);
    span_free(line);
    span_free(compact);
}

static void print_field(struct json_field field)
{
    static const char *const types[] = {
        "absent",
        "null",
        "boolean",
        "number",
        "string",
        "array",
        "object",
    };
    printf("%.*s %s", (int)field.name.len, field.name.at, types[field.type]);
    if (field.type == JSON_ABSENT) {
        putchar('\n');
        return;
    }
    putchar(' ');
    if (field.type == JSON_STRING)
        print_decoded(field.raw);
    else
        print_compact(field.raw);
}

static void print_strings(struct span raw)
{
    struct span rest = raw, string;
    int found;
    while ((found = json_next_string(&rest, &string)) == 1)
        print_decoded(string);
    puts(found == 0 ? "end" : "no string");
}

static int usage(void)
{
    fprintf(stderr, "usage: json decode|compact|line|strings|escape [NAME...] <DOCUMENT\n");
    return 2;
}

static int show(const char *mode, struct span input, struct json_field *fields, size_t count)
{
    if (strcmp(mode, "escape") == 0) {
        check(is_utf8(input), "the text to escape is UTF-8");
        struct span raw = escaped(input);
        print_line(raw);
        check_text(input);
        span_free(raw);
        return 0;
    }
    const char *problem = find(input, fields, count);
    if (problem != NULL) {
        printf("error: %s\n", problem);
        return 1;
    }
    if (strcmp(mode, "compact") == 0 && count == 0)
        print_compact(input);
    for (size_t i = 0; i < count; i++)
        if (strcmp(mode, "decode") == 0)
            print_field(fields[i]);
        else if (strcmp(mode, "compact") == 0)
            print_compact(fields[i].raw);
        else if (strcmp(mode, "line") == 0)
            print_as_line(fields[i].raw);
        else if (fields[i].type == JSON_ARRAY)
            print_strings(fields[i].raw);
        else
            puts("no array");
    return 0;
}

int main(int argc, char **argv)
{
    static const char *const modes[] = { "decode", "compact", "line", "strings", "escape" };
    bool known = false;
    for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof modes[0]; i++)
        known = known || strcmp(argv[1], modes[i]) == 0;
    if (!known)
        return usage();
    size_t count = (size_t)argc - 2;
    struct json_field *fields = calloc(count + 1, sizeof *fields);
    check(fields != NULL, "the driver can allocate memory");
    for (size_t i = 0; i < count; i++)
        fields[i].name = span_of(argv[i + 2]);
    struct span input = read_input();
    int status = show(argv[1], input, fields, count);
    span_free(input);
    free(fields);
    return status;
}

#endif
