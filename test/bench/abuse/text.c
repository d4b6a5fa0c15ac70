/* text.c - requests, written from templates. */

#include "test/bench/abuse/abuse.h"

void text_add(struct text *t, const void *bytes, size_t len)
{
    if (t->len + len + 1 > t->capacity) {
        t->capacity = 2 * (t->len + len + 1);
        t->at = realloc(t->at, t->capacity);
        if (t->at == NULL)
            fail("out of memory");
    }
    memcpy(t->at + t->len, bytes, len);
    t->len += len;
    t->at[t->len] = '\0';
}

/* Returns the end of the repetition whose content begins here: its '>'. */
static const char *find_end(const char *at)
{
    for (int depth = 1; *at != '\0'; at++) {
        depth += (*at == '<') - (*at == '>');
        if (depth == 0)
            return at;
    }
    fail("a template has no '>'");
}

/* Appends the part of a template between two places. */
static void expand(struct text *t, const char *at, const char *end, unsigned number)
{
    while (at < end) {
        size_t plain = strcspn(at, "<#");
        if (plain > (size_t)(end - at))
            plain = (size_t)(end - at);
        text_add(t, at, plain);
        at += plain;
        if (at < end && *at == '#') {
            char digits[16];
            text_add(t, digits, (size_t)snprintf(digits, sizeof digits, "%04u", number));
            at++;
        } else if (at < end) {
            char *content;
            unsigned long times = strtoul(at + 1, &content, 10);
            const char *stop = find_end(++content);
            for (unsigned i = 0; i < times; i++)
                expand(t, content, stop, i);
            at = stop + 1;
        }
    }
}

/* Appends a template. */
static void add_form(struct text *t, const char *form, unsigned number)
{
    expand(t, form, form + strlen(form), number);
}

void text_request(struct text *t, const struct request *request, unsigned number)
{
    struct text body = { 0 };
    const char *fields = request->fields != NULL ? request->fields : "";
    text_add(&body, "", 0);
    add_form(t, request->target, number);
    add_form(t, " HTTP/1.1\r\nHost: a\r\n", 0);
    add_form(t, fields, number);
    if (request->body != NULL) {
        char length[64];
        add_form(&body, request->body, number);
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", body.len);
        if (strstr(fields, "Content-Type") == NULL)
            add_form(t, "Content-Type: application/json\r\n", 0);
        if (strstr(fields, "Transfer-Encoding") == NULL)
            add_form(t, length, 0);
    }
    add_form(t, "\r\n", 0);
    text_add(t, body.at, body.len);
    free(body.at);
}
