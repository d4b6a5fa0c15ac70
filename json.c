/* json.c - checks one JSON object in a single pass and notes where the wanted fields are.
 *
 * This file shows that an untrusted document can be read without a tree, allocation or recursion.
 * The pass is a loop. It remembers one bit for each open level, object or array, in one 64-bit
 * number; this is why the limit is 64 levels. Each byte is looked at a bounded number of times, so
 * the time is linear for any input.
 *
 * A document that json_find accepts conforms to RFC 8259 exactly, and every string in it is valid,
 * even in ignored fields: a value may later be passed on as it is, and must be safe for its
 * readers. json_decode, json_compact and json_next_string rely on that. They accept only spans that
 * json_find returned, and `must` stops the program at an invalid string.
 *
 * Left out: the conversion of numbers. They are passed on as they were written, so that none is too
 * large and none loses a digit. A repeated name is refused only for wanted fields: finding all of
 * them would take a set of names per level. */

#include "json.h"

#include "base/scan.h"
#include "base/text.h"

/* What can come next, apart from white space. The document is one value, followed by its end. */
enum expected {
    EXPECT_VALUE,
    EXPECT_FIRST_VALUE, /* After '[': a value or ']'. */
    EXPECT_NAME,
    EXPECT_FIRST_NAME, /* After '{': a name or '}'. */
    EXPECT_NEXT,       /* After a value: a comma or the closing bracket. */
    EXPECT_END
};

/* The complete state of the pass. A level costs one bit of `objects`, not a stack frame:
 *
 *                { "room" : "a" , "data" : [ 1 , { "x" : null } ] }
 *     depth      1                         2     3            2 1 0
 *     objects    1                         10    101         10 1 0
 *
 * Only names at depth 1 are compared with the wanted ones: a "room" inside `data` is data. */
struct walk {
    struct span rest;       /* The unread part of the document. */
    enum expected expected; /* What `rest` can begin with. */
    unsigned depth;         /* The number of open brackets. */
    uint64_t objects;       /* One bit per level, the innermost lowest: 1 object, 0 array. */
    struct json_field *fields;
    size_t count;
    struct json_field *wanted; /* The field whose value is being read, or NULL. */
    const char *value;         /* Where the value of the current top-level member begins. */
};

_Static_assert(JSON_DEPTH_MAX == 64, "one bit per level; a message below says 64");

/* Returns whether a byte is one of JSON's four white space characters (RFC 8259 2). */
static inline bool is_space(char byte)
{
    return byte <= ' ' && (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r');
}

static inline void skip_space(struct span *rest)
{
    while (rest->len > 0 && is_space(rest->at[0]))
        scan_skip(rest, 1);
}

/* ---- Strings ---------------------------------------------------------------------------------
 *
 * The take_ functions move `*rest` past what they read. They return NULL or the error message that
 * json_find returns to its caller. */

static const char unclosed[] = "a string has no closing quote";
static const char lone[] = "a \\u escape is half of a surrogate pair; write both halves, as in "
                           "\\ud83d\\ude00, or the character itself";

/* Reads the four digits after "\u". */
static const char *take_unit(struct span *rest, int32_t *unit)
{
    uint64_t bits;
    if (!scan_take_hex(rest, 4, &bits))
        return "a \\u escape must have four hexadecimal digits";
    *unit = (int32_t)bits;
    return NULL;
}

/* Reads what follows "\u". A character above U+FFFF takes two escapes, a surrogate pair (RFC 8259
 * 7): the first contains the upper ten bits of the code point minus 0x10000, the second the lower
 * ten. Half a pair is refused, because it has no valid form in UTF-8. */
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

/* Reads what follows a backslash. An unknown escape is an error, not the character itself: if one
 * reader repairs what another refuses, the two see different documents. */
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
    return "a string contains a backslash that does not begin a JSON escape; write it as \\\\";
}

/* Reads what is not plain in a string: an escape, or a character that is not ASCII. */
static const char *take_character(struct span *rest)
{
    int32_t character;
    if ((unsigned char)rest->at[0] < 0x20)
        return "a string contains a raw control character; "
               "write it as \\u00XX, a line end as \\n";
    if (scan_take(rest, '\\'))
        return take_escape(rest, &character);
    if (text_next(rest) < 0)
        return "a string is not UTF-8; send the whole document as UTF-8";
    return NULL;
}

/* Reads a string with its quotes, and checks every byte of it. text_plain skips the harmless bytes
 * eight at a time; the loop looks only at what stops it: a quote, a backslash, a control character,
 * the first byte of a UTF-8 sequence. */
static const char *take_string(struct span *rest)
{
    const char *problem = NULL;
    scan_skip(rest, 1);
    while (problem == NULL) {
        scan_skip(rest, text_plain(*rest));
        if (rest->len == 0)
            return unclosed;
        if (scan_take(rest, '"'))
            return NULL;
        problem = take_character(rest);
    }
    return problem;
}

/* Writes a character as one to four bytes of UTF-8 (RFC 3629 3), and returns their number. */
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

/* Returns the bytes between the quotes. */
static inline struct span inside(struct span raw)
{
    must(raw.len >= 2 && raw.at[0] == '"' && raw.at[raw.len - 1] == '"');
    return (struct span) { raw.at + 1, raw.len - 2 };
}

/* Decodes one byte or one escape from the inside of a checked string, and writes up to four bytes.
 * The shortest escapes for one, two, three and four bytes of UTF-8 have 2, 6, 6 and 12 bytes, so
 * writing never overtakes reading and a string can be decoded in place. */
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

/* Returns whether a raw name, which can contain escapes, means `name`: "ro\u006fm" is "room".
 * Compares piece by piece, so that no name needs a buffer, and stops at the first difference. */
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
 * Each step reads one token and sets what can come next. */

/* Reads a number, which stays text (RFC 8259 6). The next step checks what follows it. */
static const char *take_number(struct span *rest)
{
    if (!scan_take(rest, '-') && (rest->len == 0 || !scan_is_digit(rest->at[0])))
        return "a value is missing; a value begins with a double quote, a digit, a minus, "
               "[, {, true, false or null";
    if (scan_take(rest, '0')) {
        if (rest->len > 0 && scan_is_digit(rest->at[0]))
            return "a number has a leading zero; remove it";
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

/* Reads true, false or null. The next step checks what follows: "truely" fails there. */
static const char *take_word(struct span *rest, struct span word)
{
    if (!scan_take_text(rest, word))
        return "a bare word is used as a value; only true, false and null are allowed, "
               "and text needs double quotes";
    return NULL;
}

/* Notes the end of a value, at any level. At level 1 it can be the value of a wanted field. */
static inline const char *end_value(struct walk *w, enum json_type type)
{
    if (w->depth == 1 && w->wanted != NULL) {
        w->wanted->type = type;
        w->wanted->raw = (struct span) { w->value, (size_t)(w->rest.at - w->value) };
    }
    w->expected = w->depth > 0 ? EXPECT_NEXT : EXPECT_END;
    return NULL;
}

/* Enters an object or array. Level 65 is an error, because the oldest bit would be lost. */
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

/* Leaves a level; the caller has checked that the bracket is of the right kind. The object or array
 * is itself a value, which ends here. */
static const char *close_bracket(struct walk *w)
{
    enum json_type type = (w->objects & 1) != 0 ? JSON_OBJECT : JSON_ARRAY;
    scan_skip(&w->rest, 1);
    w->depth--;
    w->objects >>= 1;
    return end_value(w, type);
}

/* Reads a scalar, or enters an object or array. */
static const char *step_value(struct walk *w)
{
    const char *problem;
    const char first = w->rest.at[0];
    enum json_type type = JSON_STRING;
    if (w->depth == 1)
        w->value = w->rest.at;
    if (first == '"') {
        problem = take_string(&w->rest);
    } else if (first == '{' || first == '[') {
        return open_bracket(w, first == '{');
    } else if (first == 't') {
        type = JSON_BOOLEAN;
        problem = take_word(&w->rest, SPAN("true"));
    } else if (first == 'f') {
        type = JSON_BOOLEAN;
        problem = take_word(&w->rest, SPAN("false"));
    } else if (first == 'n') {
        type = JSON_NULL;
        problem = take_word(&w->rest, SPAN("null"));
    } else {
        type = JSON_NUMBER;
        problem = take_number(&w->rest);
    }
    return problem != NULL ? problem : end_value(w, type);
}

/* Compares a member's name with the wanted names. The search is linear, because a caller wants only
 * a few. A wanted field that is given twice is refused: two readers could take different values. */
static const char *find_wanted(struct walk *w, struct span name)
{
    struct span plain = inside(name);
    bool is_plain = span_find(plain, '\\') == plain.len; /* No escapes: nearly always. */
    struct json_field *found = NULL;
    for (struct json_field *field = w->fields; field < w->fields + w->count; field++)
        if (is_plain ? span_equal(field->name, plain) : name_is(name, field->name))
            found = field;
    w->wanted = found;
    if (found != NULL && found->type != JSON_ABSENT)
        return "a field is given twice; send it once";
    return NULL;
}

/* Reads a member's name and its colon. */
static const char *step_name(struct walk *w)
{
    struct span name = w->rest;
    if (!scan_next_is(w->rest, '"'))
        return "a field must begin with its name in double quotes, "
               "and there must be no comma before a closing brace";
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

/* Reads what follows a value. The lowest bit of `objects` says which bracket closes this level. */
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

/* Reads one token. json_find has skipped the white space before it, so `rest` is not empty. */
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
    return "there is something after the object's closing brace; remove it";
}

/* Runs one step per token. This is a loop, so that a hostile document cannot exhaust the stack. */
const char *json_find(struct span text, struct json_field *fields, size_t count)
{
    struct walk w = { .rest = text, .expected = EXPECT_VALUE, .fields = fields, .count = count };
    for (size_t i = 0; i < count; i++) {
        fields[i].type = JSON_ABSENT;
        fields[i].raw = (struct span) { NULL, 0 };
    }
    if (text.len >= 3 && memcmp(text.at, "\xef\xbb\xbf", 3) == 0)
        return "the JSON begins with a byte order mark; remove it";
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

/* Copies each stretch without a backslash in one piece. A text without any is not even copied if it
 * is in its place already. memmove, because the places can overlap. */
size_t json_decode(struct span raw, char *out)
{
    size_t len = 0;
    for (struct span rest = inside(raw);;) {
        size_t plain = span_find(rest, '\\');
        if (out + len != rest.at)
            memmove(out + len, rest.at, plain);
        len += plain;
        scan_skip(&rest, plain);
        if (rest.len == 0)
            return len;
        len += decode_next(&rest, out + len);
    }
}

/* Keeps white space inside strings. The result is one line, because RFC 8259 allows a line end only
 * as white space, never in a string; this makes it safe as the `data:` of an event. */
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

/* Leaves `*rest` at '[', or after a string. It moves only past strings, so that another call after
 * 0 or -1 returns the same result. */
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

/* What to write for a byte in a string: 0 the byte itself, 'u' its number in hexadecimal, LINE a
 * look at the bytes after it, anything else a backslash and that letter. Escapes only what RFC 8259
 * 7 requires, and the separators below. */
enum { LINE = 'l' };
static const char escapes[256] = { 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f',
    'r', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u',
    'u', ['"'] = '"', ['\\'] = '\\', [0xc2] = LINE, [0xe2] = LINE };

/* Returns the length of the separator at the front of `text`, and sets `*number` to its code point;
 * returns 0 if there is none. Separators are U+0085 (c2 85), U+2028 and U+2029 (e2 80 a8, e2 80
 * a9). JSON allows them in strings, but they end a line for readers that split by Unicode's rules,
 * which would take one line of JSON for several; and before ECMAScript 2019, the last two broke a
 * script that contained such JSON. */
static inline size_t separator_length(struct span text, unsigned *number)
{
    const char *at = text.at;
    if (text.len >= 2 && at[0] == '\xc2' && at[1] == '\x85') {
        *number = 0x85;
        return 2;
    }
    if (text.len < 3 || at[0] != '\xe2' || at[1] != '\x80' || (at[2] & '\xfe') != '\xa8')
        return 0;
    *number = 0x2000 | ((unsigned char)at[2] & 0x2f);
    return 3;
}

/* Writes the byte at the front of `*text` as `letter` says. Returns the address after it. */
static inline char *put_escape(struct span *text, char letter, char *out)
{
    unsigned number = (unsigned char)text->at[0];
    size_t len = letter == LINE ? separator_length(*text, &number) : 1;
    if (len == 0) { /* no separator after all */
        out[0] = text->at[0];
        scan_skip(text, 1);
        return out + 1;
    }
    scan_skip(text, len);
    out[0] = '\\';
    out[1] = letter == LINE ? 'u' : letter;
    if (out[1] != 'u')
        return out + 2;
    scan_put_hex(out + 2, 4, number);
    return out + 6;
}

/* Copies eight plain bytes at a time. If one of the eight is not plain, looks all of them up in the
 * table, so that a text of nothing but escapes costs little more than one without. */
size_t json_escape_inside(struct span text, char *out)
{
    char *to = out;
    while (text.len > 0) {
        uint64_t word = span_word(text);
        if (text_marks(word) == 0) {
            memcpy(to, text.at, sizeof word);
            to += sizeof word;
            scan_skip(&text, sizeof word);
            continue;
        }
        const char *stop = text.at + (text.len < sizeof word ? text.len : sizeof word);
        while (text.at < stop) {
            char letter = escapes[(unsigned char)text.at[0]];
            if (letter != '\0') {
                to = put_escape(&text, letter, to);
            } else {
                *to++ = text.at[0];
                scan_skip(&text, 1);
            }
        }
    }
    return (size_t)(to - out);
}

size_t json_escape(struct span text, char *out)
{
    size_t len = json_escape_inside(text, out + 1);
    out[0] = out[len + 1] = '"';
    return len + 2;
}

/* Copies eight bytes of ASCII at a time. A separator can only be in a string, because JSON has no
 * such bytes elsewhere, so the copy needs no look at the grammar; and not after a backslash,
 * because that would be no escape. */
size_t json_line(struct span json, char *out)
{
    const uint64_t highs = 0x8080808080808080;
    char *to = out;
    while (json.len > 0) {
        uint64_t word = span_word(json);
        if (json.len >= sizeof word && (word & highs) == 0) {
            memcpy(to, json.at, sizeof word);
            to += sizeof word;
            scan_skip(&json, sizeof word);
            continue;
        }
        const char *stop = json.at + (json.len < sizeof word ? json.len : sizeof word);
        while (json.at < stop) {
            if (escapes[(unsigned char)json.at[0]] == LINE) {
                to = put_escape(&json, LINE, to);
            } else {
                *to++ = json.at[0];
                scan_skip(&json, 1);
            }
        }
    }
    return (size_t)(to - out);
}

void json_string_add(struct buffer *out, struct span text)
{
    char *to = buffer_reserve(out, JSON_ESCAPED_MAX(text.len));
    if (to != NULL)
        out->len += json_escape(text, to);
}
