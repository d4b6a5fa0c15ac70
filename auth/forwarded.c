/* forwarded.c - reads X-Forwarded-For, or else Forwarded, from the right: only what our own proxies
 * added there is to be believed. */

#include "auth/forwarded.h"

/* Takes the last piece off a list, from its end to `separator`. What stands in quotes separates
 * nothing (RFC 9110 5.6.4).
 *
 * It is read from the right because only the right end is our proxy's: a quote that a client opened
 * on the left cannot swallow what the proxy added behind it. False when nothing is left. */
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
        quoted ^= (at - 1 - next) % 2 == 0; /* else it is escaped */
    }
    *piece = (struct span) { rest->at + at, end - at };
    *rest = at > 0 ? (struct span) { rest->at, at - 1 } : (struct span) { NULL, 0 };
    return true;
}

/* The address in an element of Forwarded: for=192.0.2.43;proto=https, or for="[2001:db8::1]:4711"
 * (RFC 7239 4). One without `for`, with two, or with a name that hides the address, says nothing.
 */
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

/* Each proxy writes the address that it was asked from behind what it found there:
 *
 *      X-Forwarded-For: what the client pretends, the client, a proxy of ours
 *
 * From the right, it is the first that is not trusted; what cannot be read ends the way. */
enum forwarded forwarded_client(const struct http_request *request, const char *bytes,
    const struct network *trusted, size_t count, struct address *client)
{
    struct span lines[HTTP_FIELDS_MAX], element;
    enum http_field field = HTTP_X_FORWARDED_FOR;
    enum forwarded known = FORWARDED_UNREADABLE;
    unsigned cursor = 0;
    size_t line = 0;
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
