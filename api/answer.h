/* answer.h - what all handlers use to answer: heads, JSON, errors (RFC 9457), CORS (the Fetch
 * Standard's "CORS protocol").
 *
 * A request is answered once. After any function here that sends, the request and its bytes are
 * gone, and the client may be closed. */

#ifndef ANSWER_H
#define ANSWER_H

#include "auth/access.h"
#include "net/exchange.h"

/* The value of a field of the client's request; `at` is NULL when it has no field of this name. */
struct span answer_field(const struct client *c, enum http_field name);

bool answer_is_head(const struct client *c);

/* Begins the head of an answer: status line, Date, Connection, CORS. The caller adds more fields
 * and the empty line to the buffer that is returned. All answers share it: it is valid until the
 * answer is sent. */
struct buffer *answer_begin(const struct client *c, int status);

/* Sends the head that was begun, and behind it `body`, which must stay where it is until all of it
 * has been sent. Closes the connection instead when out of memory; so do the functions below. */
void answer_send(struct client *c, struct span body);

/* Sends the head that was begun, and behind it `left` bytes of `file`, a descriptor that is closed
 * in the end, also on failure. */
void answer_send_file(struct client *c, int file, uint64_t left);

/* Sends the head that was begun and makes the client a stream; it must have joined its rooms. The
 * bytes from `hold` on are sent only after the replay. */
void answer_stream(struct client *c, size_t hold);

/* Ends the head that was begun, copies `body` behind it, and sends both. HEAD gets the same head
 * without the body. */
void answer_end(struct client *c, const char *type, const struct buffer *body);

/* Sends a whole answer: the head and a JSON body, which is copied. */
void answer_json(struct client *c, int status, const struct buffer *body);

/* Sends an error. `detail` is a sentence that tells a person what is wrong and what to change;
 * `fields` are more lines for the head, each with its line end. */
void answer_problem(struct client *c, int status, const char *detail);
void answer_problem_with(struct client *c, int status, const char *fields, const char *detail);

/* Sends a refusal, unless it is NULL. Returns whether it was sent. */
bool answer_refusal(struct client *c, const struct refusal *refusal);

/* Answers a request that could not be parsed or did not arrive in time; `status` says which. */
void answer_unreadable(struct client *c, int status);

#endif
