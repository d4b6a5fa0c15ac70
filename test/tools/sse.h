/* sse.h - an event stream as a tool reads it: removes the HTTP framing, and splits the rest into
 * events (HTML Standard, 9.2.6).
 *
 * The bytes may come in pieces of any size, and the stream may end anywhere, because servers are
 * killed. Invalid framing is a failure: the owner's `broken` must not return. */

#ifndef SSE_H
#define SSE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { SSE_EVENT_MAX = 16384 }; /* bytes of a line, and of an event's data */

struct sse {
    void *owner;
    void (*take)(struct sse *); /* is called for each event: reads `event`, `id` and `data` */
    __attribute__((noreturn)) void (*broken)(struct sse *, const char *what, const char *bytes);

    bool http10; /* HTTP/1.0, which has no chunks */
    enum { SSE_HEAD, SSE_SIZE, SSE_DATA, SSE_DATA_END, SSE_END, SSE_PLAIN, SSE_ENDED } state;
    size_t left;     /* bytes left of the chunk */
    unsigned digits; /* digits read of a chunk's size, or bytes of a line end */
    bool skip_lf;    /* the last byte was a CR */
    char line[SSE_EVENT_MAX], data[SSE_EVENT_MAX], event[128], id[64];
    size_t line_len, data_len;
    bool has_data, has_id;
};

/* Begins a new connection. The owner's fields stay. */
static inline void sse_begin(struct sse *s, bool http10)
{
    s->http10 = http10;
    s->state = SSE_HEAD;
    s->skip_lf = s->has_data = s->has_id = false;
    s->line_len = s->data_len = 0;
    s->event[0] = s->id[0] = s->data[0] = '\0';
}

/* Hands the collected lines to the owner at an empty line. A block without data, such as one with
 * only a retry, is not an event. */
static inline void sse_dispatch(struct sse *s)
{
    if (s->has_data)
        s->take(s);
    s->event[0] = s->id[0] = s->data[0] = '\0';
    s->data_len = 0;
    s->has_data = s->has_id = false;
}

/* Takes one line of the stream, without its line end. */
static inline void sse_take_line(struct sse *s)
{
    s->line[s->line_len] = '\0';
    char *value = strchr(s->line, ':');
    size_t name_len = value != NULL ? (size_t)(value - s->line) : s->line_len;
    if (s->line_len == 0) {
        sse_dispatch(s);
        return;
    }
    value = value == NULL ? s->line + s->line_len : value[1] == ' ' ? value + 2 : value + 1;
    if (name_len == 5 && memcmp(s->line, "event", 5) == 0) {
        snprintf(s->event, sizeof s->event, "%s", value);
    } else if (name_len == 2 && memcmp(s->line, "id", 2) == 0) {
        snprintf(s->id, sizeof s->id, "%s", value);
        s->has_id = true;
    } else if (name_len == 4 && memcmp(s->line, "data", 4) == 0) {
        int n = snprintf(s->data + s->data_len, sizeof s->data - s->data_len, "%s%s",
            s->has_data ? "\n" : "", value);
        s->data_len += (size_t)n;
        s->has_data = true;
        if (s->data_len >= sizeof s->data)
            s->broken(s, "an event is longer than any that was sent", s->data);
    } else if (name_len != 0 && !(name_len == 5 && memcmp(s->line, "retry", 5) == 0)) {
        s->broken(s, "a line is not a field of an event stream", s->line);
    }
}

/* Splits the stream into lines that end with CR, LF or CRLF. */
static inline void sse_take_text(struct sse *s, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool skip = s->skip_lf && bytes[i] == '\n';
        s->skip_lf = bytes[i] == '\r';
        if (skip)
            continue;
        if (bytes[i] == '\r' || bytes[i] == '\n') {
            sse_take_line(s);
            s->line_len = 0;
            continue;
        }
        if (s->line_len + 1 >= sizeof s->line)
            s->broken(s, "a line is longer than any that was sent", "");
        s->line[s->line_len++] = bytes[i];
    }
}

/* Takes one byte of the head, of a chunk's size, or of a line end after a chunk. */
static inline void sse_take_frame_byte(struct sse *s, char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *digit = c != '\0' ? strchr(digits, c) : NULL;
    /* The head is kept in `line`, which no event needs until the head is complete. */
    if (s->state == SSE_HEAD) {
        if (s->line_len + 1 >= sizeof s->line)
            s->broken(s, "the answer's head does not end", "");
        s->line[s->line_len++] = c;
        s->line[s->line_len] = '\0';
        if (s->line_len < 4 || strcmp(s->line + s->line_len - 4, "\r\n\r\n") != 0)
            return;
        bool chunked = strcasestr(s->line, "\r\nTransfer-Encoding: chunked\r\n") != NULL;
        if (strncmp(s->line, "HTTP/1.1 200 ", 13) != 0 || chunked == s->http10)
            s->broken(s, "expected a 200, with chunks only for HTTP/1.1", s->line);
        s->state = chunked ? SSE_SIZE : SSE_PLAIN;
        s->line_len = 0;
        s->digits = 0;
    } else if (s->state == SSE_SIZE && digit != NULL && s->digits < 8) {
        s->left = (s->digits++ == 0 ? 0 : s->left * 16) + (size_t)(digit - digits);
    } else if (s->state == SSE_SIZE && c == '\n' && s->digits > 0) {
        s->state = s->left > 0 ? SSE_DATA : SSE_END;
        s->digits = 0;
    } else if (s->state == SSE_DATA_END || s->state == SSE_END) {
        if (c != "\r\n"[s->digits])
            s->broken(s, "expected CR LF after a chunk, got something else", "");
        if (++s->digits == 2) {
            s->state = s->state == SSE_END ? SSE_ENDED : SSE_SIZE;
            s->digits = 0;
        }
    } else if (s->state != SSE_SIZE || c != '\r' || s->digits == 0) {
        s->broken(s, "expected a chunk size, got something else", "");
    }
}

/* Takes bytes from the connection: a head, then chunks or, for HTTP/1.0, plain bytes. */
static inline void sse_take(struct sse *s, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t n = 1;
        if (s->state == SSE_DATA || s->state == SSE_PLAIN) {
            n = s->state == SSE_PLAIN || len - at < s->left ? len - at : s->left;
            sse_take_text(s, bytes + at, n);
            s->left -= s->state == SSE_DATA ? n : 0;
            if (s->state == SSE_DATA && s->left == 0)
                s->state = SSE_DATA_END;
        } else {
            sse_take_frame_byte(s, bytes[at]);
        }
        at += n;
    }
}

#endif
