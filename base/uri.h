/* uri.h - the parts of a URI (RFC 3986) that the server has to read: authorities and
 * percent-encoding. */

#ifndef URI_H
#define URI_H

#include "base/bytes.h"

/* Whether `s` is host [ ":" port ] with a host that is not empty (RFC 9110 7.2). A user and a
 * password before an '@' are refused. */
bool uri_is_authority(struct span s);

/* Takes "http://" or "https://" and an authority from the front of `*uri`: the rest begins with '/'
 * or '?', or is empty. False if they are not there; then neither span holds anything to rely on. */
bool uri_take_origin(struct span *uri, struct span *authority);

/* Decodes percent-encoding (RFC 3986 2.1) into `out`, which has room for `in.len` bytes and may be
 * the same place. With `plus` a '+' becomes a space, as in the query of an HTML form. Returns the
 * length, or -1 if a '%' is not followed by two hexadecimal digits. The result may contain any
 * byte, also NUL and '/', so the caller checks it after decoding, not before. */
ptrdiff_t uri_decode(struct span in, bool plus, char *out);

#endif
