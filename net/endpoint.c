/* endpoint.c - reads and compares the addresses of listeners.
 *
 *      127.0.0.1:8080          an IPv4 address and a port
 *      [::1]:8080              an IPv6 address, in brackets because it contains colons
 *      unix:/path              a unix socket with a file; ?mode=0660 sets the file's permissions
 *      unix:@name              a unix socket in the kernel's abstract namespace, without a file
 *
 * Host names are not looked up, because a listener's address must not mean something else
 * tomorrow. */

#include "net/endpoint.h"

#include "base/print.h"

#include <arpa/inet.h>
#include <libgen.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(sizeof((struct sockaddr_un) { 0 }.sun_path) == ENDPOINT_PATH_BYTES, "unix(7)");

/* ==== Reading ================================================================================ */

/* Reads permissions as chmod(1) does: up to four octal digits. */
static bool parse_mode(const char *digits, int *mode)
{
    size_t len = strlen(digits);
    *mode = 0;
    if (len == 0 || len > 4 || strspn(digits, "01234567") != len)
        return false;
    for (; *digits != '\0'; digits++)
        *mode = *mode * 8 + (*digits - '0');
    return *mode <= 0777;
}

/* Reads "/path", "/path?mode=0660" or "@name". The kernel writes the `@` as a NUL, and compares the
 * names of abstract sockets byte by byte, without an end (unix(7)): the length must be exact. */
static const char *parse_unix(const char *text, struct endpoint *endpoint)
{
    struct sockaddr_un *local = &endpoint->socket.local;
    size_t len = strcspn(text, "?");
    bool abstract = text[0] == '@';
    if (text[len] == '?' && abstract)
        return "an abstract socket has no file and so no mode; leave out what follows the ?";
    if (text[len] == '?' &&
        (strncmp(text + len, "?mode=", 6) != 0 || !parse_mode(text + len + 6, &endpoint->mode)))
        return "only the permissions of the socket can follow the ?, in octal, like ?mode=0660";
    if (len < (abstract ? 2 : 1) || len > sizeof local->sun_path - (abstract ? 0 : 1))
        return abstract ? "the name of an abstract socket must have 1 to 107 bytes after the @"
                        : "the path of a unix socket must have 1 to 107 bytes";
    local->sun_family = AF_UNIX;
    memcpy(local->sun_path, text, len);
    if (abstract)
        local->sun_path[0] = '\0';
    endpoint->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (abstract ? 0 : 1));
    return NULL;
}

/* The last colon precedes the port. */
const char *endpoint_parse(const char *text, struct endpoint *endpoint)
{
    char host[64] = "127.0.0.1";
    unsigned long long port;
    *endpoint = (struct endpoint) { .mode = -1 };
    if (strncmp(text, "unix:", 5) == 0)
        return parse_unix(text + 5, endpoint);
    const char *colon = strrchr(text, ':');
    if (colon == NULL || !span_number(span_of(colon + 1), 65535, &port))
        return "an address looks like 127.0.0.1:8080, [::1]:8080, unix:/path or unix:@name";
    bool v6 = text[0] == '[' && colon > text + 1 && colon[-1] == ']';
    size_t len = (size_t)(colon - text) - (v6 ? 2 : 0);
    if (len >= sizeof host)
        len = 0; /* no address is that long: an empty host is refused below */
    if (strncmp(text, "localhost:", 10) != 0)
        print_into(host, sizeof host, "%.*s", (int)len, text + (v6 ? 1 : 0));
    if (v6 && inet_pton(AF_INET6, host, &endpoint->socket.v6.sin6_addr) == 1) {
        endpoint->socket.v6.sin6_family = AF_INET6;
        endpoint->socket.v6.sin6_port = htons((uint16_t)port);
        endpoint->len = sizeof endpoint->socket.v6;
        return NULL;
    }
    if (v6 || inet_pton(AF_INET, host, &endpoint->socket.v4.sin_addr) != 1)
        return "the host must be an IP address: 0.0.0.0:8080 or [::]:8080 for all addresses of "
               "this machine, 127.0.0.1:8080 for clients on this machine only";
    endpoint->socket.v4.sin_family = AF_INET;
    endpoint->socket.v4.sin_port = htons((uint16_t)port);
    endpoint->len = sizeof endpoint->socket.v4;
    return NULL;
}

bool endpoint_of(int fd, struct endpoint *endpoint)
{
    *endpoint = (struct endpoint) { .len = sizeof endpoint->socket, .mode = -1 };
    return getsockname(fd, &endpoint->socket.any, &endpoint->len) == 0;
}

const char *endpoint_path(const struct endpoint *endpoint)
{
    bool local = endpoint->socket.any.sa_family == AF_UNIX;
    return local && endpoint->socket.local.sun_path[0] != '\0' ? endpoint->socket.local.sun_path
                                                               : NULL;
}

uint16_t endpoint_port(const struct endpoint *endpoint)
{
    switch (endpoint->socket.any.sa_family) {
    case AF_INET:
        return ntohs(endpoint->socket.v4.sin_port);
    case AF_INET6:
        return ntohs(endpoint->socket.v6.sin6_port);
    default:
        return 0;
    }
}

/* ==== Comparing ============================================================================== */

bool endpoint_is_any(const struct endpoint *endpoint, bool v4)
{
    struct address address;
    return address_of(&endpoint->socket.any, &address) && address_is_any(&address) &&
           address_is_v4(&address) == v4;
}

/* Returns whether a new [::] socket takes IPv4 clients too, as it does unless the machine's
 * administrator has changed that (net.ipv6.bindv6only, see ipv6(7)). */
static bool is_dual_stack(void)
{
    int only = 1, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof only;
    if (fd < 0)
        return false;
    getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &len);
    close(fd);
    return only == 0;
}

/* Returns whether a socket on `a` takes the clients of `b`, with the same port. [::] leaves them to
 * 0.0.0.0: see wants_v6_only in listen.c. */
static bool includes(const struct address *a, const struct address *b)
{
    if (memcmp(a, b, sizeof *a) == 0)
        return true;
    if (!address_is_any(a))
        return false;
    if (address_is_v4(a) || !address_is_v4(b))
        return address_is_v4(a) == address_is_v4(b);
    return !address_is_any(b) && is_dual_stack();
}

/* Copies a path and returns its folder or its last part; both functions change their argument. */
static const char *part_of(const char *path, char *(*part)(char *), char copy[ENDPOINT_PATH_BYTES])
{
    print_into(copy, ENDPOINT_PATH_BYTES, "%s", path);
    return part(copy);
}

/* Returns whether two paths are of the same file, which need not exist: "socket" and "./socket". */
static bool is_same_path(const char *a, const char *b)
{
    char first[ENDPOINT_PATH_BYTES], second[ENDPOINT_PATH_BYTES];
    struct stat one, other;
    if (strcmp(part_of(a, basename, first), part_of(b, basename, second)) != 0)
        return false;
    return stat(part_of(a, dirname, first), &one) == 0 &&
           stat(part_of(b, dirname, second), &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

/* Compares two unix sockets: the files of both, or the names of both. */
static bool is_same_local(const struct endpoint *a, const struct endpoint *b)
{
    const char *path = endpoint_path(a), *other = endpoint_path(b);
    if (path != NULL && other != NULL)
        return is_same_path(path, other);
    return path == other && a->len == b->len && memcmp(&a->socket, &b->socket, a->len) == 0;
}

/* Port 0 is another port for each listener. */
bool endpoint_overlap(const struct endpoint *a, const struct endpoint *b)
{
    struct address first, second;
    bool local = !address_of(&a->socket.any, &first);
    bool other_local = !address_of(&b->socket.any, &second);
    if (local || other_local)
        return local && other_local && is_same_local(a, b);
    return endpoint_port(a) == endpoint_port(b) && endpoint_port(a) != 0 &&
           (includes(&first, &second) || includes(&second, &first));
}

/* ==== Writing ================================================================================ */

/* Writes the path, or the name of an abstract socket, which begins with a NUL. Control characters
 * become `?`: an inherited socket can have any name, and a line of the log must stay one line. */
static void print_local(const struct endpoint *endpoint, char out[ENDPOINT_TEXT_BYTES])
{
    const char *name = endpoint->socket.local.sun_path;
    size_t len = endpoint->len - offsetof(struct sockaddr_un, sun_path);
    if (endpoint_path(endpoint) != NULL)
        len = strnlen(name, len);
    char *to = span_put(out, SPAN("unix:"));
    for (size_t i = 0; i < len; i++)
        *to++ = (unsigned char)name[i] < ' ' || name[i] == 0x7f ? '?' : name[i];
    if (endpoint_path(endpoint) == NULL && len > 0)
        out[5] = '@';
    *to = '\0';
}

void endpoint_print(const struct endpoint *endpoint, char out[ENDPOINT_TEXT_BYTES])
{
    struct address address;
    char host[ADDRESS_TEXT_BYTES];
    if (!address_of(&endpoint->socket.any, &address)) {
        print_local(endpoint, out);
        return;
    }
    address_print(&address, host);
    bool colons = strchr(host, ':') != NULL;
    print_into(out, ENDPOINT_TEXT_BYTES, "http://%s%s%s:%u", colons ? "[" : "", host,
        colons ? "]" : "", endpoint_port(endpoint));
}
