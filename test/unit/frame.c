/* frame.c - a driver for frame.c. Standard input is a message, one field per line, in the order
 * kind (chat, text, json, binary), id, room, name, event, key; everything after the fields is the
 * body.
 *
 *     frame message       prints the frame, in its envelope
 *     frame json          prints the element of GET /messages, read back from the frame
 *     frame id TEXT...    prints each text as an id: its two numbers, or `refused`
 *     frame time MS...    prints each time as text
 *     frame retry FROM SPREAD COUNT   checks COUNT `retry:` events; counts their different times
 *     frame lines         checks every short mix of line ends as data; prints their number
 *     frame calendar      checks times in every month up to 9999; prints their number
 *     frame parse         reads an event stream, and prints each of its events
 *
 * If a message breaks a rule, the driver prints `error:` and the reason, and exits with code 1.
 *
 * The technique is a round trip with a second reader: a parser that is independent of frame.c, and
 * follows only the HTML Standard (9.2.6, "Interpreting an event stream"), reads back everything
 * that frame.c writes. So a browser reads what was posted, whatever line ends, colons or field
 * names the text contains. The suite tests the parser with the standard's own examples.
 *
 * A broken promise (driver.h) calls abort. With -DFUZZ the same checks are a libFuzzer target. */

#include "hub/frame.h"
#include "base/print.h"
#include "base/random.h"
#include "base/scan.h"
#include "base/text.h"
#include "driver.h"
#include "frames.h"
#include "hub/rules.h"
#include "json.h"
#include "utf8.h"

#include <inttypes.h>

/* ---- The reference parser ----------------------------------------------------------------- */

/* The fields and the functions below have the standard's names, so that the code can be compared
 * with the standard line by line. */
struct parser {
    struct buffer data, type, last_id;
    bool has_retry;
    uint64_t retry;
    void (*dispatch)(struct parser *, struct span type, struct span data, struct span id);

    unsigned events;                                /* dispatched so far */
    struct buffer event_type, event_data, event_id; /* the last event, set by keep_event */
};

/* Keeps the last event for the checks, as a `dispatch`. */
static void keep_event(struct parser *p, struct span type, struct span data, struct span id)
{
    p->events++;
    p->event_type.len = p->event_data.len = p->event_id.len = 0;
    buffer_add(&p->event_type, type);
    buffer_add(&p->event_data, data);
    buffer_add(&p->event_id, id);
}

static void parser_free(struct parser *p)
{
    struct buffer *buffers[] = { &p->data, &p->type, &p->last_id, &p->event_type, &p->event_data,
        &p->event_id };
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
        buffer_free(buffers[i]);
}

/* Follows "Dispatch the event": skips an event without data, removes the last line feed of the
 * data, and names an unnamed event `message`. Keeps the last id for later events. */
static void dispatch_event(struct parser *p)
{
    if (p->data.len > 0) {
        struct span data = { p->data.at, p->data.len - 1 }; /* without the last line feed */
        struct span type = p->type.len > 0 ? buffer_span(&p->type) : SPAN("message");
        p->dispatch(p, type, data, buffer_span(&p->last_id));
    }
    p->data.len = p->type.len = 0;
}

/* Follows "Process the field": ignores an id that contains a NUL, and a retry that is not all
 * digits. */
static void process_field(struct parser *p, struct span name, struct span value)
{
    unsigned long long number; /* an id or a name replaces the previous one; data is appended */
    if (span_equal(name, SPAN("event"))) {
        p->type.len = 0;
        buffer_add(&p->type, value);
    } else if (span_equal(name, SPAN("data"))) {
        buffer_add(&p->data, value);
        buffer_add(&p->data, SPAN("\n"));
    } else if (span_equal(name, SPAN("id"))) {
        if (value.len > 0 && memchr(value.at, '\0', value.len) != NULL)
            return;
        p->last_id.len = 0;
        buffer_add(&p->last_id, value);
    } else if (span_equal(name, SPAN("retry")) && span_number(value, UINT64_MAX, &number)) {
        p->has_retry = true;
        p->retry = number;
    }
}

/* Processes one line, without its line end. An empty line dispatches the event, a line that begins
 * with a colon is a comment, and one space after the colon is not part of the value. */
static void process_line(struct parser *p, struct span line)
{
    struct span name, value = line;
    if (line.len == 0) {
        dispatch_event(p);
        return;
    }
    span_split(&value, ':', &name);
    if (value.at == NULL)
        value.len = 0;
    else if (name.len == 0)
        return; /* a comment */
    if (value.len > 0 && value.at[0] == ' ') {
        value.at++;
        value.len--;
    }
    process_field(p, name, value);
}

/* Parses a complete stream: an optional byte order mark, then lines that end in CR, LF or CRLF.
 * Ignores a line without an end, and an event without an empty line after it. */
static void parse_stream(struct parser *p, struct span s)
{
    if (s.len >= 3 && memcmp(s.at, "\xef\xbb\xbf", 3) == 0)
        s = (struct span) { s.at + 3, s.len - 3 };
    for (size_t i = 0, start = 0; i < s.len; i++) {
        if (s.at[i] != '\n' && s.at[i] != '\r')
            continue;
        process_line(p, (struct span) { s.at + start, i - start });
        if (s.at[i] == '\r' && i + 1 < s.len && s.at[i + 1] == '\n')
            i++; /* CRLF is one line end */
        start = i + 1;
    }
}

/* Takes a chunk (RFC 9112 7.1) from the front of `*rest`. Returns false if none is complete. */
static bool take_chunk(struct span *rest, struct span *data)
{
    size_t size = 0, i = 0;
    for (; i < rest->len && i < 16; i++) {
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *digit = rest->at[i] != '\0' ? strchr(digits, rest->at[i]) : NULL;
        if (digit == NULL)
            break;
        size = size * 16 + (size_t)(digit - digits) % 16;
    }
    if (i == 0 || rest->len < i + 2 || memcmp(rest->at + i, "\r\n", 2) != 0)
        return false;
    i += 2;
    if (rest->len - i < size || rest->len - i - size < 2 ||
        memcmp(rest->at + i + size, "\r\n", 2) != 0)
        return false;
    *data = (struct span) { rest->at + i, size };
    *rest = (struct span) { rest->at + i + size + 2, rest->len - i - size - 2 };
    return true;
}

/* ---- Expected values ---------------------------------------------------------------------- */

/* Appends the text with each line end changed to a line feed, because a stream does not show which
 * kind it was. */
static void add_normalised(struct buffer *out, struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '\n' && i > 0 && text.at[i - 1] == '\r')
            continue;
        if (c == '\r')
            c = '\n';
        buffer_add(out, (struct span) { &c, 1 });
    }
}

static int days_in(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* Appends the time as text, by counting years and months from 1970: slow, but obviously right. */
static void add_expected_time(struct buffer *out, uint64_t ms)
{
    const uint64_t day_ms = 86400000;
    uint64_t days = ms / day_ms, left = ms % day_ms;
    int year = 1970, month = 1;
    while (year <= 9999 && days >= (uint64_t)(days_in(year, 2) + 337))
        days -= (uint64_t)(days_in(year++, 2) + 337);
    if (year > 9999) {
        buffer_add(out, SPAN("9999-12-31T23:59:59.999Z"));
        return;
    }
    while (days >= (uint64_t)days_in(year, month))
        days -= (uint64_t)days_in(year, month++);
    buffer_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", year, month, (int)days + 1,
        (int)(left / 3600000), (int)(left / 60000 % 60), (int)(left / 1000 % 60),
        (int)(left % 1000));
}

static void check_time(uint64_t ms)
{
    struct buffer time = { 0 }, expected = { 0 };
    time_add(&time, ms);
    add_expected_time(&expected, ms);
    check(span_equal(buffer_span(&time), buffer_span(&expected)),
        "time_add writes the same time as counting years and months");
    buffer_free(&time);
    buffer_free(&expected);
}

static int base64_value(char c)
{
    const char *alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(alphabet, c) : NULL;
    return at != NULL ? (int)(at - alphabet) : -1;
}

/* Decodes Base64 strictly: groups of four, padding only at the end. */
static void add_from_base64(struct buffer *out, struct span s)
{
    check(s.len % 4 == 0, "Base64 has groups of four characters");
    for (; s.len > 0; s.at += 4, s.len -= 4) {
        unsigned bits = 0;
        int padding = 0;
        for (int i = 0; i < 4; i++) {
            bool pad = s.at[i] == '=' && s.len == 4 && i >= 2;
            int value = pad ? 0 : base64_value(s.at[i]);
            check(value >= 0 && (pad || padding == 0),
                "Base64 has only characters of its alphabet, and padding only at the end");
            padding += pad;
            bits = bits << 6 | (unsigned)value;
        }
        char bytes[3] = { (char)(bits >> 16), (char)(bits >> 8), (char)bits };
        buffer_add(out, (struct span) { bytes, (size_t)(3 - padding) });
    }
}

/* ---- The promises ------------------------------------------------------------------------- */

/* Appends JSON with its separators (U+0085, U+2028, U+2029) escaped. */
static void add_line(struct buffer *out, struct span json)
{
    static const struct {
        struct span bytes, escape;
    } separators[] = {
        { SPAN_INIT("\xc2\x85"), SPAN_INIT("\\u0085") },
        { SPAN_INIT("\xe2\x80\xa8"), SPAN_INIT("\\u2028") },
        { SPAN_INIT("\xe2\x80\xa9"), SPAN_INIT("\\u2029") },
    };
    while (json.len > 0) {
        size_t i = 0;
        while (i < 3 && !scan_take_text(&json, separators[i].bytes))
            i++;
        buffer_add(out, i < 3 ? separators[i].escape : (struct span) { json.at, 1 });
        if (i == 3)
            scan_skip(&json, 1);
    }
}

/* Finds one field of an object, using json.c, which has its own driver. */
static struct json_field field_of(struct span object, const char *name)
{
    struct json_field field = { .name = span_of(name) };
    check(json_find(object, &field, 1) == NULL, "the data is a JSON object");
    return field;
}

static void check_absent(struct span object, const char *name)
{
    check(field_of(object, name).type == JSON_ABSENT, "a field that was not given is absent");
}

/* Checks that the field of this name is a string that decodes to the expected text. */
static void check_text(struct span object, const char *name, struct span expected)
{
    struct json_field field = field_of(object, name);
    check(field.type == JSON_STRING, "a field that was given is a string");
    char *text = bytes_new(field.raw.len);
    struct span decoded = { text, json_decode(field.raw, text) };
    check(span_equal(decoded, expected), "a field decodes to what was published");
    free(text);
}

/* Checks the `id` and `time` of an object. */
static void check_id(struct span object, struct id id)
{
    struct buffer text = { 0 }, time = { 0 };
    struct id again;
    id_add(&text, id);
    check(id_parse(buffer_span(&text), &again) && id_equal(id, again),
        "an id is read back as itself");
    check_text(object, "id", buffer_span(&text));
    add_expected_time(&time, id.ms);
    check_text(object, "time", buffer_span(&time));
    buffer_free(&text);
    buffer_free(&time);
}

/* Checks the JSON object of a chat or binary message, with its optional key. */
static void check_object(struct span object, const struct message *m, struct id id)
{
    check(memchr(object.at, '\n', object.len) == NULL, "the JSON object is one line");
    check_id(object, id);
    check_text(object, "room", m->room);
    check_text(object, "name", m->name);
    if (m->kind == MESSAGE_CHAT) {
        check_text(object, "message", m->body);
        check_absent(object, "data");
    } else {
        struct buffer bytes = { 0 };
        struct json_field data = field_of(object, "data");
        check(data.type == JSON_STRING, "the Base64 data is a string");
        add_from_base64(&bytes, (struct span) { data.raw.at + 1, data.raw.len - 2 });
        check(span_equal(buffer_span(&bytes), m->body),
            "the Base64 data decodes to what was published");
        check_text(object, "encoding", SPAN("base64"));
        check_absent(object, "message");
        buffer_free(&bytes);
    }
    if (m->key.len > 0)
        check_text(object, "key", m->key);
    else
        check_absent(object, "key");
}

/* Checks that the payload is exactly one event, the one that a browser should dispatch. */
static void check_payload(struct span payload, const struct message *m, struct id id)
{
    struct parser p = { .dispatch = keep_event };
    struct buffer text = { 0 };
    parse_stream(&p, payload);
    check(p.events == 1 && p.data.len == 0 && p.type.len == 0, "a frame is exactly one event");
    check(!p.has_retry, "a message sets no retry");
    id_add(&text, id);
    check(span_equal(buffer_span(&p.event_id), buffer_span(&text)),
        "the event's id is the message's");
    struct span type = m->event.len > 0 ? m->event : SPAN("message");
    check(span_equal(buffer_span(&p.event_type), type), "the event's name is the message's");
    text.len = 0;
    if (m->kind == MESSAGE_CHAT || m->kind == MESSAGE_BINARY) {
        check_object(buffer_span(&p.event_data), m, id);
    } else {
        if (m->kind == MESSAGE_JSON)
            add_line(&text, m->body);
        else
            add_normalised(&text, m->body);
        check(span_equal(buffer_span(&p.event_data), buffer_span(&text)),
            "the event's data is the body, with line feeds, or JSON as a line");
    }
    buffer_free(&text);
    parser_free(&p);
}

/* Checks the element of GET /messages that frame_to_json reads back from the frame. */
static void check_json(struct span json, const struct message *m, struct id id)
{
    struct buffer text = { 0 };
    check(memchr(json.at, '\n', json.len) == NULL, "an element of a page is one line");
    if (m->kind == MESSAGE_CHAT) {
        check_object(json, m, id);
        return;
    }
    check_id(json, id);
    check_text(json, "room", m->room);
    check_text(json, "event", m->event.len > 0 ? m->event : SPAN("message"));
    struct json_field data = field_of(json, "data");
    if (m->kind == MESSAGE_TEXT) {
        add_normalised(&text, m->body);
        check_text(json, "data", buffer_span(&text));
    } else if (m->kind == MESSAGE_JSON) {
        add_line(&text, m->body);
        check(span_equal(data.raw, buffer_span(&text)), "a JSON body is served as a line");
    } else {
        check_object(data.raw, m, id);
    }
    buffer_free(&text);
}

/* Appends the frame to other bytes, which must not change. Returns its payload, which points into
 * `out`. */
static struct span write_frame(struct buffer *out, const struct message *m, struct id id)
{
    struct span before = SPAN("before"), payload, rest;
    buffer_add(out, before);
    add_frame_of(out, m, id, id.ms);
    check(!out->failed, "the driver can allocate memory");
    check(memcmp(out->at, before.at, before.len) == 0, "bytes before the frame do not change");
    rest = (struct span) { out->at + before.len, out->len - before.len };
    struct span frame = rest;
    check(is_utf8(frame), "a frame is UTF-8");
    check(take_chunk(&rest, &payload) && rest.len == 0, "a frame is exactly one chunk");
    check(payload.at - frame.at == FRAME_LEAD_BYTES, "a frame's lead has FRAME_LEAD_BYTES");
    check(frame.len - payload.len == FRAME_ENVELOPE_BYTES,
        "a frame's envelope has FRAME_ENVELOPE_BYTES");
    return payload;
}

/* Reads a payload back, with the kind that its entry in a ring would have. */
static void read_back(
    struct buffer *out, struct span payload, const struct message *m, struct id id)
{
    enum message_kind kind = m->kind == MESSAGE_BINARY ? MESSAGE_JSON : m->kind;
    frame_to_json(out, payload, kind, m->room, id, id.ms);
    check(!out->failed, "the driver can allocate memory");
}

/* Checks that frame_size_max, by which the hub reserves memory, is exact: the frame with the
 * longest id has that size. */
static void check_bound(const struct message *m)
{
    const struct id longest = { UINT64_MAX, UINT64_MAX };
    struct buffer body = { 0 }, frame = { 0 };
    frame_body(&body, m);
    struct frame_content content = { m->kind, buffer_span(&body), m->key, m->author };
    add_frame_of(&frame, m, longest, UINT64_MAX);
    check(frame.len == frame_size_max(&content), "frame_size_max is the size with the longest id");
    buffer_free(&body);
    buffer_free(&frame);
}

/* Checks that a payload is not renewed, and that JSON whose separators an earlier version did not
 * escape becomes this payload. */
static void check_renewed(struct span payload, const struct message *m)
{
    struct buffer old = { 0 }, scratch = { 0 };
    enum message_kind kind = frame_stored_kind(m->kind);
    check(frame_renew(&scratch, payload, kind).at == payload.at, "a new payload is not changed");
    if (m->kind == MESSAGE_JSON) {
        struct buffer line = { 0 };
        add_line(&line, m->body);
        buffer_add(&old, (struct span) { payload.at, payload.len - line.len - 2 });
        buffer_add(&old, m->body);
        buffer_add(&old, SPAN("\n\n"));
        buffer_free(&line);
        struct span renewed = frame_renew(&scratch, buffer_span(&old), kind);
        check(span_equal(renewed, payload), "an old payload becomes the new one");
        renewed = frame_renew(&scratch, buffer_span(&old), MESSAGE_TEXT);
        check(renewed.at == old.at && renewed.len == old.len, "text stays as posted");
    }
    buffer_free(&old);
    buffer_free(&scratch);
}

/* Checks every promise for one message with one id. */
static void check_message(const struct message *m, struct id id)
{
    struct buffer out = { 0 }, json = { 0 };
    struct span payload = write_frame(&out, m, id);
    check_payload(payload, m, id);
    check_renewed(payload, m);
    check_bound(m);
    read_back(&json, payload, m, id);
    check_json(buffer_span(&json), m, id);
    buffer_free(&out);
    buffer_free(&json);
}

/* Checks that any text, as data between frame_begin and frame_end, gives the same event with and
 * without the envelope, and that the event has no id. */
static void check_data(struct span text)
{
    struct buffer plain = { 0 }, chunked = { 0 }, expected = { 0 };
    struct parser p = { .dispatch = keep_event };
    size_t begin = frame_begin(&plain, false);
    frame_data(&plain, text);
    frame_end(&plain, begin, false);
    begin = frame_begin(&chunked, true);
    frame_data(&chunked, text);
    frame_end(&chunked, begin, true);
    struct span rest = buffer_span(&chunked), payload;
    check(
        take_chunk(&rest, &payload) && rest.len == 0, "data in its envelope is exactly one chunk");
    check(span_equal(payload, buffer_span(&plain)),
        "data has the same payload with and without an envelope");
    parse_stream(&p, payload);
    check(p.events == 1 && p.event_id.len == 0, "data is one event, without an id");
    add_normalised(&expected, text);
    check(span_equal(buffer_span(&p.event_data), buffer_span(&expected)),
        "data has all lines of the text");
    buffer_free(&plain);
    buffer_free(&chunked);
    buffer_free(&expected);
    parser_free(&p);
}

/* Returns whether the text is an id. An id has only one spelling, so formatting it must give the
 * same text. */
static bool check_spelling(struct span text, struct id *id)
{
    struct buffer again = { 0 };
    bool accepted = id_parse(text, id);
    if (accepted) {
        id_add(&again, *id);
        check(span_equal(buffer_span(&again), text), "an accepted id is written the same way");
    }
    buffer_free(&again);
    return accepted;
}

/* ---- Messages from outside ---------------------------------------------------------------- */

/* A message from standard input, or from the fuzzer. `body` owns the compact copy of a JSON
 * body. */
struct input {
    struct message message;
    struct id id;
    char *body;
};

static bool read_kind(struct span word, enum message_kind *kind)
{
    static const char *const kinds[] = { "chat", "text", "json", "binary" };
    for (unsigned i = 0; i < 4; i++)
        if (span_equal(span_of(kinds[i]), word)) {
            *kind = (enum message_kind)i;
            return true;
        }
    return false;
}

/* Puts the compact form of a JSON body, which can be any JSON value, into the message. Returns NULL
 * or an error message. */
static const char *compact_body(struct input *in)
{
    struct buffer document = { 0 };
    struct json_field x = { .name = SPAN("x") };
    buffer_add(&document, SPAN("{\"x\":"));
    buffer_add(&document, in->message.body);
    buffer_add(&document, SPAN("}"));
    const char *why = json_find(buffer_span(&document), &x, 1);
    if (why == NULL) {
        in->body = bytes_new(x.raw.len);
        in->message.body = (struct span) { in->body, json_compact(x.raw, in->body) };
    }
    buffer_free(&document);
    return why;
}

/* Applies the rules that api/ applies to a POST, because frame.c relies on them. Returns NULL or an
 * error message. */
static const char *check_rules(struct input *in)
{
    struct message *m = &in->message;
    const char *why = rule_room(m->room);
    bool named = m->kind == MESSAGE_CHAT || m->kind == MESSAGE_BINARY;
    if (why == NULL && named)
        why = rule_name(&m->name);
    if (why == NULL && m->event.len > 0)
        why = m->kind == MESSAGE_CHAT ? "A chat message has no event." : rule_event(m->event);
    if (why == NULL && m->key.len > 0)
        why = rule_key(m->key);
    if (why != NULL)
        return why;
    switch (m->kind) {
    case MESSAGE_CHAT:
        return rule_message(m->body);
    case MESSAGE_TEXT:
        return is_utf8(m->body) ? NULL : "A text must be UTF-8.";
    case MESSAGE_JSON:
        return compact_body(in);
    case MESSAGE_BINARY:
        return m->body.len > 0 ? NULL : "A binary message must not be empty.";
    case MESSAGE_OTHER: /* never posted */
        break;
    }
    return NULL;
}

/* Reads a message that could reach frame.c. Returns NULL or, for any other text, an error
 * message. */
static const char *read_message(struct span text, struct input *in)
{
    struct message *m = &in->message;
    struct span kind, id;
    *in = (struct input) { 0 };
    if (!span_split(&text, '\n', &kind) || !span_split(&text, '\n', &id) ||
        !span_split(&text, '\n', &m->room) || !span_split(&text, '\n', &m->name) ||
        !span_split(&text, '\n', &m->event) || !span_split(&text, '\n', &m->key) || text.at == NULL)
        return "A field is missing.";
    m->body = text;
    if (!check_spelling(id, &in->id))
        return "The second line is not an id.";
    if (!read_kind(kind, &m->kind))
        return "The first line is not a kind of message.";
    return check_rules(in);
}

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    struct span text = { (const char *)data, size };
    struct input in;
    if (read_message(text, &in) == NULL)
        check_message(&in.message, in.id);
    check_time(in.id.ms);
    check_data(text);
    free(in.body);
    return 0;
}

#else

/* ---- The modes ---------------------------------------------------------------------------- */

/* Each mode checks the promises for its input, and prints a result that the suite can compare. */

/* Prints the frame, or its JSON. Returns the exit code: 1 if the message breaks a rule. */
static int show_message(bool as_json)
{
    struct span text = read_input();
    struct buffer out = { 0 };
    struct input in;
    const char *why = read_message(text, &in);
    if (why != NULL) {
        printf("error: %s\n", why);
    } else {
        check_message(&in.message, in.id);
        add_frame_of(&out, &in.message, in.id, in.id.ms);
        struct span frame = buffer_span(&out);
        struct span payload = { frame.at + FRAME_LEAD_BYTES, frame.len - FRAME_ENVELOPE_BYTES };
        struct buffer json = { 0 };
        read_back(&json, payload, &in.message, in.id);
        print_span(as_json ? buffer_span(&json) : frame);
        buffer_free(&json);
    }
    free(in.body);
    buffer_free(&out);
    span_free(text);
    return why != NULL;
}

static void show_id(const char *text)
{
    struct id id;
    if (check_spelling(span_of(text), &id))
        printf("%" PRIu64 " %" PRIu64 "\n", id.ms, id.seq);
    else
        puts("refused");
}

static uint64_t number_of(const char *text)
{
    unsigned long long number;
    check(span_number(span_of(text), UINT64_MAX, &number), "the argument is a number");
    return number;
}

static void show_time(const char *ms)
{
    struct buffer out = { 0 };
    check_time(number_of(ms));
    time_add(&out, number_of(ms));
    buffer_add(&out, SPAN("\n"));
    print_span(buffer_span(&out));
    buffer_free(&out);
}

static int compare_times(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Checks that a retry event has a time within its bounds and sets nothing else. Prints the number
 * of different times. */
static void check_retries(uint64_t from, uint64_t spread, size_t count)
{
    uint64_t *times = calloc(count + 1, sizeof *times);
    check(times != NULL, "the driver can allocate memory");
    for (size_t i = 0; i < count; i++) {
        struct buffer out = { 0 };
        struct parser p = { .dispatch = keep_event };
        bool chunked = i % 2 == 0;
        frame_retry(&out, random_spread(from, spread), chunked);
        struct span rest = buffer_span(&out), payload = rest;
        if (chunked)
            check(take_chunk(&rest, &payload) && rest.len == 0, "a retry is one chunk");
        parse_stream(&p, payload);
        check(p.has_retry && p.events == 0 && p.last_id.len == 0,
            "a retry sets the time and dispatches nothing");
        check(p.retry >= from && p.retry - from <= spread, "a retry's time is within its bounds");
        times[i] = p.retry;
        buffer_free(&out);
        parser_free(&p);
    }
    size_t different = count > 0;
    qsort(times, count, sizeof *times, compare_times);
    for (size_t i = 1; i < count; i++)
        different += times[i] != times[i - 1];
    printf("%zu\n", different);
    free(times);
}

/* Checks every text of up to seven of these six characters: 335,923 texts (6^0 + ... + 6^7). A line
 * that begins with `i:` could pass for another field. */
static void check_lines(void)
{
    static const char alphabet[] = { 'i', '\r', '\n', ' ', ':', '\0' };
    const size_t letters = sizeof alphabet;
    size_t texts = 0, of_this_length = 1;
    for (size_t len = 0; len <= 7; len++, of_this_length *= letters) {
        for (size_t number = 0; number < of_this_length; number++, texts++) {
            char *text = bytes_new(len);
            for (size_t i = 0, left = number; i < len; i++, left /= letters)
                text[i] = alphabet[left % letters];
            check_data((struct span) { text, len });
            free(text);
        }
    }
    printf("%zu\n", texts);
}

/* Checks the first and the last millisecond of every month, and one more on its last day. */
static void check_calendar(void)
{
    const uint64_t day_ms = 86400000;
    uint64_t first = 0;
    size_t times = 0;
    for (int month = 0; month < (9999 - 1969) * 12; month++) {
        uint64_t next = first + (uint64_t)days_in(1970 + month / 12, month % 12 + 1) * day_ms;
        check_time(first);
        check_time(next - day_ms + (uint64_t)month * 7919 % day_ms);
        check_time(next - 1);
        first = next;
        times += 3;
    }
    check_time(first);
    check_time(UINT64_MAX);
    printf("%zu\n", times + 2);
}

static void print_value(const char *name, struct span s)
{
    printf("%s=", name);
    print_visible(s);
}

static void print_event(struct parser *p, struct span type, struct span data, struct span id)
{
    p->events++;
    print_value("event", type);
    print_value(" id", id);
    print_value(" data", data);
    putchar('\n');
}

static void show_stream(void)
{
    struct span text = read_input();
    struct parser p = { .dispatch = print_event };
    parse_stream(&p, text);
    if (p.has_retry)
        printf("retry=%" PRIu64 "\n", p.retry);
    parser_free(&p);
    span_free(text);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (strcmp(mode, "message") == 0 || strcmp(mode, "json") == 0)
        return show_message(strcmp(mode, "json") == 0);
    if (strcmp(mode, "id") == 0) {
        for (int i = 2; i < argc; i++)
            show_id(argv[i]);
    } else if (strcmp(mode, "time") == 0) {
        for (int i = 2; i < argc; i++)
            show_time(argv[i]);
    } else if (strcmp(mode, "retry") == 0 && argc == 5) {
        check_retries(number_of(argv[2]), number_of(argv[3]), (size_t)number_of(argv[4]));
    } else if (strcmp(mode, "lines") == 0) {
        check_lines();
    } else if (strcmp(mode, "calendar") == 0) {
        check_calendar();
    } else if (strcmp(mode, "parse") == 0) {
        show_stream();
    } else {
        fprintf(stderr, "usage: frame message|json|id|time|retry|lines|calendar|parse ...\n");
        return 2;
    }
    return 0;
}

#endif
