/* address.h - addresses and networks of clients and proxies. */

#ifndef ADDRESS_H
#define ADDRESS_H

#include "base/bytes.h"

#include <sys/socket.h>

/* An IPv6 address in network order. An IPv4 address is held as the IPv6 address that maps it
 * (::ffff:192.0.2.1, RFC 4291 2.5.5.2), so that there is one kind of address to compare, hash and
 * print. */
struct address {
    unsigned char bytes[16];
};

/* All addresses whose first `bits` are those of `first`, whose other bits are zero. */
struct network {
    struct address first;
    unsigned bits; /* 0 to 128 */
};

enum { ADDRESS_TEXT_BYTES = 46 }; /* with the NUL: INET6_ADDRSTRLEN */

/* Reads the address in a socket address. Returns false for a unix socket, which has none. */
bool address_of(const struct sockaddr *socket, struct address *address);

/* Reads "192.0.2.1" or "2001:db8::1", also "192.0.2.1:4711", "[2001:db8::1]" and
 * "[2001:db8::1]:4711", as proxies write them. Returns false for anything else; names are not
 * looked up. */
bool address_parse(struct span text, struct address *address);

/* Reads "10.0.0.0/8", "2001:db8::/32" or one address. Returns false for anything else, also if bits
 * behind the prefix are set: 10.1.2.3/8 is most likely a slip. */
bool network_parse(struct span text, struct network *network);

bool network_has(const struct network *network, const struct address *address);
bool network_any_has(const struct network *networks, size_t count, const struct address *address);

/* The part of an address that stands for one customer: all of an IPv4 address and of ::1, but of
 * any other IPv6 address its /64. A single host may use every address of its /64 (RFC 8981), so
 * limits by the full address would limit nothing; a site gets a /64 at least (RFC 6177). */
struct address address_prefix(const struct address *address);

bool address_is_loopback(const struct address *address);

/* Writes the address as people do: "192.0.2.1", or as RFC 5952 wants it, "2001:db8::1". */
void address_print(const struct address *address, char out[ADDRESS_TEXT_BYTES]);

#endif
