/* origins.h - hosts and origins: as the operator writes them, and as requests have them.
 *
 * A browser writes each of them in one way (URL Standard, "host serializing"; HTML Standard, "ASCII
 * serialization of an origin"): in lower case, without a default port, IPv6 in brackets and
 * compressed. At the start, the operator's values are brought into this form, or refused with a
 * sentence, so that each value that is accepted can match. */

#ifndef ORIGINS_H
#define ORIGINS_H

#include "base/bytes.h"

enum { ORIGINS_TEXT_BYTES = 384, ORIGINS_WHY_BYTES = 512 };

/* Read an item of --cors ("https://example.com", or "*" for all) and of --host ("example.com",
 * "example.com:8080"), and write it to `out` as a string in the form above. If no request could
 * match it, they return false, with what is wrong and what to write instead in `why`: the rest of a
 * sentence that begins with the item. */
bool origins_read(struct span text, char out[ORIGINS_TEXT_BYTES], char why[ORIGINS_WHY_BYTES]);
bool origins_read_host(struct span text, char out[ORIGINS_TEXT_BYTES], char why[ORIGINS_WHY_BYTES]);

/* Returns whether the value of Origin is `listed`, which origins_read has written. */
bool origins_match(struct span listed, struct span origin);

/* Returns whether the value of Host has the name and the port of `listed`, which origins_read_host
 * has written. A listed name without a port matches any port. */
bool origins_match_host(struct span listed, struct span host);

/* Returns whether `origin` is that of a page at `host`. Either scheme matches, because a proxy can
 * terminate TLS, and the server then does not know the scheme. */
bool origins_is_own(struct span origin, struct span host);

#endif
