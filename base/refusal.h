/* refusal.h - why a request gets an error instead of an answer, and what its sender can change. */

#ifndef REFUSAL_H
#define REFUSAL_H

#include "base/bytes.h"

struct refusal {
    int status;
    const char *fields; /* more fields for the answer's head, each with its line end */
    const char *detail; /* tells the user what to change (RFC 9457) */
};

/* The rules of HTTP that a request can break. The parser finds all but the last two. */
enum refuse {
    REFUSE_NONE,
    REFUSE_TLS,
    REFUSE_PROXY,
    REFUSE_METHOD,
    REFUSE_URL_MISSING,
    REFUSE_URL_CHARACTER,
    REFUSE_URL_FRAGMENT,
    REFUSE_URL_LENGTH,
    REFUSE_URL_FORM,
    REFUSE_URL_ASTERISK,
    REFUSE_URL_AUTHORITY,
    REFUSE_VERSION,
    REFUSE_VERSION_NUMBER,
    REFUSE_BARE_LF,
    REFUSE_FIELD_FOLDED,
    REFUSE_FIELD_SPACE,
    REFUSE_FIELD_NAME,
    REFUSE_FIELD_VALUE,
    REFUSE_FIELD_REPEATED,
    REFUSE_FIELD_COUNT,
    REFUSE_HEAD_LENGTH,
    REFUSE_HOST_MISSING,
    REFUSE_HOST_VALUE,
    REFUSE_LENGTH_VALUE,
    REFUSE_LENGTH_REPEATED,
    REFUSE_CODING_LENGTH,
    REFUSE_CODING_VERSION,
    REFUSE_CODING_ORDER,
    REFUSE_CODING_UNKNOWN,
    REFUSE_EXPECTATION,
    REFUSE_BODY_UNEXPECTED,
    REFUSE_BODY_LENGTH,
    REFUSE_CHUNK_SIZE,
    REFUSE_CHUNK_LINE,
    REFUSE_CHUNK_END,
    REFUSE_TRAILER_LENGTH,
    REFUSE_TOO_SLOW,
    REFUSE_NO_MEMORY,
    REFUSE_COUNT
};

/* Returns the answer to a request that breaks the rule `why` (enum refuse): a constant. */
const struct refusal *refusal_get(int why);

/* Return the rule (enum refuse) that is broken by a request that begins with `c`, by a target of
 * `len` valid bytes after which comes `end`, and by a line that is not a field. */
int refusal_of_start(char c);
int refusal_of_target(size_t len, char end);
int refusal_of_line(struct span line);

#endif
