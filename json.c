/* json.c - checks one JSON object in a single pass and notes where the fields asked for stand.
 *
 * The document comes from a stranger, so the pass is a loop and not a recursion: what it must
 * remember of the levels around it is one bit each, object or array, in one 64-bit number. That
 * is also why 64 levels are the limit. Each byte is looked at a fixed number of times, so the time
 * is linear for any input, and nothing is allocated.
 *
 * What json_find accepted is exact by RFC 8259, and every string in it is whole, also the ignored
 * ones: later a value may be passed on as it stands, and must not hurt whoever reads it.
 * json_decode, json_compact and json_next_string rely on that: they take only what json_find
 * handed out, and `must` stops the program when a string turns out to be something else.
 *
 * No number is ever converted. They are passed on as they were written, so that none is too big
 * and none loses a digit. The same name twice in one object is refused only for the fields asked
 * for: to find it for all names would take a set of names for each level. */

#include "json.h"

#include "base/scan.h"
#include "base/text.h"

/* What may stand next, white space aside. The document is one value, and then its end. */
enum expected {
    EXPECT_VALUE,
    EXPECT_FIRST_VALUE, /* behind '[': a value or ']' */
    EXPECT_NAME,
    EXPECT_FIRST_NAME, /* behind '{': a name or '}' */
    EXPECT_NEXT,       /* behind a value: a comma or the bracket that closes */
    EXPECT_END
};

struct walk {
    struct span rest;       /* what was not looked at yet */
    enum expected expected; /* what may come there */
    unsigned depth;         /* how many brackets are open */
    uint64_t objects;       /* one bit a level, the innermost lowest: 1 is an object, 0 an array */
    struct json_field *fields;
    size_t count;
    struct json_field *wanted; /* the field whose value is being read, or NULL */
    const char *value;         /* where the value of the outermost object's member begins */
};

_Static_assert(JSON_DEPTH_MAX == 64, "one bit a level; a sentence below says 64, too");

/* RFC 8259 2. Other white space, such as a no-break space, is none in JSON. */
static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static void skip_space(struct span *rest)
{
    while (rest->len > 0 && is_space(rest->at[0]))
        scan_skip(rest, 1);
}

/* ---- Strings ---------------------------------------------------------------------------------
 *
 * The take_ functions return NULL, or the sentence that json_find is to return. */

static const char unclosed[] = "a string has no closing quote";
static const char lone[] = "a \\u escape is half of a surrogate pair; write both halves, as in "
                           "\\ud83d\\ude00, or the character itself";

/* The 16 bits behind "\u". */
static const char *take_unit(struct span *rest, int32_t *unit)
{
    uint64_t bits;
    if (!scan_take_hex(rest, 4, &bits))
        return "a \\u escape must have four hexadecimal digits";
    *unit = (int32_t)bits;
    return NULL;
}

/* What stands behind "\u". A character over U+FFFF takes two escapes (RFC 8259 7), the upper ten
 * bits of what it is over U+10000 in the first. */
static const char *take_unicode(struct span *rest, int32_t *character)
{
    const char *problem = take_unit(rest, character);
    if (problem != NULL || *character < 0xd800 || *character > 0xdfff)
        return problem;
    if (*character >= 0xdc00 || !scan_take(rest, '\\') || !scan_take(rest, 'u'))
        return lone;
    int32_t low;
    problem = take_unit(rest, &low);
    if (problem != NULL)
        return problem;
    if (low < 0xdc00 || low > 0xdfff)
        return lone;
    *character = 0x10000 + ((*character - 0xd800) << 10) + (low - 0xdc00);
    return NULL;
}

/* What stands behind a backslash. */
static const char *take_escape(struct span *rest, int32_t *character)
{
    if (rest->len == 0)
        return unclosed;
    char c = rest->at[0];
    scan_skip(rest, 1);
    switch (c) {
    case '"':
    case '\\':
    case '/':
        *character = (unsigned char)c;
        return NULL;
    case 'b':
        *character = '\b';
        return NULL;
    case 'f':
        *character = '\f';
        return NULL;
    case 'n':
        *character = '\n';
        return NULL;
    case 'r':
        *character = '\r';
        return NULL;
    case 't':
        *character = '\t';
        return NULL;
    case 'u':
        return take_unicode(rest, character);
    }
    return "a string holds a backslash that begins no JSON escape; write it as \\\\";
}

/* A string with its quotes. */
static const char *take_string(struct span *rest)
{
    scan_skip(rest, 1);
    for (scan_skip(rest, text_plain(*rest)); rest->len > 0; scan_skip(rest, text_plain(*rest))) {
        unsigned char c = (unsigned char)rest->at[0];
        const char *problem = NULL;
        int32_t character;
        if (scan_take(rest, '"'))
            return NULL;
        if (c < 0x20)
            return "a string holds a raw control character; write it as \\u00XX, a line end as \\n";
        if (scan_take(rest, '\\'))
            problem = take_escape(rest, &character);
        else if (text_next(rest) < 0)
            problem = "a string is not UTF-8; send the whole document as UTF-8";
        if (problem != NULL)
            return problem;
    }
    return unclosed;
}

static size_t put_utf8(int32_t character, char *out)
{
    static const unsigned char first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    if (character < 0x80) {
        out[0] = (char)character;
        return 1;
    }
    size_t len = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, character >>= 6)
        out[i] = (char)(0x80 | (character & 0x3f));
    out[0] = (char)(first[len] | character);
    return len;
}

/* What is between the quotes. */
static struct span inside(struct span raw)
{
    must(raw.len >= 2 && raw.at[0] == '"' && raw.at[raw.len - 1] == '"');
    return (struct span) { raw.at + 1, raw.len - 2 };
}

/* Takes one byte, or one escape as up to four, from the inside of a checked string. The shortest
 * escapes for one, two, three and four bytes have 2, 6, 6 and 12: decoding never overtakes. */
static size_t decode_next(struct span *rest, char *out)
{
    if (!scan_take(rest, '\\')) {
        out[0] = rest->at[0];
        scan_skip(rest, 1);
        return 1;
    }
    int32_t character;
    const char *problem = take_escape(rest, &character);
    must(problem == NULL);
    return put_utf8(character, out);
}

/* Compares piece by piece, so that a name of any length needs no place to be decoded into, and a
 * long wrong one is left at the first difference. */
static bool name_is(struct span raw, struct span name)
{
    struct span rest = inside(raw);
    while (rest.len > 0) {
        char piece[4];
        size_t len = decode_next(&rest, piece);
        if (len > name.len || memcmp(piece, name.at, len) != 0)
            return false;
        scan_skip(&name, len);
    }
    return name.len == 0;
}

/* ---- The walk --------------------------------------------------------------------------------
 *
 * Each step takes one token and says what may come next. */

static const char *take_number(struct span *rest)
{
    scan_take(rest, '-');
    if (scan_take(rest, '0')) {
        if (rest->len > 0 && scan_is_digit(rest->at[0]))
            return "a number begins with a zero that must go";
    } else if (!scan_take_digits(rest)) {
        return "a minus must be followed by a digit";
    }
    if (scan_take(rest, '.') && !scan_take_digits(rest))
        return "a decimal point must be followed by a digit";
    if (scan_take(rest, 'e') || scan_take(rest, 'E')) {
        if (!scan_take(rest, '+'))
            scan_take(rest, '-');
        if (!scan_take_digits(rest))
            return "an exponent must have a digit";
    }
    return NULL;
}

/* What may follow the word, the next step says: "truely" fails there. */
static const char *take_word(struct span *rest, struct span word)
{
    if (!scan_take_text(rest, word))
        return "a bare word stands as a value; only true, false and null may, "
               "and text needs double quotes";
    return NULL;
}

static enum json_type type_of(char first)
{
    switch (first) {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
    case 'f':
        return JSON_BOOLEAN;
    case 'n':
        return JSON_NULL;
    }
    return JSON_NUMBER;
}

/* A value just ended, at whatever level. */
static const char *end_value(struct walk *w)
{
    if (w->depth == 1 && w->wanted != NULL) {
        w->wanted->type = type_of(w->value[0]);
        w->wanted->raw = (struct span) { w->value, (size_t)(w->rest.at - w->value) };
    }
    w->expected = w->depth > 0 ? EXPECT_NEXT : EXPECT_END;
    return NULL;
}

static const char *open_bracket(struct walk *w, bool object)
{
    if (w->depth == JSON_DEPTH_MAX)
        return "objects and arrays are nested more than 64 levels deep";
    scan_skip(&w->rest, 1);
    w->depth++;
    w->objects = w->objects << 1 | object;
    w->expected = object ? EXPECT_FIRST_NAME : EXPECT_FIRST_VALUE;
    return NULL;
}

static const char *close_bracket(struct walk *w)
{
    scan_skip(&w->rest, 1);
    w->depth--;
    w->objects >>= 1;
    return end_value(w);
}

static const char *step_value(struct walk *w)
{
    const char *problem;
    if (w->depth == 1)
        w->value = w->rest.at;
    switch (w->rest.at[0]) {
    case '{':
        return open_bracket(w, true);
    case '[':
        return open_bracket(w, false);
    case '"':
        problem = take_string(&w->rest);
        break;
    case 't':
        problem = take_word(&w->rest, SPAN("true"));
        break;
    case 'f':
        problem = take_word(&w->rest, SPAN("false"));
        break;
    case 'n':
        problem = take_word(&w->rest, SPAN("null"));
        break;
    default:
        if (w->rest.at[0] != '-' && !scan_is_digit(w->rest.at[0]))
            return "where a value must stand there is none; it begins with a double quote, "
                   "a digit, a minus, [, {, true, false or null";
        problem = take_number(&w->rest);
    }
    return problem != NULL ? problem : end_value(w);
}

static const char *find_wanted(struct walk *w, struct span name)
{
    struct span plain = inside(name);
    bool is_plain = text_plain(plain) == plain.len; /* nearly always */
    w->wanted = NULL;
    for (size_t i = 0; i < w->count; i++) {
        struct span wanted = w->fields[i].name;
        if (is_plain ? span_equal(wanted, plain) : name_is(name, wanted))
            w->wanted = &w->fields[i];
    }
    if (w->wanted != NULL && w->wanted->type != JSON_ABSENT)
        return "a field is given twice; send it once";
    return NULL;
}

/* The name and its colon. */
static const char *step_name(struct walk *w)
{
    struct span name = w->rest;
    if (!scan_next_is(w->rest, '"'))
        return "a field must begin with its name in double quotes, "
               "and no comma may stand before a closing brace";
    const char *problem = take_string(&w->rest);
    name.len -= w->rest.len;
    if (problem == NULL && w->depth == 1)
        problem = find_wanted(w, name);
    if (problem != NULL)
        return problem;
    skip_space(&w->rest);
    if (!scan_take(&w->rest, ':'))
        return "a field's name must be followed by a colon";
    w->expected = EXPECT_VALUE;
    return NULL;
}

static const char *step_next(struct walk *w)
{
    bool in_object = w->objects & 1;
    if (scan_next_is(w->rest, in_object ? '}' : ']'))
        return close_bracket(w);
    if (!scan_take(&w->rest, ','))
        return in_object ? "a value in an object must be followed by a comma or a closing brace"
                         : "a value in an array must be followed by a comma or a closing bracket";
    w->expected = in_object ? EXPECT_NAME : EXPECT_VALUE;
    return NULL;
}

static const char *step(struct walk *w)
{
    switch (w->expected) {
    case EXPECT_FIRST_VALUE:
        return scan_next_is(w->rest, ']') ? close_bracket(w) : step_value(w);
    case EXPECT_VALUE:
        return step_value(w);
    case EXPECT_FIRST_NAME:
        return scan_next_is(w->rest, '}') ? close_bracket(w) : step_name(w);
    case EXPECT_NAME:
        return step_name(w);
    case EXPECT_NEXT:
        return step_next(w);
    case EXPECT_END:
        break;
    }
    return "something stands behind the object's closing brace";
}

const char *json_find(struct span text, struct json_field *fields, size_t count)
{
    struct walk w = { .rest = text, .expected = EXPECT_VALUE, .fields = fields, .count = count };
    for (size_t i = 0; i < count; i++) {
        fields[i].type = JSON_ABSENT;
        fields[i].raw = (struct span) { NULL, 0 };
    }
    if (text.len >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0)
        return "the JSON begins with a byte order mark; send it without";
    skip_space(&w.rest);
    if (w.rest.len == 0)
        return "the JSON is empty; it must be an object";
    if (!scan_next_is(w.rest, '{'))
        return "the JSON must be an object, and begin with an opening brace";
    while (w.rest.len > 0) {
        const char *problem = step(&w);
        if (problem != NULL)
            return problem;
        skip_space(&w.rest);
    }
    return w.expected == EXPECT_END ? NULL : "the JSON ends before it is complete";
}

/* ---- What was found ----------------------------------------------------------------------- */

size_t json_decode(struct span raw, char *out)
{
    size_t len = 0;
    for (struct span rest = inside(raw); rest.len > 0;) {
        size_t plain = text_plain(rest);
        memmove(out + len, rest.at, plain);
        len += plain;
        scan_skip(&rest, plain);
        if (rest.len > 0)
            len += decode_next(&rest, out + len);
    }
    return len;
}

size_t json_compact(struct span raw, char *out)
{
    size_t len = 0;
    while (raw.len > 0) {
        if (is_space(raw.at[0])) {
            scan_skip(&raw, 1);
            continue;
        }
        struct span token = { raw.at, 1 };
        if (raw.at[0] == '"') {
            struct span rest = raw;
            const char *problem = take_string(&rest);
            must(problem == NULL);
            token.len = raw.len - rest.len;
        }
        memmove(out + len, token.at, token.len);
        len += token.len;
        scan_skip(&raw, token.len);
    }
    return len;
}

/* Between two calls `*rest` stands at '[', or behind a string. It moves only past a string, so
 * that the answers 0 and -1 stay what they are. */
int json_next_string(struct span *rest, struct span *raw)
{
    struct span s = *rest;
    skip_space(&s);
    if (!scan_take(&s, '[') && !scan_take(&s, ','))
        return 0;
    skip_space(&s);
    if (scan_next_is(s, ']'))
        return 0;
    if (!scan_next_is(s, '"'))
        return -1;
    *raw = s;
    const char *problem = take_string(&s);
    must(problem == NULL);
    raw->len -= s.len;
    *rest = s;
    return 1;
}

/* The letter of the short escape for a byte, or '\0'. */
static char short_escape(char byte)
{
    switch (byte) {
    case '"':
    case '\\':
        return byte;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    }
    return '\0';
}

static size_t put_unicode_escape(int32_t unit, char *out)
{
    out[0] = '\\';
    out[1] = 'u';
    scan_put_hex(out + 2, 4, (uint64_t)unit);
    return 6;
}

/* Only what RFC 8259 7 demands, and U+2028 and U+2029: they end a line in JavaScript before 2019,
 * where JSON that was put into a script broke it. */
size_t json_escape(struct span text, char *out)
{
    size_t len = 0;
    out[len++] = '"';
    for (;;) {
        size_t plain = text_plain(text);
        if (plain > 0)
            memcpy(out + len, text.at, plain);
        len += plain;
        scan_skip(&text, plain);
        if (text.len == 0)
            break;
        char letter = short_escape(text.at[0]);
        if (letter != '\0') {
            out[len++] = '\\';
            out[len++] = letter;
        } else if ((unsigned char)text.at[0] < 0x20) {
            len += put_unicode_escape(text.at[0], out + len);
        } else if (text.len >= 3 && memcmp(text.at, "\xe2\x80", 2) == 0 &&
                   ((unsigned char)text.at[2] & 0xfe) == 0xa8) {
            len += put_unicode_escape(text.at[2] == '\xa8' ? 0x2028 : 0x2029, out + len);
            scan_skip(&text, 2);
        } else {
            out[len++] = text.at[0];
        }
        scan_skip(&text, 1);
    }
    out[len++] = '"';
    return len;
}

void json_string_add(struct buffer *out, struct span text)
{
    char *to = buffer_reserve(out, JSON_ESCAPED_MAX(text.len));
    if (to != NULL)
        out->len += json_escape(text, to);
}
