/* answer.h - what all routes use to answer: heads, errors (RFC 9457), CORS (Fetch Standard 3.2). */

#ifndef ANSWER_H
#define ANSWER_H

#include "auth/access.h"
#include "net/exchange.h"

/* A field of the client's request; `at` is NULL when it has none of this name. */
struct span answer_field(const struct client *c, enum http_field name);

bool answer_is_head(const struct client *c);

/* Begins the head of an answer: status line, Date, Connection, CORS. More fields may be added to
 * what is returned, which is one buffer for all answers. */
struct buffer *answer_begin(const struct client *c, int status);

/* Sends what was begun, when its empty line is there too, and behind it `body`, which must stay
 * where it is. Without memory for it the connection is closed. */
void answer_send(struct client *c, struct span body);

/* The same with `left` bytes of a file, which is closed in the end. */
void answer_send_file(struct client *c, int file, uint64_t left);

/* Begins a stream, which has joined, with what was begun: the bytes from `hold` on go out only
 * after the replay. */
void answer_stream(struct client *c, size_t hold);

/* Ends what was begun with a body that is short enough to be copied, and sends it. HEAD gets the
 * head of the same answer. */
void answer_end(struct client *c, const char *type, const struct buffer *body);

/* A whole answer of JSON, without further fields. */
void answer_json(struct client *c, int status, const struct buffer *body);

/* Sends an error. `detail` is a sentence that tells the person what to change; `fields` are further
 * lines of the head, each with its line end. */
void answer_problem(struct client *c, int status, const char *detail);
void answer_problem_with(struct client *c, int status, const char *fields, const char *detail);

/* Sends a refusal, when there is one. Returns whether there was. */
bool answer_refusal(struct client *c, const struct refusal *refusal);

/* Answers a request that could not be parsed, or did not arrive in time. */
void answer_unreadable(struct client *c, int status);

#endif
