/* uri.h - the parts of a URI (RFC 3986) that the server has to read: authorities and
 * percent-encoding. */

#ifndef URI_H
#define URI_H

#include "base/bytes.h"

/* Returns whether `s` is host [ ":" port ] with a non-empty host (RFC 9110 7.2). Refuses a user
 * name and password before an '@'. */
bool uri_is_authority(struct span s);

/* Takes "http://" or "https://" and an authority off the front of `*uri`: the rest begins with '/'
 * or '?', or is empty. Returns false if either is missing or invalid; use neither span then. */
bool uri_take_origin(struct span *uri, struct span *authority);

/* Takes the next parameter that is not empty off the front of a query, "a=1&&b": its name and
 * value, still encoded. `value->at` is NULL if there is no '='. Returns false at the end of the
 * query. A query of thousands of parameters is no use; readers stop after URI_PARAMETERS_MAX. */
enum { URI_PARAMETERS_MAX = 64 };
bool uri_parameter(struct span *query, struct span *name, struct span *value);

/* Returns whether `encoded` is `plain` once its percent-encoding is undone. */
bool uri_means(struct span encoded, struct span plain);

/* Decodes percent-encoding (RFC 3986 2.1) into `out`, which has room for `in.len` bytes and may be
 * the memory of `in`. If `plus` is set, a '+' becomes a space, as in the query of an HTML form.
 * Returns the length, or -1 if a '%' is not followed by two hexadecimal digits. The result can
 * contain any byte, even NUL and '/', so check it after decoding, not before. */
ptrdiff_t uri_decode(struct span in, bool plus, char *out);

#endif
