/* address.h - addresses and networks of clients and proxies. */

#ifndef ADDRESS_H
#define ADDRESS_H

#include "base/bytes.h"

#include <sys/socket.h>

/* An IPv6 address in network order. An IPv4 address is stored as an IPv4-mapped IPv6 address
 * (::ffff:192.0.2.1, RFC 4291 2.5.5.2), so that there is only one kind of address to compare, hash
 * and print. */
struct address {
    unsigned char bytes[16];
};

/* All addresses whose first `bits` bits equal those of `first`; any further bits of it are zero. */
struct network {
    struct address first;
    unsigned bits; /* 0 to 128 */
};

enum { ADDRESS_TEXT_BYTES = 46 }; /* including the NUL, like INET6_ADDRSTRLEN */

/* Reads the IP address of a socket address. Returns false for a unix socket, which has none. */
bool address_of(const struct sockaddr *socket, struct address *address);

/* Reads an address as proxies write it: "192.0.2.1", "192.0.2.1:4711", "2001:db8::1",
 * "[2001:db8::1]" or "[2001:db8::1]:4711". Returns false for anything else; names are not looked
 * up. */
bool address_parse(struct span text, struct address *address);

/* Reads "10.0.0.0/8", "2001:db8::/32" or a single address. Returns false for anything else,
 * including a network with bits set after the prefix: 10.1.2.3/8 is most likely a typo. */
bool network_parse(struct span text, struct network *network);

/* Reads the same texts, and clears bits that are set after the prefix, for a message that says what
 * the operator meant. */
bool network_parse_loosely(struct span text, struct network *network);

bool network_has(const struct network *network, const struct address *address);
bool network_any_has(const struct network *networks, size_t count, const struct address *address);

/* Returns the part of an address that identifies one customer: the complete address for IPv4 and
 * ::1, the /64 for any other IPv6 address. A single host can use every address of its /64 (RFC
 * 8981), so limits on full addresses would limit nothing; a site gets at least a /64 (RFC 6177). */
struct address address_prefix(const struct address *address);

bool address_is_loopback(const struct address *address);

/* Returns whether the address is an IPv4 address. */
bool address_is_v4(const struct address *address);

/* Returns whether the address is 0.0.0.0 or ::, which no client has: listeners use it for all
 * addresses of the machine. */
bool address_is_any(const struct address *address);

/* Writes the address in its usual form: "192.0.2.1", or "2001:db8::1" (RFC 5952). */
void address_print(const struct address *address, char out[ADDRESS_TEXT_BYTES]);

/* Writes the address as browsers write it between brackets: without dots, even if it maps an IPv4
 * address ("::ffff:c000:201"). */
void address_print_v6(const struct address *address, char out[ADDRESS_TEXT_BYTES]);

#endif
