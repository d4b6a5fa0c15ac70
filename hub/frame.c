/* frame.c - writes frames, and reads back the ones it wrote.
 *
 * An event stream is lines, so a text with line ends could forge some: an id that moves the reader,
 * a `ready`, a message in another's name. No text can, because a parser of the stream takes CR, LF
 * and CRLF for line ends and nothing else (HTML Standard 9.2.5), and
 *
 *  - data is split at each of them, and every piece is behind a "data: " of ours:
 *
 *            "hi\n\nevent: ready\rid: 9"   ──►   data: hi
 *                                                  data:
 *                                                  data: event: ready
 *                                                  data: id: 9
 *
 *  - in JSON they are escaped, and what a POST gave as JSON is compacted to one line (json.h);
 *  - event names have none (rules.h), and ids are digits and a hyphen.
 *
 * The other end of a line is safe too: a parser drops one space behind the colon, and we always
 * write one, so that a text may begin with spaces. No frame in a ring is parsed by looking for its
 * end: the ring knows where frames begin, and reading back takes the lines in the order of writing.
 */

#include "hub/frame.h"

#include "base/date.h"
#include "base/print.h"
#include "base/scan.h"
#include "base/text.h"
#include "json.h"

/* ==== Ids and times ========================================================================== */

/* Reads one half of an id: no sign and no leading zero, so that every id has one spelling, and
 * clients may compare ids as text. */
static bool parse_half(struct span s, uint64_t *half)
{
    unsigned long long number;
    if ((s.len > 1 && s.at[0] == '0') || !span_number(s, UINT64_MAX, &number))
        return false;
    *half = number;
    return true;
}

/* span_split leaves `s.at` NULL when there was no hyphen. */
bool id_parse(struct span s, struct id *id)
{
    struct span ms;
    return span_split(&s, '-', &ms) && s.at != NULL && parse_half(ms, &id->ms) &&
           parse_half(s, &id->seq);
}

/* Writes the text of an id backwards, as digits come, so that it ends in front of `end`. Returns
 * where it begins. */
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

/* The digits are made once; frame, journal and receipt copy them. */
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

/* The chunk's size is not known yet; frame_end fills in the digits. */
size_t frame_begin(struct buffer *out, bool chunked)
{
    size_t begin = out->len;
    if (chunked)
        buffer_add(out, SPAN("00000000\r\n"));
    return begin;
}

/* The chunk's size counts the payload with its empty line, not lead and trail (RFC 9112 7.1).
 * After a failed write the lead may be missing, so nothing is filled in then. */
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

/* Appends one line "name: value". The value must hold no line end: callers pass an event's name,
 * which its rule has checked, or a piece that frame_data has cut. */
static void frame_line(struct buffer *out, struct span name, struct span value)
{
    buffer_add(out, name);
    buffer_add(out, SPAN(": "));
    buffer_add(out, value);
    buffer_add(out, SPAN("\n"));
}

/* As many lines come out as went in: an empty text is one empty line, and a line end at the end
 * begins one more. CRLF is one line end. What kind each was is lost; a client joins lines by LF. */
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

/* Appends a member of a JSON object. `name` has its quotes, its colon, and what goes before it. */
static void member_add(struct buffer *out, struct span name, struct span value)
{
    buffer_add(out, name);
    json_string_add(out, value);
}

/* Takes the next line off `*rest` when it begins with `name`, and returns the rest of it in
 * `*value`. Otherwise it takes nothing. */
static bool take_line(struct span *rest, struct span name, struct span *value)
{
    return scan_take_text(rest, name) && span_split(rest, '\n', value);
}

/* Whether the data of such a message is an object of ours. It repeats the id and the time, so that
 * a reader of the data alone has all of the message. */
static bool is_object(enum message_kind kind)
{
    return kind == MESSAGE_CHAT || kind == MESSAGE_BINARY;
}

/* The body is the event's line, if it has one, and then its content: lines of data, or those
 * members of an object that do not depend on the id. Escaping and Base64 are paid for here, once,
 * at the POST; a repeated POST is recognised by these bytes. */
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

/* Puts the id's line, the event's, and the data's together:
 *
 *      id: 1760000000000-0                              the stamp
 *      event: news                                      the front of the body, if it is there
 *      data: {"id":"1760000000000-0",                   objects only: the stamp
 *             "room":"lobby","name":"ann",...           the body: members, or whole data lines
 *             ,"time":"...","key":"k"}                  objects only: the stamp, the key
 *
 * A body without an event begins with "data: " or with a quote, so no content can be taken for an
 * event's line. */
void frame_message(
    struct buffer *out, const struct frame_content *c, const struct stamp *stamp, bool chunked)
{
    bool object = is_object(c->kind);
    struct span content = c->body, event;
    size_t begin = frame_begin(out, chunked);
    buffer_add(out, SPAN("id: "));
    buffer_add(out, stamp_id(stamp));
    buffer_add(out, SPAN("\n"));
    if (take_line(&content, SPAN("event: "), &event)) /* the line as it is, with its LF */
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

/* A key is visible ASCII, of which only two characters need a backslash. */
static size_t escaped_key_len(struct span key)
{
    size_t len = key.len;
    for (size_t i = 0; i < key.len; i++)
        len += key.at[i] == '"' || key.at[i] == '\\';
    return len;
}

/* Counts what frame_message writes, exactly for the longest id: hub_safe must never find a frame
 * that is longer than what was reserved, and a POST is refused as too large by this length. */
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

/* The lines of a text become one string again, as a client would join them: by LF. */
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
        /* It writes quotes of its own: the text moves over the first, the last is not counted. */
        size_t len = json_escape(line, to) - 2;
        memmove(to, to + 1, len);
        out->len += len;
    }
    buffer_add(out, SPAN("\""));
}

/* The payload is one that frame_message wrote, so its lines have a known order, and those that are
 * not there are skipped. The data of a chat message is already the element; all else is wrapped. */
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
