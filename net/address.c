/* address.c - reads addresses as people, proxies and the kernel write them.
 *
 * IPv4 and IPv6 share one type, because IPv4 addresses are mapped into IPv6 (::ffff:192.0.2.1):
 *
 *      byte  0                             10      12          16
 *            │ 00 00 00 00 00 00 00 00 00 00 │ ff ff │ 192 0 2 1 │
 *
 * A listener on [::] sees IPv4 clients in this form anyway, so a client counts against the same
 * address on every listener. An IPv4 network of n bits becomes a mapped network of 96 + n bits.
 *
 * Names are never looked up, because the loop would wait for a stranger's server. inet_pton(3) does
 * the parsing, because it accepts only one spelling of IPv4 (no octal, no "127.1"): an attacker can
 * exploit two programs that read an address differently. */

#include "net/address.h"

#include "base/print.h"

#include <arpa/inet.h>
#include <netinet/in.h>

enum { V4_AT = 12 }; /* the offset of an IPv4 address in its mapped IPv6 address */

/* Returns the IPv6 address that maps an IPv4 address. */
static struct address map(struct in_addr v4)
{
    struct address address = { .bytes = { [10] = 0xff, [11] = 0xff } };
    memcpy(address.bytes + V4_AT, &v4, sizeof v4);
    return address;
}

/* Returns whether the first twelve bytes are those of ::ffff:0.0.0.0. */
bool address_is_v4(const struct address *address)
{
    struct address mapped = map((struct in_addr) { 0 });
    return memcmp(address->bytes, mapped.bytes, V4_AT) == 0;
}

bool address_is_any(const struct address *address)
{
    static const struct address v4 = { { [10] = 0xff, [11] = 0xff } }, v6;
    return memcmp(address, &v4, sizeof v4) == 0 || memcmp(address, &v6, sizeof v6) == 0;
}

/* Copies the structs, because a struct sockaddr need not be aligned like a larger struct. */
bool address_of(const struct sockaddr *socket, struct address *address)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    switch (socket->sa_family) {
    case AF_INET:
        memcpy(&v4, socket, sizeof v4);
        *address = map(v4.sin_addr);
        return true;
    case AF_INET6:
        memcpy(&v6, socket, sizeof v6);
        memcpy(address->bytes, &v6.sin6_addr, sizeof address->bytes);
        return true;
    default:
        return false;
    }
}

/* ==== Text =================================================================================== */

/* Reads a bare address. inet_pton(3) needs a C string, so the text is copied. A NUL would hide the
 * rest of the text, so it is refused. */
static bool parse_plain(struct span text, struct address *address)
{
    char string[ADDRESS_TEXT_BYTES];
    struct in_addr v4;
    struct in6_addr v6;
    if (text.len >= sizeof string || memchr(text.at, '\0', text.len) != NULL)
        return false;
    memcpy(string, text.at, text.len);
    string[text.len] = '\0';
    if (inet_pton(AF_INET, string, &v4) == 1) {
        *address = map(v4);
        return true;
    }
    if (inet_pton(AF_INET6, string, &v6) != 1)
        return false;
    memcpy(address->bytes, &v6, sizeof address->bytes);
    return true;
}

/* Returns whether the text is a port number rather than an obfuscated port (RFC 7239 6). */
static bool is_port(struct span text)
{
    unsigned long long port;
    return span_number(text, 65535, &port);
}

/* Expects a port after a single colon; several colons make an IPv6 address. Brackets are for IPv6
 * only (RFC 3986 3.2.2). The port is checked and dropped, because it differs between the
 * connections of one client. */
bool address_parse(struct span text, struct address *address)
{
    if (text.len == 0)
        return false;
    const char *colon = memchr(text.at, ':', text.len), *end = text.at + text.len;
    if (text.at[0] == '[') {
        const char *bracket = memchr(text.at, ']', text.len);
        if (bracket == NULL)
            return false;
        struct span port = { bracket + 1, (size_t)(end - bracket - 1) };
        if (port.len > 0 &&
            (port.at[0] != ':' || !is_port((struct span) { port.at + 1, port.len - 1 })))
            return false;
        struct span host = { text.at + 1, (size_t)(bracket - text.at - 1) };
        return memchr(host.at, ':', host.len) != NULL && parse_plain(host, address);
    }
    if (colon != NULL && memchr(colon + 1, ':', (size_t)(end - colon - 1)) == NULL) {
        if (!is_port((struct span) { colon + 1, (size_t)(end - colon - 1) }))
            return false;
        text.len = (size_t)(colon - text.at);
    }
    return parse_plain(text, address);
}

/* Finds the longest run of zero groups in an IPv6 address, the first if several are equally long; a
 * single zero is not a run (RFC 5952 4.2). Returns where the run begins, and sets `*end` to the
 * group after it, or to 0 if there is no run. */
static unsigned find_zeros(const unsigned groups[8], unsigned *end)
{
    unsigned begin = 0;
    *end = 0;
    for (unsigned at = 0, zeros = 0; at < 8; at++) {
        zeros = groups[at] == 0 ? zeros + 1 : 0;
        if (zeros > 1 && zeros > *end - begin) {
            begin = at + 1 - zeros;
            *end = at + 1;
        }
    }
    return begin;
}

/* Follows RFC 5952 4, as the URL Standard does ("host serializing"): hexadecimal groups in lower
 * case without leading zeros, the longest run of zeros as "::". */
void address_print_v6(const struct address *address, char out[ADDRESS_TEXT_BYTES])
{
    const unsigned char *b = address->bytes;
    unsigned groups[8], end;
    for (unsigned i = 0; i < 8; i++)
        groups[i] = (unsigned)b[2 * i] << 8 | b[2 * i + 1];
    unsigned begin = find_zeros(groups, &end);
    size_t len = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < 8; i++) {
        if (i == begin && end > begin) {
            len += print_into(out + len, ADDRESS_TEXT_BYTES - len, "::");
            i = end - 1;
            continue;
        }
        bool colon = i > 0 && i != end;
        len += print_into(out + len, ADDRESS_TEXT_BYTES - len, "%s%x", colon ? ":" : "", groups[i]);
    }
}

/* Each address has one spelling, so the log can be searched. */
void address_print(const struct address *address, char out[ADDRESS_TEXT_BYTES])
{
    const unsigned char *v4 = address->bytes + V4_AT;
    if (address_is_v4(address))
        print_into(out, ADDRESS_TEXT_BYTES, "%u.%u.%u.%u", v4[0], v4[1], v4[2], v4[3]);
    else
        address_print_v6(address, out);
}

/* ==== Networks =============================================================================== */

/* Returns the address with all bits after the first `bits` cleared. For 20 bits:
 *
 *      byte    0          1          2          3 ...
 *      kept    20         12         4          0
 *      mask    11111111   11111111   11110000   00000000
 */
static struct address cut(const struct address *address, unsigned bits)
{
    struct address cut = *address;
    for (unsigned i = 0; i < sizeof cut.bytes; i++) {
        unsigned kept = bits < 8 * i ? 0 : bits - 8 * i;
        if (kept < 8)
            cut.bytes[i] &= (unsigned char)(0xff00u >> kept);
    }
    return cut;
}

/* Reads the text without looking at the bits after the prefix. An address without "/bits" is a
 * network of one address. The form of the address, not its value, decides how many bits are
 * allowed: "::ffff:10.0.0.0/104" is an IPv6 network. */
static bool read_network(struct span text, struct network *network)
{
    struct span host;
    unsigned long long bits;
    bool has_bits = memchr(text.at, '/', text.len) != NULL;
    span_split(&text, '/', &host);
    if (!parse_plain(host, &network->first))
        return false;
    unsigned before = memchr(host.at, ':', host.len) == NULL ? 8 * V4_AT : 0;
    if (!has_bits)
        bits = 128 - before;
    else if (!span_number(text, 128 - before, &bits))
        return false;
    network->bits = before + (unsigned)bits;
    return true;
}

bool network_parse(struct span text, struct network *network)
{
    if (!read_network(text, network))
        return false;
    struct address first = cut(&network->first, network->bits);
    return memcmp(&first, &network->first, sizeof first) == 0;
}

bool network_parse_loosely(struct span text, struct network *network)
{
    if (!read_network(text, network))
        return false;
    network->first = cut(&network->first, network->bits);
    return true;
}

/* Returns whether cutting the address to the network's bits gives the network's first address. */
bool network_has(const struct network *network, const struct address *address)
{
    struct address first = cut(address, network->bits);
    return memcmp(&first, &network->first, sizeof first) == 0;
}

/* Searches linearly for each connection, because an operator has only a few proxies. */
bool network_any_has(const struct network *networks, size_t count, const struct address *address)
{
    for (size_t i = 0; i < count; i++)
        if (network_has(&networks[i], address))
            return true;
    return false;
}

/* Keeps ::1 intact: its /64 would be ::, which limits.c could not recognize as a loopback
 * address. */
struct address address_prefix(const struct address *address)
{
    return address_is_v4(address) || address_is_loopback(address) ? *address : cut(address, 64);
}

/* Returns whether the address is ::1 or is in 127.0.0.0/8 (RFC 1122 3.2.1.3). Compares without
 * `cut`, because this runs for each message. */
bool address_is_loopback(const struct address *address)
{
    static const struct address v4 = { { [10] = 0xff, [11] = 0xff, [12] = 127 } };
    static const struct address v6 = { { [15] = 1 } };
    return memcmp(address->bytes, v4.bytes, 13) == 0 || memcmp(address->bytes, v6.bytes, 16) == 0;
}
