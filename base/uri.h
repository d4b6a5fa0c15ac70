/* uri.h - the parts of a URI (RFC 3986) that need reading: authorities and percent-encoding. */

#ifndef URI_H
#define URI_H

#include "base/bytes.h"

/* host [ ":" port ], the host not empty (RFC 9110 7.2). A user and a password before an '@' are
 * refused with it. */
bool uri_is_authority(struct span s);

/* Takes "http://" or "https://" and an authority from the front of `*uri`: what is left begins with
 * '/' or '?', or is empty. False, with no use in either, when there are none. */
bool uri_take_origin(struct span *uri, struct span *authority);

/* Undoes percent-encoding (RFC 3986 2.1) into `out`, which has room for `in.len` bytes and may be
 * the same place; '+' becomes a space when `plus` is set (a form's query). Returns the length, or
 * -1 when a '%' is not followed by two hex digits. */
ptrdiff_t uri_decode(struct span in, bool plus, char *out);

#endif
