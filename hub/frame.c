/* frame.c - writes frames, and reads the ones it wrote.
 *
 * Nothing here can be made to write a line that was not meant: field values come in without line
 * ends (the fields' rules forbid them), and data is split at every byte that a parser of the stream
 * takes for a line end. */

#include "hub/frame.h"

#include "base/date.h"
#include "base/print.h"
#include "base/scan.h"
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

/* Writes the text of an id so that it ends in front of `end`. Returns where it begins. */
static char *print_id(char *end, struct id id)
{
    char *at = print_decimal(end, id.seq);
    *--at = '-';
    return print_decimal(at, id.ms);
}

void id_add(struct buffer *out, struct id id)
{
    char text[ID_MAX_BYTES], *end = text + sizeof text, *at = print_id(end, id);
    buffer_add(out, (struct span) { at, (size_t)(end - at) });
}

void stamp_make(struct stamp *stamp, struct id id, uint64_t time_ms)
{
    char text[ID_MAX_BYTES], *end = text + sizeof text, *at = print_id(end, id);
    stamp->id_len = (uint8_t)(end - at);
    memcpy(stamp->id, at, stamp->id_len);
    date_rfc3339(time_ms, stamp->time);
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
    char *to = buffer_reserve(out, DATE_RFC3339_BYTES);
    if (to == NULL)
        return;
    date_rfc3339(ms, to);
    out->len += DATE_RFC3339_BYTES;
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

/* Takes the value of the next line off `*rest` when the line's name is `name`. */
static bool take_line(struct span *rest, struct span name, struct span *value)
{
    return scan_take_text(rest, name) && span_split(rest, '\n', value);
}

/* Whether the data of such a message is an object of ours, which repeats its id and time. */
static bool is_object(enum message_kind kind)
{
    return kind == MESSAGE_CHAT || kind == MESSAGE_BINARY;
}

/* The body is the event's line, if it has one, and then its content: lines of data, or the members
 * of an object that do not depend on the id. */
void frame_body(struct buffer *out, const struct message *m)
{
    if (m->event.len > 0)
        frame_line(out, SPAN("event"), m->event);
    if (!is_object(m->kind)) {
        frame_data(out, m->body);
        return;
    }
    member_add(out, SPAN("\"room\":"), m->room);
    member_add(out, SPAN(",\"name\":"), m->name);
    if (m->kind == MESSAGE_CHAT) {
        member_add(out, SPAN(",\"message\":"), m->body);
        return;
    }
    buffer_add(out, SPAN(",\"encoding\":\"base64\",\"data\":\""));
    char *to = buffer_reserve(out, TEXT_BASE64_BYTES(m->body.len));
    if (to != NULL)
        out->len += text_base64(m->body, to);
    buffer_add(out, SPAN("\""));
}

void frame_message(
    struct buffer *out, const struct frame_content *c, const struct stamp *stamp, bool chunked)
{
    bool object = is_object(c->kind);
    struct span content = c->body, event;
    size_t begin = frame_begin(out, chunked);
    buffer_add(out, SPAN("id: "));
    buffer_add(out, stamp_id(stamp));
    buffer_add(out, SPAN("\n"));
    if (take_line(&content, SPAN("event: "), &event))
        buffer_add(out, (struct span) { c->body.at, c->body.len - content.len });
    if (object) {
        buffer_add(out, SPAN("data: {\"id\":\""));
        buffer_add(out, stamp_id(stamp));
        buffer_add(out, SPAN("\","));
    }
    buffer_add(out, content);
    if (object) {
        buffer_add(out, SPAN(",\"time\":\""));
        buffer_add(out, stamp_time(stamp));
        if (c->key.len > 0) {
            member_add(out, SPAN("\",\"key\":"), c->key);
            buffer_add(out, SPAN("}\n"));
        } else {
            buffer_add(out, SPAN("\"}\n"));
        }
    }
    frame_end(out, begin, chunked);
}

/* A key is visible ASCII: of that two characters need a backslash. */
static size_t escaped_key_len(struct span key)
{
    size_t len = key.len;
    for (size_t i = 0; i < key.len; i++)
        len += key.at[i] == '"' || key.at[i] == '\\';
    return len;
}

size_t frame_size_max(const struct frame_content *c)
{
    size_t len = FRAME_ENVELOPE_BYTES + sizeof "id: \n\n" - 1 + ID_MAX_BYTES + c->body.len;
    if (is_object(c->kind))
        len +=
            sizeof "data: {\"id\":\"\",,\"time\":\"\"}\n" - 1 + ID_MAX_BYTES + DATE_RFC3339_BYTES;
    if (is_object(c->kind) && c->key.len > 0)
        len += sizeof ",\"key\":\"\"" - 1 + escaped_key_len(c->key);
    return len;
}

void frame_retry(struct buffer *out, uint64_t ms, bool chunked)
{
    size_t begin = frame_begin(out, chunked);
    buffer_add(out, SPAN("retry: "));
    buffer_add_number(out, ms);
    buffer_add(out, SPAN("\n"));
    frame_end(out, begin, chunked);
}

/* ==== Reading back =========================================================================== */

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

void frame_to_json(struct buffer *out, struct span payload, enum message_kind kind,
    struct span room, struct id id, uint64_t time_ms)
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
    time_add(out, time_ms);
    buffer_add(out, SPAN("\"}"));
}
