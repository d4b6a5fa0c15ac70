/* answer.h - how all handlers answer: heads, JSON, errors (RFC 9457), CORS (the Fetch Standard's
 * "CORS protocol").
 *
 * Answer each request exactly once. After a function here that sends, the request and its bytes are
 * gone, and the client may be closed. */

#ifndef ANSWER_H
#define ANSWER_H

#include "auth/access.h"
#include "net/exchange.h"

/* Returns a field of the client's request; its `at` is NULL if the request has no such field. */
struct span answer_field(const struct client *c, enum http_field name);

/* Returns whether the client's request has a field more than once. */
bool answer_repeats(const struct client *c, enum http_field name);

bool answer_is_head(const struct client *c);

/* Begins the head of an answer: status line, Date, Connection, CORS. Returns the buffer, to which
 * the caller adds more fields and the empty line. All answers share this buffer: it is valid until
 * the answer is sent. */
struct buffer *answer_begin(const struct client *c, int status);

/* Begins an answer that no page of another origin may read: without CORS. */
struct buffer *answer_begin_private(const struct client *c, int status);

/* Sends the head that was begun, then `body`, which must stay in place until all of it is sent. If
 * out of memory, closes the connection instead; so do the functions below. */
void answer_send(struct client *c, struct span body);

/* Sends the head that was begun, then `left` bytes from the descriptor `file`, from its offset on.
 * It is closed afterwards, even on failure. */
void answer_send_file(struct client *c, int file, uint64_t left);

/* Sends the head that was begun and makes the client a stream; the client must have joined its
 * rooms. The bytes from `hold` on are sent only after the replay. */
void answer_stream(struct client *c, size_t hold);

/* Ends the head that was begun, copies `body` after it, and sends both. HEAD gets only the head; if
 * `body` is empty then, the head does not give its length. */
void answer_end(struct client *c, struct span type, const struct buffer *body);

/* Sends a complete answer: the head and a JSON body, which is copied. */
void answer_json(struct client *c, int status, const struct buffer *body);

/* Sends an error. `detail` is a sentence that tells people what is wrong and what to change;
 * `fields` are additional lines of the head, each with its line end. */
void answer_problem(struct client *c, int status, const char *detail);
void answer_problem_with(struct client *c, int status, const char *fields, const char *detail);

/* Sends the error for an address whose posts are over its allowance, and says after how many
 * seconds it may try again. */
void answer_too_fast(struct client *c, unsigned seconds);

/* Sends a refusal and returns true, or returns false if `refusal` is NULL. */
bool answer_refusal(struct client *c, const struct refusal *refusal);

#endif
