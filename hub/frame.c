/* frame.c - writes frames, and reads back the ones it wrote.
 *
 * An event stream consists of lines, so a text with line ends could forge lines: an id that moves
 * the reader, a `ready`, a message in another user's name. No text can do so here, because only CR,
 * LF and CRLF end a line of a stream (HTML Standard 9.2.5), and
 *
 *  - data is split at each of them, and we write "data: " before every piece:
 *
 *            "hi\n\nevent: ready\rid: 9"   ──►   data: hi
 *                                                  data:
 *                                                  data: event: ready
 *                                                  data: id: 9
 *
 *  - JSON strings escape them, and JSON from a POST is compacted to one line (json.h);
 *  - event names contain none (rules.h), and ids consist of digits and a hyphen.
 *
 * Some readers also end a line at U+0085, U+2028 and U+2029. All JSON escapes these; text has them
 * as posted, because a data line has no other way to write them.
 *
 * Spaces at the start of a text are kept, because a parser drops one space after the colon, and we
 * always write one. No frame is parsed to find its end, because the ring knows where frames begin.
 * The lines of a frame are read back in the order in which they were written. */

#include "hub/frame.h"

#include "base/date.h"
#include "base/print.h"
#include "base/scan.h"
#include "base/text.h"
#include "json.h"

/* ==== Ids and times ========================================================================== */

/* Reads one half of an id: no sign and no leading zero, so that every id has one spelling, and
 * clients can compare ids as text. */
static bool parse_half(struct span s, uint64_t *half)
{
    unsigned long long number;
    if ((s.len > 1 && s.at[0] == '0') || !span_number(s, UINT64_MAX, &number))
        return false;
    *half = number;
    return true;
}

/* Checks `s.at`, which span_split sets to NULL if there is no hyphen. */
bool id_parse(struct span s, struct id *id)
{
    struct span ms;
    return span_split(&s, '-', &ms) && s.at != NULL && parse_half(ms, &id->ms) &&
           parse_half(s, &id->seq);
}

/* Writes the text of an id backwards from `end`, because that is how digits are computed. Returns
 * where the text begins. */
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

/* Makes the digits once; frame, journal and receipt copy them. */
void stamp_make(struct stamp *stamp, struct id id, uint64_t time_ms)
{
    if (stamp->id_len == 0)
        date_rfc3339(time_ms, stamp->time);
    else
        date_rfc3339_change(stamp->time_ms, time_ms, stamp->time);
    stamp->time_ms = time_ms;
    char text[ID_MAX_BYTES], *end = text + sizeof text, *at = print_id(end, id);
    stamp->id_len = (uint8_t)(end - at);
    span_copy(stamp->id, (struct span) { at, stamp->id_len });
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

/* Leaves room for the lead, which frame_end fills in when it knows the chunk's size. */
size_t frame_begin(struct buffer *out, bool chunked)
{
    size_t begin = out->len;
    if (chunked)
        buffer_add(out, SPAN("00000000\r\n"));
    return begin;
}

/* Writes the envelope around the bytes from `lead` on, unless `lead` is NULL: the chunk's size
 * counts the payload, but not lead and trail (RFC 9112 7.1). */
static char *put_envelope(char *to, char *lead)
{
    if (lead == NULL)
        return to;
    size_t size = (size_t)(to - lead) - FRAME_LEAD_BYTES;
    must(size <= UINT32_MAX);
    scan_put_hex(lead, 8, size);
    span_put(lead + 8, SPAN("\r\n"));
    return span_put(to, SPAN("\r\n"));
}

/* Writes the empty line that ends the event, and the envelope. */
static char *put_end(char *to, char *lead)
{
    *to++ = '\n';
    return put_envelope(to, lead);
}

/* After a failed write the lead may be missing, so nothing is filled in. */
void frame_end(struct buffer *out, size_t begin, bool chunked)
{
    char *to = buffer_reserve(out, sizeof "\n\r\n" - 1);
    if (!out->failed)
        out->len += (size_t)(put_end(to, chunked ? out->at + begin : NULL) - to);
}

/* Appends one line "name: value". The value must not contain a line end: callers pass an event's
 * name, which its rule has checked, or a piece that frame_data has cut. */
static void frame_line(struct buffer *out, struct span name, struct span value)
{
    buffer_add(out, name);
    buffer_add(out, SPAN(": "));
    buffer_add(out, value);
    buffer_add(out, SPAN("\n"));
}

/* Writes as many lines as the text has: an empty text is one empty line, and a final line end
 * begins one more. CRLF is one line end. Clients join with LF, so the kind of line end is lost. */
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

/* Writes compacted JSON as one line. */
static void frame_json(struct buffer *out, struct span json)
{
    buffer_add(out, SPAN("data: "));
    char *to = buffer_reserve(out, JSON_LINE_MAX(json.len));
    if (to != NULL)
        out->len += json_line(json, to);
    buffer_add(out, SPAN("\n"));
}

/* Writes a member of a JSON object. `name` includes quotes, colon, and whatever precedes it. */
static inline char *put_member(char *to, struct span name, struct span value)
{
    to = span_put(to, name);
    return to + json_escape(value, to);
}

/* Takes the next line off `*rest` if that line begins with `name`, and puts the rest of the line
 * into `*value`. Otherwise it takes nothing. */
static bool take_line(struct span *rest, struct span name, struct span *value)
{
    return scan_take_text(rest, name) && span_split(rest, '\n', value);
}

/* Returns whether the data of a message of this kind is an object that we make. The object repeats
 * the id and the time, so that the data alone contains the entire message. */
static bool is_object(enum message_kind kind)
{
    return kind == MESSAGE_CHAT || kind == MESSAGE_BINARY;
}

/* Writes the event line, if there is one, and then the content: lines of data, or those members of
 * an object that do not depend on the id. Escaping and Base64 are done only here, once per POST; a
 * repeated POST is recognized by these bytes. */
void frame_body(struct buffer *out, const struct message *m)
{
    if (m->event.len > 0)
        frame_line(out, SPAN("event"), m->event);
    if (!is_object(m->kind)) {
        if (m->kind == MESSAGE_JSON)
            frame_json(out, m->body);
        else
            frame_data(out, m->body);
        return;
    }
    bool chat = m->kind == MESSAGE_CHAT;
    size_t body = chat ? JSON_ESCAPED_MAX(m->body.len) : TEXT_BASE64_BYTES(m->body.len);
    size_t names = JSON_ESCAPED_MAX(m->room.len) + JSON_ESCAPED_MAX(m->name.len);
    char *begin =
        buffer_reserve(out, sizeof "'room':,'name':,'encoding':'base64','data':''" + names + body);
    if (begin == NULL)
        return;
    char *to = put_member(begin, SPAN("\"room\":"), m->room);
    to = put_member(to, SPAN(",\"name\":"), m->name);
    if (chat) {
        to = put_member(to, SPAN(",\"message\":"), m->body);
    } else {
        to = span_put(to, SPAN(",\"encoding\":\"base64\",\"data\":\""));
        to += text_base64(m->body, to);
        *to++ = '"';
    }
    out->len += (size_t)(to - begin);
}

/* Puts the id, event and data lines together:
 *
 *      id: 1760000000000-0                              the stamp
 *      event: news                                      the body's event line, if any
 *      data: {"id":"1760000000000-0",                   objects only: the stamp
 *             "room":"lobby","name":"ann",...           the body: members, or whole data lines
 *             ,"time":"...","key":"k"}                  objects only: the stamp, the key
 *
 * A body without an event begins with "data: " or with a quote, so no content can be mistaken for
 * an event line. The longest possible frame is reserved first, so that nothing else can fail. */
void frame_message(
    struct buffer *out, const struct frame_content *c, const struct stamp *stamp, bool chunked)
{
    bool object = is_object(c->kind);
    struct span content = c->body, event;
    char *begin = buffer_reserve(out, frame_size_max(c));
    if (begin == NULL)
        return;
    char *to = span_put(chunked ? begin + FRAME_LEAD_BYTES : begin, SPAN("id: "));
    to = span_put(to, stamp_id(stamp));
    *to++ = '\n';
    if (take_line(&content, SPAN("event: "), &event)) /* the unchanged line with its LF */
        to = span_put(to, (struct span) { c->body.at, c->body.len - content.len });
    if (object) {
        to = span_put(to, SPAN("data: {\"id\":\""));
        to = span_put(to, stamp_id(stamp));
        to = span_put(to, SPAN("\","));
    }
    to = span_put(to, content);
    if (object) {
        to = span_put(to, SPAN(",\"time\":\""));
        to = span_put(to, stamp_time(stamp));
        *to++ = '"';
        if (c->key.len > 0)
            to = put_member(to, SPAN(",\"key\":"), c->key);
        to = span_put(to, SPAN("}\n"));
    }
    out->len += (size_t)(put_end(to, chunked ? begin : NULL) - begin);
}

/* Returns the length of a key in JSON. Only two visible ASCII characters are escaped. */
static size_t escaped_key_len(struct span key)
{
    size_t len = key.len;
    for (size_t i = 0; i < key.len; i++)
        len += key.at[i] == '"' || key.at[i] == '\\';
    return len;
}

/* Counts exactly what frame_message writes with the longest id, because in hub_safe no frame may be
 * longer than what was reserved, and this length decides whether a POST is too large. */
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

/* Writes no empty line: parsers less exact than a browser's make an empty message of a block that
 * has only `retry:`, and a page that parses its data as JSON then fails and reconnects for ever. */
void frame_retry(struct buffer *out, uint64_t ms, bool chunked)
{
    size_t begin = frame_begin(out, chunked);
    buffer_add(out, SPAN("retry: "));
    buffer_add_number(out, ms);
    buffer_add(out, SPAN("\n"));
    char *to = buffer_reserve(out, FRAME_TRAIL_BYTES);
    if (!out->failed)
        out->len += (size_t)(put_envelope(to, chunked ? out->at + begin : NULL) - to);
}

/* ==== Reading back =========================================================================== */

/* Joins the lines of a text with LF into one string, as a client would. Reserves for all lines at
 * once: an escaped LF is shorter than the "data: " that it replaces. */
static void text_to_json(struct buffer *out, struct span lines)
{
    char *begin = buffer_reserve(out, JSON_ESCAPED_MAX(lines.len)), *to = begin;
    if (begin == NULL)
        return;
    *to++ = '"';
    while (scan_take_text(&lines, SPAN("data: "))) {
        if (!scan_next_is(lines, '\n')) { /* an empty line costs no search */
            struct span line = { lines.at, span_find(lines, '\n') };
            to += json_escape_inside(line, to);
            scan_skip(&lines, line.len);
        }
        scan_take(&lines, '\n');
        to = span_put(to, SPAN("\\n"));
    }
    if (to > begin + 1) /* no LF follows the last line */
        to -= 2;
    *to++ = '"';
    out->len += (size_t)(to - begin);
}

/* Copies the payload, and returns the copy only if it is longer. */
struct span frame_renew(struct buffer *scratch, struct span payload, enum message_kind kind)
{
    struct span data = payload, line;
    if (kind == MESSAGE_TEXT || kind == MESSAGE_OTHER)
        return payload;
    take_line(&data, SPAN("id: "), &line);
    take_line(&data, SPAN("event: "), &line);
    buffer_clear(scratch);
    buffer_add(scratch, (struct span) { payload.at, payload.len - data.len });
    char *to = buffer_reserve(scratch, JSON_LINE_MAX(data.len));
    if (to == NULL)
        return payload;
    scratch->len += json_line(data, to);
    return scratch->len == payload.len ? payload : buffer_span(scratch);
}

/* Relies on the order in which frame_message wrote the payload's lines; missing lines are skipped.
 * A chat message's data is already the element of GET /messages; other data is wrapped in one. */
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
    buffer_add(out, SPAN("\",\"room\":"));
    json_string_add(out, room);
    buffer_add(out, SPAN(",\"event\":"));
    json_string_add(out, event);
    buffer_add(out, SPAN(",\"data\":"));
    if (kind != MESSAGE_JSON) {
        text_to_json(out, rest);
    } else {
        take_line(&rest, SPAN("data: "), &value);
        buffer_add(out, value);
    }
    buffer_add(out, SPAN(",\"time\":\""));
    time_add(out, time_ms);
    buffer_add(out, SPAN("\"}"));
}
