/* frame.c - writes frames, and reads the ones it wrote.
 *
 * Nothing here can be made to write a line that was not meant: field values come in without line
 * ends (the fields' rules forbid them), and data is split at every byte that a parser of the stream
 * takes for a line end. */

#include "hub/frame.h"

#include "base/date.h"
#include "base/print.h"
#include "base/scan.h"
#include "base/table.h"
#include "base/text.h"
#include "json.h"

/* ==== Ids and times ========================================================================== */

/* One half of an id: no sign, no leading zero, so that every id has one spelling. */
static bool parse_half(struct span s, uint64_t *half)
{
    unsigned long long number;
    if ((s.len > 1 && s.at[0] == '0') || !span_number(s, UINT64_MAX, &number))
        return false;
    *half = number;
    return true;
}

bool id_parse(struct span s, struct id *id)
{
    struct span ms;
    return span_split(&s, '-', &ms) && s.at != NULL && parse_half(ms, &id->ms) &&
           parse_half(s, &id->seq);
}

/* One id is written three times for each message, and many share their first half. */
void id_add(struct buffer *out, struct id id)
{
    static uint64_t ms;
    static char text[24];
    static size_t len;
    if (id.ms != ms || len == 0) {
        ms = id.ms;
        len = print_into(text, sizeof text, "%llu-", (unsigned long long)ms);
    }
    buffer_add(out, (struct span) { text, len });
    buffer_add_number(out, id.seq);
}

void id_add_json(struct buffer *out, const struct id *id)
{
    if (id == NULL) {
        buffer_add(out, SPAN("null"));
        return;
    }
    buffer_add(out, SPAN("\""));
    id_add(out, *id);
    buffer_add(out, SPAN("\""));
}

void time_add(struct buffer *out, uint64_t ms)
{
    /* Nearly all messages of a second come one after the other. */
    static uint64_t second = UINT64_MAX;
    static char text[sizeof "9999-12-31T23:59:59."];
    const uint64_t last_ms = 253402300799999; /* 9999-12-31T23:59:59.999Z */
    if (ms > last_ms)
        ms = last_ms;
    if (ms / 1000 != second) {
        second = ms / 1000;
        struct date date = date_of(second);
        print_into(text, sizeof text, "%04u-%02u-%02uT%02u:%02u:%02u.", date.year, date.month,
            date.day, date.hour, date.minute, date.second);
    }
    char rest[] = { (char)('0' + ms / 100 % 10), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10),
        'Z' };
    buffer_add(out, (struct span) { text, sizeof text - 1 });
    buffer_add(out, (struct span) { rest, sizeof rest });
}

void json_string_add(struct buffer *out, struct span text)
{
    char *to = buffer_reserve(out, JSON_ESCAPED_MAX(text.len));
    if (to != NULL)
        out->len += json_escape(text, to);
}

/* ==== Writing ================================================================================ */

size_t frame_begin(struct buffer *out, bool chunked)
{
    size_t begin = out->len;
    if (chunked)
        buffer_add(out, SPAN("00000000\r\n"));
    return begin;
}

void frame_end(struct buffer *out, size_t begin, bool chunked)
{
    buffer_add(out, SPAN("\n"));
    if (!chunked || out->failed)
        return;
    size_t size = out->len - begin - FRAME_LEAD_BYTES;
    must(size <= UINT32_MAX);
    scan_put_hex(out->at + begin, 8, size);
    buffer_add(out, SPAN("\r\n"));
}

/* One line "name: value". The value must hold no line end. */
static void frame_line(struct buffer *out, struct span name, struct span value)
{
    buffer_add(out, name);
    buffer_add(out, SPAN(": "));
    buffer_add(out, value);
    buffer_add(out, SPAN("\n"));
}

void frame_data(struct buffer *out, struct span text)
{
    for (size_t i = 0, start = 0; i <= text.len; i++) {
        if (i < text.len && text.at[i] != '\r' && text.at[i] != '\n')
            continue;
        frame_line(out, SPAN("data"), (struct span) { text.at + start, i - start });
        if (i + 1 < text.len && text.at[i] == '\r' && text.at[i + 1] == '\n')
            i++;
        start = i + 1;
    }
}

static void member_add(struct buffer *out, struct span name, struct span value)
{
    buffer_add(out, name);
    json_string_add(out, value);
}

/* The line with the object of a chat message, or of a binary one. */
static void object_line(struct buffer *out, const struct message *m, struct id id)
{
    buffer_add(out, SPAN("data: {\"id\":\""));
    id_add(out, id);
    member_add(out, SPAN("\",\"room\":"), m->room);
    member_add(out, SPAN(",\"name\":"), m->name);
    if (m->kind == MESSAGE_CHAT) {
        member_add(out, SPAN(",\"message\":"), m->body);
    } else {
        buffer_add(out, SPAN(",\"encoding\":\"base64\",\"data\":\""));
        char *to = buffer_reserve(out, TEXT_BASE64_BYTES(m->body.len));
        if (to != NULL)
            out->len += text_base64(m->body, to);
        buffer_add(out, SPAN("\""));
    }
    buffer_add(out, SPAN(",\"time\":\""));
    time_add(out, id.ms);
    if (m->key.len > 0) {
        member_add(out, SPAN("\",\"key\":"), m->key);
        buffer_add(out, SPAN("}\n"));
    } else {
        buffer_add(out, SPAN("\"}\n"));
    }
}

void frame_message(struct buffer *out, const struct message *m, struct id id)
{
    size_t begin = frame_begin(out, true);
    buffer_add(out, SPAN("id: "));
    id_add(out, id);
    buffer_add(out, SPAN("\n"));
    if (m->event.len > 0)
        frame_line(out, SPAN("event"), m->event);
    if (m->kind == MESSAGE_TEXT || m->kind == MESSAGE_JSON)
        frame_data(out, m->body);
    else
        object_line(out, m, id);
    frame_end(out, begin, true);
}

void frame_retry(struct buffer *out, uint64_t from, uint64_t spread, bool chunked)
{
    static uint64_t count;
    count++;
    uint64_t random = table_hash((struct span) { (const char *)&count, sizeof count }, 0);
    size_t begin = frame_begin(out, chunked);
    buffer_add(out, SPAN("retry: "));
    buffer_add_number(out, from + random % (spread + 1));
    buffer_add(out, SPAN("\n"));
    frame_end(out, begin, chunked);
}

/* ==== Reading back =========================================================================== */

/* Takes the value of the next line off `*rest` when the line's name is `name`. */
static bool take_line(struct span *rest, struct span name, struct span *value)
{
    struct span after = *rest;
    if (!scan_take_text(&after, name) || after.len == 0)
        return false;
    span_split(&after, '\n', value);
    *rest = after;
    return true;
}

/* The lines of a text become one string again; each line end is an LF. */
static void text_to_json(struct buffer *out, struct span lines)
{
    struct span line;
    bool first = true;
    buffer_add(out, SPAN("\""));
    while (take_line(&lines, SPAN("data: "), &line)) {
        if (!first)
            buffer_add(out, SPAN("\\n"));
        first = false;
        char *to = buffer_reserve(out, JSON_ESCAPED_MAX(line.len));
        if (to == NULL)
            return;
        size_t len = json_escape(line, to) - 2; /* without the quotes of its own */
        memmove(to, to + 1, len);
        out->len += len;
    }
    buffer_add(out, SPAN("\""));
}

void frame_to_json(
    struct buffer *out, struct span payload, enum message_kind kind, struct span room, struct id id)
{
    struct span value = { NULL, 0 }, event = SPAN("message"), rest = payload;
    take_line(&rest, SPAN("id: "), &value);
    take_line(&rest, SPAN("event: "), &event);
    if (kind == MESSAGE_CHAT) {
        take_line(&rest, SPAN("data: "), &value);
        buffer_add(out, value);
        return;
    }
    buffer_add(out, SPAN("{\"id\":\""));
    id_add(out, id);
    member_add(out, SPAN("\",\"room\":"), room);
    member_add(out, SPAN(",\"event\":"), event);
    buffer_add(out, SPAN(",\"data\":"));
    if (kind == MESSAGE_TEXT) {
        text_to_json(out, rest);
    } else {
        take_line(&rest, SPAN("data: "), &value);
        buffer_add(out, value);
    }
    buffer_add(out, SPAN(",\"time\":\""));
    time_add(out, id.ms);
    buffer_add(out, SPAN("\"}"));
}
