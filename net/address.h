/* address.h - where clients come from: addresses, networks. */

#ifndef ADDRESS_H
#define ADDRESS_H

#include "base/bytes.h"

#include <sys/socket.h>

/* An IPv6 address in network order; an IPv4 address is the IPv6 address that maps it, so that both
 * are one kind (::ffff:192.0.2.1, RFC 4291 2.5.5.2). */
struct address {
    unsigned char bytes[16];
};

/* All addresses whose first `bits` are those of `first`. */
struct network {
    struct address first;
    unsigned bits; /* 0 to 128 */
};

enum { ADDRESS_TEXT_BYTES = 46 }; /* with the NUL: INET6_ADDRSTRLEN */

/* The address of a socket's other end. False for a unix socket, which has none. */
bool address_of(const struct sockaddr *socket, struct address *address);

/* Reads "192.0.2.1" or "2001:db8::1", also "192.0.2.1:4711", "[2001:db8::1]" and
 * "[2001:db8::1]:4711", as proxies write them. */
bool address_parse(struct span text, struct address *address);

/* Reads "10.0.0.0/8", "2001:db8::/32" or one address. Bits behind the prefix must be zero: false
 * for 10.1.2.3/8, which is most likely a slip. */
bool network_parse(struct span text, struct network *network);

bool network_has(const struct network *network, const struct address *address);
bool network_any_has(const struct network *networks, size_t count, const struct address *address);

/* The part of an address that stands for one customer: all of an IPv4 address and of ::1, the /64
 * of any other IPv6 one, of which a single host may use every address (RFC 6177, RFC 8981). */
struct address address_prefix(const struct address *address);

bool address_is_loopback(const struct address *address);

void address_print(const struct address *address, char out[ADDRESS_TEXT_BYTES]);

#endif
