/* uri.c - checks authorities and decodes percent-encoding (RFC 3986).
 *
 * Only the characters of an authority are checked, because the server compares it and never looks
 * it up or connects to it. The check must refuse whatever a proxy could read differently: a user
 * name ("good.example@bad.example"), spaces, control characters, a port over 65535.
 *
 * Left out: relative references, normalisation, and schemes other than http and https. */

#include "base/uri.h"

#include "base/scan.h"
#include "base/words.h"

/* Skips empty parameters first, because a query can consist of thousands of them. */
bool uri_parameter(struct span *query, struct span *name, struct span *value)
{
    while (scan_take(query, '&'))
        ;
    if (query->len == 0)
        return false;
    span_split(query, '&', value);
    return span_split(value, '=', name);
}

/* Returns whether `s` is a registered name (RFC 3986 3.2.2): unreserved characters, sub-delimiters
 * and complete percent triplets. IPv4 addresses match too. Refusing '@' also refuses user names and
 * passwords. */
static bool is_host_name(struct span s)
{
    size_t i = 0;
    while ((i += words_count(WORDS_HOST, span_skip(s, i))) < s.len) {
        if (s.at[i] != '%' || s.len - i < 3 || scan_hex(s.at[i + 1]) < 0 ||
            scan_hex(s.at[i + 2]) < 0)
            return false;
        i += 3;
    }
    return s.len > 0;
}

/* Returns whether `s` has the characters of an IPv6 address in brackets, at least "[::]". */
static bool is_ip_literal(struct span s)
{
    if (s.len < 4 || s.at[0] != '[' || s.at[s.len - 1] != ']')
        return false;
    for (size_t i = 1; i < s.len - 1; i++)
        if (scan_hex(s.at[i]) < 0 && s.at[i] != ':' && s.at[i] != '.')
            return false;
    return true;
}

/* Splits the port off from the right, because an IPv6 address contains colons too: digits after the
 * last colon are the port. The port may be empty ("host:", RFC 3986 3.2.3). "[::1]" has no port,
 * because its last character is neither a digit nor a colon. */
bool uri_is_authority(struct span s)
{
    size_t digits = 0;
    while (digits < s.len && scan_is_digit(s.at[s.len - digits - 1]))
        digits++;
    struct span port = { s.at + s.len - digits, digits }, host = s;
    if (digits < s.len && port.at[-1] == ':') {
        host.len -= digits + 1;
        if (digits > 0 && !span_number(port, 65535, &(unsigned long long) { 0 }))
            return false;
    }
    return is_host_name(host) || is_ip_literal(host);
}

/* Needs no test for '#', because uri_is_authority refuses it. */
bool uri_take_origin(struct span *uri, struct span *authority)
{
    static const char *const schemes[] = { "http://", "https://" };
    for (unsigned i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        struct span scheme = span_of(schemes[i]);
        if (uri->len < scheme.len ||
            !span_equal_nocase((struct span) { uri->at, scheme.len }, scheme))
            continue;
        struct span rest = span_skip(*uri, scheme.len), found = { rest.at, 0 };
        while (found.len < rest.len && rest.at[found.len] != '/' && rest.at[found.len] != '?')
            found.len++;
        *authority = found;
        *uri = span_skip(rest, found.len);
        return uri_is_authority(found);
    }
    return false;
}

/* Takes one byte off the front, decoded. Returns -1 if a '%' is not followed by two digits. */
static int take_byte(struct span *in)
{
    int c = (unsigned char)in->at[0], high = -1, low = -1;
    if (c == '%') {
        high = in->len > 2 ? scan_hex(in->at[1]) : -1;
        low = high >= 0 ? scan_hex(in->at[2]) : -1;
        if (low < 0)
            return -1;
        c = high << 4 | low;
    }
    *in = span_skip(*in, low < 0 ? 1 : 3);
    return c;
}

/* Compares without decoding first, because that is enough for nearly all requests. */
bool uri_means(struct span encoded, struct span plain)
{
    if (span_equal(encoded, plain))
        return true;
    if (encoded.len <= plain.len)
        return false;
    size_t i = 0;
    while (encoded.len > 0 && i < plain.len && take_byte(&encoded) == (unsigned char)plain.at[i])
        i++;
    return encoded.len == 0 && i == plain.len;
}

/* Decodes in one pass, so "%2541" becomes "%41" and not "A": decoding twice lets text evade
 * filters. Works in place, because the output never overtakes the input. */
ptrdiff_t uri_decode(struct span in, bool plus, char *out)
{
    char *to = out;
    while (in.len > 0) {
        bool space = plus && in.at[0] == '+';
        int c = take_byte(&in);
        if (c < 0)
            return -1;
        *to++ = space ? ' ' : (char)c;
    }
    return to - out;
}
