/* address.c - a driver for address.c and forwarded.c. It reads standard input, and prints:
 *
 *     address parse                    the address, its prefix, and `loopback` if it is one
 *     address network                  the network, in its only spelling
 *     address has NETWORK              yes or no
 *     address forwarded [NETWORK...]   the client that a request's fields, one per line, name if
 *                                      these networks are trusted; or `no client`, `not HTTP`
 *     address promises                 nothing: it only runs the checks of the fuzz target
 *
 * It prints `none` for a text that is not an address or a network. It also checks the promises of
 * address.h and forwarded.h, with the text directly after and directly before an unreadable page.
 * The technique is differential testing: a second reader, written from the RFCs without regard to
 * speed, must agree with the server's reader on every text. The most important check is
 * check_pretended: a client can send any X-Forwarded-For or Forwarded, but must not be able to pass
 * for another address.
 *
 * A broken promise (driver.h) calls abort. With -DFUZZ the same checks are a libFuzzer target. */

#include "net/address.h"
#include "auth/forwarded.h"
#include "driver.h"

#include <netinet/in.h>
#include <sys/un.h>

enum { INPUT_MAX_BYTES = 8192, AREA_BYTES = 65536, NETWORKS_MAX = 16 };

/* Returns the guarded pages, which are mapped once because a fuzzer has many inputs. */
static struct guarded area(void)
{
    static struct guarded pages;
    if (pages.first == NULL)
        pages = guarded_new(AREA_BYTES);
    return pages;
}

/* ---- The second reader -------------------------------------------------------------------- */

/* address.c parses with inet_pton(3) and compares bytes; this reader parses by hand and compares
 * bit by bit, so that the two do not share a mistake. */

static bool same(const struct address *a, const struct address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* Returns whether this is an IPv4-mapped IPv6 address (RFC 4291 2.5.5.2). */
static bool is_mapped(const struct address *address)
{
    for (size_t i = 0; i < 12; i++)
        if (address->bytes[i] != (i < 10 ? 0 : 0xff))
            return false;
    return true;
}

/* Returns one bit; bit 0 is the first bit of the first byte, as in a prefix. */
static bool bit_of(const struct address *address, unsigned bit)
{
    return address->bytes[bit / 8] >> (7 - bit % 8) & 1;
}

static void turn_over(struct address *address, unsigned bit)
{
    address->bytes[bit / 8] = (unsigned char)(address->bytes[bit / 8] ^ 0x80 >> bit % 8);
}

/* Returns the value of a digit in any base up to 16, or 16 for any other character. */
static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : 16;
}

/* Reads a number of up to `digits` digits; returns -1 for any other text. */
static long read_digits(struct span text, int base, size_t digits)
{
    long value = 0;
    if (text.len == 0 || text.len > digits)
        return -1;
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.at[i]);
        if (digit >= base)
            return -1;
        value = value * base + digit;
    }
    return value;
}

/* Reads four numbers from 0 to 255 without leading zeros (RFC 3986 3.2.2, IPv4address). */
static bool read_v4(struct span text, unsigned char *out)
{
    struct span part;
    unsigned count = 0;
    while (span_split(&text, '.', &part)) {
        long value = read_digits(part, 10, 3);
        if (count == 4 || value < 0 || value > 255 || (part.len > 1 && part.at[0] == '0'))
            return false;
        out[count++] = (unsigned char)value;
    }
    return count == 4;
}

/* Reads groups of up to four hexadecimal digits, separated by colons; if `tail` is set, the last
 * group can be an IPv4 address. Returns the number of bytes, or -1 for any other text. */
static int read_groups(struct span text, bool tail, unsigned char out[16])
{
    struct span group;
    int len = 0;
    if (text.len == 0)
        return 0;
    while (span_split(&text, ':', &group)) {
        long value = read_digits(group, 16, 4);
        if (value >= 0 && len <= 14) {
            out[len++] = (unsigned char)(value >> 8);
            out[len++] = (unsigned char)(value & 0xff);
        } else if (tail && text.at == NULL && len <= 12 && read_v4(group, out + len)) {
            len += 4;
        } else {
            return -1;
        }
    }
    return len;
}

/* Reads an IPv6 address (RFC 4291 2.2): eight groups, or fewer with one "::" for the missing
 * zeros. */
static bool read_v6(struct span text, struct address *address)
{
    unsigned char left[16], right[16];
    const char *gap = memmem(text.at, text.len, "::", 2);
    *address = (struct address) { 0 };
    if (gap == NULL)
        return read_groups(text, true, address->bytes) == 16;
    struct span before = { text.at, (size_t)(gap - text.at) };
    struct span behind = { gap + 2, text.len - before.len - 2 };
    int left_len = read_groups(before, false, left), right_len = read_groups(behind, true, right);
    if (left_len < 0 || right_len < 0 || left_len + right_len > 14)
        return false;
    memcpy(address->bytes, left, (size_t)left_len);
    memcpy(address->bytes + 16 - right_len, right, (size_t)right_len);
    return true;
}

/* Reads an address without a port. */
static bool read_plain(struct span text, struct address *address)
{
    struct address v4 = { .bytes = { [10] = 0xff, [11] = 0xff } };
    if (!read_v4(text, v4.bytes + 12))
        return read_v6(text, address);
    *address = v4;
    return true;
}

/* Returns whether the text is a decimal number from 0 to max, with any number of leading zeros. */
static bool is_number_to(struct span text, long max)
{
    if (text.len == 0)
        return false;
    while (text.len > 1 && text.at[0] == '0')
        text.at++, text.len--;
    long value = read_digits(text, 10, 5);
    return value >= 0 && value <= max;
}

/* Reads an address as proxies write it: plain, "v4:port", "[v6]" or "[v6]:port". */
static bool read_node(struct span text, struct address *address)
{
    struct span host, port = text;
    if (text.len > 0 && text.at[0] == '[') {
        port = (struct span) { text.at + 1, text.len - 1 };
        if (!span_split(&port, ']', &host) || port.at == NULL || !read_v6(host, address))
            return false;
        return port.len == 0 ||
               (port.at[0] == ':' &&
                   is_number_to((struct span) { port.at + 1, port.len - 1 }, 65535));
    }
    unsigned char v4[4];
    span_split(&port, ':', &host);
    if (port.at != NULL && read_v4(host, v4))
        return is_number_to(port, 65535) && read_plain(host, address);
    return read_plain(text, address);
}

/* Reads an address, or "address/bits". Bits after the prefix must be zero, as in network_parse. */
static bool read_network(struct span text, struct network *network)
{
    struct span host;
    span_split(&text, '/', &host);
    if (!read_plain(host, &network->first))
        return false;
    bool v6 = memchr(host.at, ':', host.len) != NULL;
    if (text.at != NULL && !is_number_to(text, v6 ? 128 : 32))
        return false;
    long bits = v6 ? 128 : 32;
    if (text.at != NULL)
        for (bits = 0; text.len > 0; text.at++, text.len--)
            bits = bits * 10 + digit_of(text.at[0]);
    network->bits = (unsigned)bits + (v6 ? 0 : 96);
    for (unsigned bit = network->bits; bit < 128; bit++)
        if (bit_of(&network->first, bit))
            return false;
    return true;
}

/* Returns whether the network has the address, compared bit by bit. */
static bool is_in(const struct network *network, const struct address *address)
{
    for (unsigned bit = 0; bit < network->bits; bit++)
        if (bit_of(&network->first, bit) != bit_of(address, bit))
            return false;
    return true;
}

static bool is_in_any(const struct network *networks, size_t count, const struct address *address)
{
    for (size_t i = 0; i < count; i++)
        if (is_in(&networks[i], address))
            return true;
    return false;
}

/* ---- The promises of addresses and networks ------------------------------------------------ */

/* Prints an address, and checks that it fits with its NUL. */
static struct span print(const struct address *address, char text[ADDRESS_TEXT_BYTES])
{
    memset(text, 'x', ADDRESS_TEXT_BYTES);
    address_print(address, text);
    check(memchr(text, '\0', ADDRESS_TEXT_BYTES) != NULL,
        "a printed address fits into ADDRESS_TEXT_BYTES");
    return span_of(text);
}

/* Checks the form between brackets: it is read back, in brackets too, and has no dots. */
static void check_print_v6(const struct address *address)
{
    char text[ADDRESS_TEXT_BYTES], plain[ADDRESS_TEXT_BYTES], brackets[ADDRESS_TEXT_BYTES + 2];
    struct address again;
    memset(text, 'x', sizeof text);
    address_print_v6(address, text);
    check(memchr(text, '\0', sizeof text) != NULL, "an IPv6 form fits into ADDRESS_TEXT_BYTES");
    snprintf(brackets, sizeof brackets, "[%s]", text);
    check(address_parse(span_of(brackets), &again) && same(address, &again),
        "an IPv6 form is read back as itself");
    check(strchr(text, '.') == NULL, "an IPv6 form has no dots");
    check(is_mapped(address) || span_equal(print(address, plain), span_of(text)),
        "only mapped addresses have two forms");
}

/* Checks that a printed address is read back in each form in which a proxy can write it. */
static void check_print(const struct address *address)
{
    char text[ADDRESS_TEXT_BYTES], port[ADDRESS_TEXT_BYTES + 16];
    struct address again;
    bool v4 = is_mapped(address);
    check(address_parse(print(address, text), &again) && same(address, &again),
        "a printed address is read back as itself");
    check((strchr(text, ':') == NULL) == v4, "only a mapped address is printed as an IPv4 address");
    snprintf(port, sizeof port, v4 ? "%s:65535" : "[%s]:65535", text);
    check(address_parse(span_of(port), &again) && same(address, &again),
        "a printed address with a port is read back as itself");
    snprintf(port, sizeof port, "::ffff:%s", text);
    check(!v4 || (address_parse(span_of(port), &again) && same(address, &again)),
        "an IPv4 address and the IPv6 address that maps it are the same");
}

/* Checks the address of a socket. An IPv6 or IPv4 socket has the address, and a unix socket has
 * none. */
static void check_sockets(const struct address *address)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = 80 };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_scope_id = 1 };
    struct sockaddr_un local = { .sun_family = AF_UNIX };
    struct address again;
    memcpy(&v4.sin_addr, address->bytes + 12, 4);
    memcpy(&v6.sin6_addr, address->bytes, 16);
    check(address_of((struct sockaddr *)&v6, &again) && same(address, &again),
        "an IPv6 socket gives its address");
    check(!is_mapped(address) ||
              (address_of((struct sockaddr *)&v4, &again) && same(address, &again)),
        "an IPv4 socket gives the mapped address");
    check(!address_of((struct sockaddr *)&local, &again), "a unix socket gives no address");
}

/* Checks the promises that hold for every address. */
static void check_address(const struct address *address)
{
    struct address prefix = address_prefix(address), again = address_prefix(&prefix);
    struct network all = { { { 0 } }, 0 };
    check(same(&prefix, &again), "the prefix of a prefix is that prefix");
    bool whole = is_mapped(address) || address_is_loopback(address);
    struct network around = { prefix, whole ? 128 : 64 };
    check(network_has(&around, address) && is_in(&around, address), "an address is in its prefix");
    for (unsigned bit = around.bits; bit < 128; bit++)
        check(!bit_of(&prefix, bit), "the bits after a prefix are zero");
    bool loopback = is_mapped(address) ? address->bytes[12] == 127 : false;
    struct address one = { .bytes = { [15] = 1 } };
    check(address_is_loopback(address) == (loopback || same(address, &one)),
        "loopback is 127.0.0.0/8 and ::1, and nothing else");
    check(network_has(&all, address), "every address is in ::/0");
    check(!network_any_has(&all, 0, address), "no address is in a list of no networks");
    check(address_is_v4(address) == is_mapped(address), "a mapped address is an IPv4 address");
    struct address none = { { 0 } }, none_v4 = { .bytes = { [10] = 0xff, [11] = 0xff } };
    check(address_is_any(address) == (same(address, &none) || same(address, &none_v4)),
        "only :: and 0.0.0.0 are all addresses");
    check_print(address);
    check_print_v6(address);
    check_sockets(address);
}

/* Prints a network in its only spelling: an IPv4 network counts its bits from the start of the IPv4
 * address. */
static void print_network(const struct network *network, char *out, size_t size)
{
    char text[ADDRESS_TEXT_BYTES];
    print(&network->first, text);
    snprintf(out, size, "%s/%u", text, network->bits - (strchr(text, ':') == NULL ? 96 : 0));
}

/* Flips each bit in turn. A bit of the prefix decides whether an address is in the network; a bit
 * after the prefix does not, but must not be set in the text of a network. */
static void check_network(const struct network *network)
{
    char text[ADDRESS_TEXT_BYTES + 8];
    struct network again;
    print_network(network, text, sizeof text);
    check(network_parse(span_of(text), &again) && again.bits == network->bits &&
              same(&again.first, &network->first),
        "a printed network is read back as itself");
    for (unsigned bit = 0; bit < 128; bit++) {
        struct network other = *network;
        turn_over(&other.first, bit);
        check(network_has(network, &other.first) == (bit >= network->bits),
            "only the bits of the prefix decide");
        check(network_any_has((struct network[]) { other, *network }, 2, &network->first),
            "one network of a list is enough");
        if (bit < network->bits)
            continue;
        if (is_mapped(&network->first) != is_mapped(&other.first))
            continue; /* the length would be counted from another bit */
        print_network(&other, text, sizeof text);
        check(!network_parse(span_of(text), &again),
            "a network with a bit set after its prefix is refused");
        check(network_parse_loosely(span_of(text), &again) && again.bits == network->bits &&
                  same(&again.first, &network->first),
            "a network that is read loosely has no bit set after its prefix");
    }
}

/* Reads one text as an address and as a network with both readers, and compares the results. */
static void check_place(struct span text)
{
    struct address address, expected;
    struct network network, expected_network;
    bool good = address_parse(text, &address);
    check(good == read_node(text, &expected),
        "address_parse accepts exactly what the RFCs call an address");
    if (good) {
        check(same(&address, &expected), "address_parse reads the address that the RFCs mean");
        check_address(&address);
    }
    good = network_parse(text, &network);
    check(good == read_network(text, &expected_network),
        "network_parse accepts exactly the texts that are networks");
    if (good) {
        check(network.bits == expected_network.bits, "a network has as many bits as its text says");
        check(
            same(&network.first, &expected_network.first), "a network begins where its text says");
        check_network(&network);
    }
}

/* ---- The promises of a chain of proxies ---------------------------------------------------- */

/* The addresses of X-Forwarded-For or Forwarded in a request, from left to right; an unreadable
 * address keeps its place. */
struct chain {
    struct address *addresses;
    bool *readable;
    size_t count;
};

static void add_node(struct chain *chain, struct span node)
{
    chain->readable[chain->count] = read_node(node, &chain->addresses[chain->count]);
    chain->count++;
}

/* Writes the text to `masked` with each quoted byte replaced with `mask`, so that every remaining
 * separator separates. Quotes are counted from the right, because a proxy wrote the right end: a
 * quote that a client opens and never closes must not hide that end. */
static void mask_quoted(struct span text, char *masked, char mask)
{
    bool quoted = false;
    for (size_t at = text.len; at-- > 0;) {
        size_t slashes = 0;
        while (slashes < at && text.at[at - 1 - slashes] == '\\')
            slashes++;
        bool turns = text.at[at] == '"' && !(quoted && slashes % 2 == 1);
        masked[at] = quoted && !turns ? mask : text.at[at];
        quoted ^= turns;
    }
}

/* Returns the part of the text that is at the place of `piece` in the masked text. */
static struct span same_place(struct span piece, const char *masked, struct span text)
{
    return (struct span) { text.at + (piece.at - masked), piece.len };
}

/* Returns the node in the `for` of a Forwarded element; empty unless there is exactly one `for`. */
static struct span read_for(struct span element, const char *masked, struct span text)
{
    struct span pair, name, node = SPAN("");
    unsigned count = 0;
    while (span_split(&element, ';', &pair)) {
        struct span value = same_place(pair, masked, text);
        span_split(&value, '=', &name);
        name = span_trim(name);
        if (value.at == NULL || name.len != 3 || strncasecmp(name.at, "for", 3) != 0)
            continue;
        node = span_trim(value);
        count++;
    }
    if (node.len >= 2 && node.at[0] == '"' && node.at[node.len - 1] == '"')
        node = (struct span) { node.at + 1, node.len - 2 };
    return count == 1 ? node : SPAN("");
}

/* Reads all elements in all lines of X-Forwarded-For or, if there is none, of Forwarded. The caller
 * frees both lists. */
static struct chain read_chain(const struct http_request *r, const char *bytes, size_t len)
{
    struct chain chain = { malloc((len + 1) * sizeof *chain.addresses), malloc(len + 1), 0 };
    enum http_field name = HTTP_X_FORWARDED_FOR;
    struct span value, element;
    char *masked = malloc(len + 1);
    check(chain.addresses != NULL && chain.readable != NULL && masked != NULL,
        "the driver can allocate memory");
    if (http_find(r, name, bytes).at == NULL)
        name = HTTP_FORWARDED;
    for (unsigned cursor = 0; http_next(r, name, bytes, &cursor, &value);) {
        mask_quoted(value, masked, 'q');
        struct span rest = { masked, value.len };
        while (span_split(&rest, ',', &element)) {
            struct span node = span_trim(same_place(element, masked, value));
            if (node.len > 0)
                add_node(&chain, name == HTTP_FORWARDED ? read_for(element, masked, value) : node);
        }
    }
    free(masked);
    return chain;
}

/* Walks from the right over trusted addresses, and stops before an unreadable one; the client is
 * the last address reached. Returns false if the rightmost address is unreadable or missing. */
static bool find_client(
    const struct chain *chain, const struct network *trusted, size_t count, struct address *client)
{
    size_t at = chain->count;
    while (at > 0 && chain->readable[at - 1]) {
        at--;
        *client = chain->addresses[at];
        if (!is_in_any(trusted, count, client))
            return true;
    }
    return at < chain->count;
}

/* Finds the client that a head names, or returns false. `*is_http` says whether it is a head. */
static bool find_forwarded(struct span head, const struct network *trusted, size_t count,
    struct address *client, bool *is_http)
{
    struct http_request r;
    struct address expected, again;
    http_start(&r, 0);
    int n = http_parse_head(&r, head.at, head.len);
    *is_http = n > 0;
    if (n <= 0)
        return false;
    struct chain chain = read_chain(&r, head.at, head.len);
    enum forwarded forwarded = forwarded_client(&r, head.at, trusted, count, client);
    bool found = forwarded == FORWARDED_KNOWN;
    check(found == find_client(&chain, trusted, count, &expected),
        "forwarded_client finds a client exactly when the chain names one");
    check(
        (forwarded == FORWARDED_NOT) == (http_find(&r, HTTP_X_FORWARDED_FOR, head.at).at == NULL &&
                                            http_find(&r, HTTP_FORWARDED, head.at).at == NULL),
        "FORWARDED_NOT is for a request with neither field");
    check(!found || same(client, &expected),
        "the client is the rightmost address that is not trusted, or the leftmost of all");
    if (forwarded_client(&r, head.at, NULL, 0, &again) == FORWARDED_KNOWN)
        check(chain.readable[chain.count - 1],
            "without trusted networks there is a client only if the last address is readable");
    free(chain.addresses);
    free(chain.readable);
    return found;
}

/* Makes a request from fields, one per line. The caller frees it. */
static struct buffer head_of(struct span fields)
{
    struct buffer head = { 0 };
    struct span line;
    buffer_add_string(&head, "GET / HTTP/1.1\r\nHost: a\r\n");
    while (fields.len > 0 && span_split(&fields, '\n', &line)) {
        buffer_add(&head, line);
        buffer_add_string(&head, "\r\n");
    }
    buffer_add_string(&head, "\r\n");
    check(!head.failed, "the driver can allocate memory");
    return head;
}

static const char *const fuzz_trusted[] = { "10.0.0.0/8", "127.0.0.1", "2001:db8:1::/48" };
enum { FUZZ_TRUSTED = sizeof fuzz_trusted / sizeof fuzz_trusted[0] };

static void read_trusted(struct network *trusted)
{
    for (size_t i = 0; i < FUZZ_TRUSTED; i++)
        check(network_parse(span_of(fuzz_trusted[i]), &trusted[i]),
            "the driver's trusted networks are valid");
}

/* Checks the fields at both ends of the guarded pages, with and without trusted networks. */
static void check_fields(struct span fields)
{
    struct network trusted[FUZZ_TRUSTED];
    struct address client;
    struct buffer head = head_of(fields);
    bool is_http;
    read_trusted(trusted);
    find_forwarded(at_start(area(), buffer_span(&head)), trusted, FUZZ_TRUSTED, &client, &is_http);
    find_forwarded(at_end(area(), buffer_span(&head)), trusted, FUZZ_TRUSTED, &client, &is_http);
    find_forwarded(at_end(area(), buffer_span(&head)), NULL, 0, &client, &is_http);
    buffer_free(&head);
}

/* Checks that, whatever a client sends, the server relies on what our own proxies add after it, on
 * the same line or on a new line. Each row is a way for a proxy to add an address. */
static void check_pretended(struct span pretended)
{
    static const char *const fields[][3] = {
        { "X-Forwarded-For: ", ", ", "192.0.2.99" },
        { "X-Forwarded-For: ", ",", "192.0.2.99:4711, 10.1.2.3" },
        { "X-Forwarded-For: ", "\nX-Forwarded-For: ", "192.0.2.99, 2001:db8:1::1,127.0.0.1" },
        { "Forwarded: ", ", ", "for=192.0.2.99" },
        { "Forwarded: ", ",", "proto=https;For=\"192.0.2.99:4711\";by=_a, for=10.1.2.3" },
        { "Forwarded: ", "\nForwarded: ", "for=192.0.2.99, for=\"[2001:db8:1::1]:1\"" },
        { "Forwarded: ", ", ", "for=192.0.2.99;host=\"x,for=6.6.6.6;y\\\";for=7.7.7.7\"" },
    };
    struct network trusted[FUZZ_TRUSTED];
    struct address client, expected;
    read_trusted(trusted);
    check(address_parse(SPAN("192.0.2.99"), &expected), "the driver's address is valid");
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        struct buffer lines = { 0 };
        bool is_http;
        buffer_add_string(&lines, fields[i][0]);
        buffer_add(&lines, pretended);
        buffer_add_string(&lines, fields[i][1]);
        buffer_add_string(&lines, fields[i][2]);
        struct buffer head = head_of(buffer_span(&lines));
        bool found = find_forwarded(
            at_end(area(), buffer_span(&head)), trusted, FUZZ_TRUSTED, &client, &is_http);
        check(!is_http || (found && same(&client, &expected)),
            "a client cannot pass for another address");
        buffer_free(&lines);
        buffer_free(&head);
    }
}

/* Checks an input with line ends as fields, and any other input as an address, as a network, and as
 * a value that a client sends. */
static void check_input(struct span input)
{
    if (input.len > INPUT_MAX_BYTES)
        return;
    if (input.len > 0 && memchr(input.at, '\n', input.len) != NULL) {
        check_fields(input);
        return;
    }
    check_place(at_start(area(), input));
    check_place(at_end(area(), input));
    check_pretended(input);
}

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const char empty[1];
    check_input((struct span) { size > 0 ? (const char *)data : empty, size });
    return 0;
}

#else

/* ---- The modes ---------------------------------------------------------------------------- */

static int show_parse(struct span input)
{
    struct address address;
    char text[ADDRESS_TEXT_BYTES], prefix_text[ADDRESS_TEXT_BYTES];
    if (!address_parse(input, &address)) {
        puts("none");
        return 0;
    }
    struct address prefix = address_prefix(&address);
    print(&address, text);
    print(&prefix, prefix_text);
    printf("%s %s%s\n", text, prefix_text, address_is_loopback(&address) ? " loopback" : "");
    return 0;
}

static int show_network(struct span input)
{
    struct network network;
    char text[ADDRESS_TEXT_BYTES + 8] = "none";
    if (network_parse(input, &network))
        print_network(&network, text, sizeof text);
    puts(text);
    return 0;
}

static struct network network_of(const char *text)
{
    struct network network;
    if (network_parse(span_of(text), &network))
        return network;
    fprintf(stderr, "%s is not a network\n", text);
    exit(2);
}

static int show_has(struct span input, const char *text)
{
    struct network network = network_of(text);
    struct address address;
    puts(!address_parse(input, &address) ? "none" : network_has(&network, &address) ? "yes" : "no");
    return 0;
}

static int show_forwarded(struct span input, char **networks, size_t count)
{
    struct network trusted[NETWORKS_MAX];
    struct address client;
    char text[ADDRESS_TEXT_BYTES] = "no client";
    bool is_http;
    check(count <= NETWORKS_MAX, "there are at most NETWORKS_MAX networks");
    for (size_t i = 0; i < count; i++)
        trusted[i] = network_of(networks[i]);
    struct buffer head = head_of(input);
    if (find_forwarded(at_end(area(), buffer_span(&head)), trusted, count, &client, &is_http))
        print(&client, text);
    puts(is_http ? text : "not HTTP");
    buffer_free(&head);
    return 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: address parse|network|promises <INPUT, or address has NETWORK, or\n"
                    "       address forwarded [NETWORK...]\n");
    return 2;
}

static int show(struct span input, int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (argc == 2 && strcmp(mode, "parse") == 0)
        return show_parse(input);
    if (argc == 2 && strcmp(mode, "network") == 0)
        return show_network(input);
    if (argc == 3 && strcmp(mode, "has") == 0)
        return show_has(input, argv[2]);
    if (argc >= 2 && strcmp(mode, "forwarded") == 0)
        return show_forwarded(input, argv + 2, (size_t)argc - 2);
    if (argc == 2 && strcmp(mode, "promises") == 0)
        return 0;
    return usage();
}

int main(int argc, char **argv)
{
    struct span input = read_input();
    check_input(input);
    int status = show(input, argc, argv);
    span_free(input);
    return status;
}

#endif
