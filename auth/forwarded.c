/* forwarded.c - reads X-Forwarded-For or Forwarded (RFC 7239) from the right.
 *
 * Each proxy appends the address that its request came from, so the elements become less
 * trustworthy from right to left: the last is from our own proxy, the first is whatever the client
 * sent. A parser that starts on the left must parse the client's part first, and a client can write
 * a part that swallows the proxy's element (with an open quote, for instance). A parser that starts
 * on the right completes the proxy's element before it reads a byte that the client wrote.
 *
 * The cost is bounded by the size of the request's head: each byte is read at most a few times.
 * Left out: the other parameters of Forwarded (by, host, proto), and names instead of addresses. */

#include "auth/forwarded.h"

/* Takes the last piece, back to `separator`, off the end of a list. A separator in a quoted string
 * does not count (RFC 9110 5.6.4). Returns false if nothing is left.
 *
 * Read from the right, a quoted string begins at its closing quote. Inside the string, a quote is
 * escaped if it follows an odd number of backslashes:
 *
 *      for="a\"b"     from the right: " closes, \" is escaped, " opens
 *
 * A quote that the client opened but did not close affects only the text to its left. */
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
        quoted ^= (at - 1 - next) % 2 == 0; /* An odd number escapes the quote. */
    }
    *piece = (struct span) { rest->at + at, end - at };
    *rest = at > 0 ? (struct span) { rest->at, at - 1 } : (struct span) { NULL, 0 };
    return true;
}

/* Returns the address in an element of Forwarded: for=192.0.2.43;proto=https, or
 * for="[2001:db8::1]:4711" (RFC 7239 4). The result is empty unless there is exactly one `for`.
 * address_parse refuses an empty text, and names that hide an address ("unknown", "_hidden"). */
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

/* Walks the list from right to left. If a request passes through two of our proxies, the connection
 * comes from the second proxy, and the list is:
 *
 *      X-Forwarded-For: what the client sent, the client, our first proxy
 *                                             ^ found     ^ trusted: continue to the left
 *
 * The search ends at an element that is not an address; the last trusted address found, if any, is
 * the result. Several fields with the same name are one list (RFC 9110 5.3). Empty elements are
 * skipped, because a list may contain them (RFC 9110 5.6.1). */
enum forwarded forwarded_client(const struct http_request *request, const char *bytes,
    const struct network *trusted, size_t count, struct address *client)
{
    struct span lines[HTTP_FIELDS_MAX], element;
    enum http_field field = HTTP_X_FORWARDED_FOR;
    enum forwarded known = FORWARDED_UNREADABLE;
    unsigned cursor = 0;
    size_t line = 0;
    /* The parser refuses more than HTTP_FIELDS_MAX fields, so all lines fit. */
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
