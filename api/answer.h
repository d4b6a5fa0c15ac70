/* answer.h - what all routes use to answer: heads, errors (RFC 9457), CORS (Fetch Standard 3.2). */

#ifndef ANSWER_H
#define ANSWER_H

#include "net/client.h"

/* A field of the client's request; `at` is NULL when it has none of this name. */
struct span answer_field(const struct client *c, enum http_field name);

bool answer_is_head(const struct client *c);

/* Begins an answer in server.scratch: status line, Date, Connection, CORS. More fields may be added
 * to what is returned. */
struct buffer *answer_begin(struct client *c, int status);

/* The fields that tell a browser whether a page of another origin may read this; answer_begin
 * writes them. */
void answer_add_cors(struct buffer *out, const struct client *c);

/* Ends it with a body that is short enough to be copied, and sends it. HEAD gets the head of the
 * same answer. */
void answer_end(struct client *c, const char *type, struct span body);

/* Sends an error. `detail` is a sentence that tells the person what to change; `fields` are further
 * lines of the head, each with its line end. */
void answer_problem(struct client *c, int status, const char *detail);
void answer_problem_with(struct client *c, int status, const char *fields, const char *detail);

/* Answers a request that could not be parsed, or did not arrive in time, and closes. */
void answer_refuse(struct client *c, int status);

/* The origin itself when --cors lists it, else "*" when that is listed; else `at` is NULL. */
struct span answer_allowed_origin(struct span origin);

#endif
