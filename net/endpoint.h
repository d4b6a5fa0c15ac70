/* endpoint.h - what a listener's address means, and whether two of them overlap. */

#ifndef ENDPOINT_H
#define ENDPOINT_H

#include "net/address.h"

#include <netinet/in.h>
#include <sys/un.h>

/* A socket address of any family; the unions avoid casts between pointers. For a unix socket with a
 * file, `local` ends with a NUL unless its path has the most bytes that the kernel takes. */
struct endpoint {
    union {
        struct sockaddr_storage largest; /* the first, so that an initialization covers all */
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } socket;
    socklen_t len; /* exact, because the name of an abstract socket has all bytes up to it */
    int mode;      /* of a unix socket's file; -1: what the umask leaves */
};

enum {
    ENDPOINT_PATH_BYTES = 108, /* of sun_path, with the NUL */
    ENDPOINT_TEXT_BYTES = ENDPOINT_PATH_BYTES + 8,
};

/* Reads "127.0.0.1:8080", "[::1]:8080", "localhost:8080", "unix:/path", "unix:/path?mode=0660" or
 * "unix:@name". Returns NULL, or the sentence that says what to change. */
const char *endpoint_parse(const char *text, struct endpoint *endpoint);

/* Gets the address that a socket is bound to; a port that was 0 is now the kernel's choice. */
bool endpoint_of(int fd, struct endpoint *endpoint);

/* Returns the path of a unix socket; NULL if it has no file, or if it is not a unix socket. */
const char *endpoint_path(const struct endpoint *endpoint);

/* Returns whether a listener takes all IPv6 (`v4` false) or all IPv4 addresses of the machine. */
bool endpoint_is_any(const struct endpoint *endpoint, bool v4);

/* Returns the port; 0 for a unix socket. */
uint16_t endpoint_port(const struct endpoint *endpoint);

/* Returns whether bind(2) would fail for one of two addresses because of the other. */
bool endpoint_overlap(const struct endpoint *a, const struct endpoint *b);

/* Writes the address as the log shows it: "http://127.0.0.1:8080", "unix:/path" or "unix:@name". */
void endpoint_print(const struct endpoint *endpoint, char out[ENDPOINT_TEXT_BYTES]);

#endif
