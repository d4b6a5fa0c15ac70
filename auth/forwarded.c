/* forwarded.c - reads X-Forwarded-For or Forwarded (RFC 7239) from the right.
 *
 * Each proxy appends the address that its request came from, so the trust of a list decreases from
 * right to left: the last element is from our own proxy, the first one is whatever the client sent.
 * A parser that starts on the left has to parse the client's part first, and a client can write
 * that part so that the proxy's element is read as a piece of it (an open quote, for instance).
 * From the right, no byte of the client is read before the proxy's element is complete.
 *
 * The cost is bounded by the request's head: each byte is read at most a few times. Left out: the
 * other parameters of Forwarded (by, host, proto), and names instead of addresses. */

#include "auth/forwarded.h"

/* Takes the last piece off a list, from its end back to `separator`. A separator in a quoted string
 * does not count (RFC 9110 5.6.4). False if nothing is left.
 *
 * Read from the right, a quoted string begins at its closing quote. Inside, a quote is escaped if
 * an odd number of backslashes stands before it:
 *
 *      for="a\"b"     from the right: " closes, \" is escaped, " opens
 *
 * A quote that the client opened and did not close spoils only what is to the left of it. */
static bool split_last(struct span *rest, char separator, struct span *piece)
{
    size_t end = rest->len, at = end, next = 0;
    bool quoted = false;
    if (rest->at == NULL)
        return false;
    for (; at > 0; at = next) {
        next = at - 1;
        if (rest->at[next] == separator && !quoted)
            break;
        if (rest->at[next] != '"')
            continue;
        while (quoted && next > 0 && rest->at[next - 1] == '\\')
            next--;
        quoted ^= (at - 1 - next) % 2 == 0; /* An odd number escapes it. */
    }
    *piece = (struct span) { rest->at + at, end - at };
    *rest = at > 0 ? (struct span) { rest->at, at - 1 } : (struct span) { NULL, 0 };
    return true;
}

/* The address in an element of Forwarded: for=192.0.2.43;proto=https, or for="[2001:db8::1]:4711"
 * (RFC 7239 4). Without `for`, or with two of them, the result is empty. It is then no address, and
 * neither is a name that a proxy sends to hide the address ("unknown", "_hidden"). */
static struct span find_node(struct span element)
{
    struct span pair, name, node = { NULL, 0 };
    while (split_last(&element, ';', &pair)) {
        span_split(&pair, '=', &name);
        if (pair.at == NULL || !span_equal_nocase(span_trim(name), SPAN("for")))
            continue;
        if (node.at != NULL)
            return (struct span) { NULL, 0 };
        node = span_trim(pair);
    }
    if (node.len >= 2 && node.at[0] == '"' && node.at[node.len - 1] == '"') {
        node.at++;
        node.len -= 2;
    }
    return node;
}

/* With two proxies of ours in a row, the second one's address is that of the connection, and the
 * list is:
 *
 *      X-Forwarded-For: what the client sent, the client, our first proxy
 *                                             ^ found     ^ trusted: go on to the left
 *
 * The search ends at an element that is not an address, with the last trusted address found so far.
 * Several fields of one name are one list (RFC 9110 5.3). Empty elements are skipped, because a
 * list may have them (RFC 9110 5.6.1). */
enum forwarded forwarded_client(const struct http_request *request, const char *bytes,
    const struct network *trusted, size_t count, struct address *client)
{
    struct span lines[HTTP_FIELDS_MAX], element;
    enum http_field field = HTTP_X_FORWARDED_FOR;
    enum forwarded known = FORWARDED_UNREADABLE;
    unsigned cursor = 0;
    size_t line = 0;
    /* The parser refuses more than HTTP_FIELDS_MAX fields, so `lines` has a place for all. */
    while (http_next(request, field, bytes, &cursor, &lines[line]))
        line++;
    if (line == 0) {
        field = HTTP_FORWARDED;
        cursor = 0;
        while (http_next(request, field, bytes, &cursor, &lines[line]))
            line++;
    }
    if (line == 0)
        return FORWARDED_NOT;
    while (line-- > 0) {
        while (split_last(&lines[line], ',', &element)) {
            struct address address;
            element = span_trim(element);
            if (element.len == 0)
                continue;
            if (!address_parse(field == HTTP_FORWARDED ? find_node(element) : element, &address))
                return known;
            *client = address;
            known = FORWARDED_KNOWN;
            if (!network_any_has(trusted, count, &address))
                return known;
        }
    }
    return known;
}
