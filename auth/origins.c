/* origins.c - normalises and compares hosts and origins.
 *
 * Both sides go through one function, normalise(): what the operator writes, which is checked
 * first, and what requests have, which http.c has checked. So the two cannot differ in their idea
 * of one spelling:
 *
 *      as written                 host                  port
 *      Chat.Example:0443          chat.example          443
 *      [2001:DB8:0:0::1]          [2001:db8::1]         0, for none
 *
 * Only ASCII is compared. A browser sends a name with other letters in Punycode (RFC 3492), and to
 * convert names here would need tables of Unicode, so the operator has to write Punycode. */

#include "auth/origins.h"

#include "base/print.h"
#include "base/scan.h"
#include "net/address.h"

enum {
    HOST_MAX_BYTES = 253, /* RFC 1035 3.1, as text */
    LABEL_MAX_BYTES = 63,
    SCHEME_MAX_BYTES = 32,
    HTTP_PORT = 80,
    HTTPS_PORT = 443,
    PORT_MAX = 65535,
};

/* A host, perhaps with a port, in one spelling. */
struct authority {
    char host[HOST_MAX_BYTES + 2]; /* not NUL-terminated; there is room for a final dot */
    size_t len;
    unsigned port; /* 0: none */
};

static struct span host_of(const struct authority *a)
{
    return (struct span) { a->host, a->len };
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Splits at the first colon that is not in brackets. Returns whether there is one. */
static bool split_port(struct span text, struct span *host, struct span *port)
{
    size_t bracket = span_find(text, ']'), from = bracket < text.len ? bracket : 0;
    size_t colon = from + span_find(span_skip(text, from), ':');
    *host = (struct span) { text.at, colon };
    *port = span_skip(text, colon < text.len ? colon + 1 : text.len);
    return colon < text.len;
}

static bool is_address(const char *at, size_t len)
{
    return address_parse((struct span) { at, len }, &(struct address) { 0 });
}

/* Returns false for a text that is not an authority, or is too long for a name. Does not check the
 * characters of a name. An empty port is the same as none (RFC 3986 6.2.3); so is, for browsers, a
 * dot after an IPv4 address. */
static bool normalise(struct span text, struct authority *a)
{
    struct span host, port;
    struct address address;
    unsigned long long number = 0;
    split_port(text, &host, &port);
    if (host.len == 0 || host.len >= sizeof a->host ||
        (port.len > 0 && (!span_number(port, PORT_MAX, &number) || number == 0)))
        return false;
    a->port = (unsigned)number;
    a->len = host.len;
    for (size_t i = 0; i < host.len; i++)
        a->host[i] = lower(host.at[i]);
    if (host.at[0] != '[') {
        a->len -= host.at[host.len - 1] == '.' && is_address(host.at, host.len - 1);
        return true;
    }
    char v6[ADDRESS_TEXT_BYTES];
    if (!address_parse(host, &address))
        return false;
    address_print_v6(&address, v6);
    a->len = print_into(a->host, sizeof a->host, "[%s]", v6);
    return true;
}

/* Removes the dot that may end a name in Host, where it makes no difference (RFC 3986 3.2.2). In an
 * origin it does: browsers take https://chat.example. for another origin. */
static void drop_dot(struct span *host)
{
    if (host->len > 1 && host->at[host->len - 1] == '.')
        host->len--;
}

/* ==== What the operator writes =============================================================== */

/* Writes the rest of a sentence, and returns false. */
__attribute__((format(printf, 2, 3))) static bool say_why(
    char why[ORIGINS_WHY_BYTES], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_list(why, ORIGINS_WHY_BYTES, format, args);
    va_end(args);
    return false;
}

/* Returns whether browsers take a host with this last label for an IPv4 address (URL Standard,
 * "ends in a number checker"): for digits, and for 0x with hexadecimal digits or nothing. */
static bool is_number(struct span label)
{
    bool hex = label.len >= 2 && label.at[0] == '0' && lower(label.at[1]) == 'x';
    for (size_t i = hex ? 2 : 0; i < label.len; i++)
        if (hex ? scan_hex(label.at[i]) < 0 : !scan_is_digit(label.at[i]))
            return false;
    return label.len > 0;
}

static bool is_name_character(char c)
{
    c = lower(c);
    return scan_is_digit(c) || (c >= 'a' && c <= 'z') || c == '-' || c == '_' || c == '.';
}

/* Returns NULL if a browser could have this name in a URL, and a resolver could find it. */
static const char *check_name(struct span name)
{
    struct span rest = name, label;
    for (size_t i = 0; i < name.len; i++)
        if ((signed char)name.at[i] < 0)
            return "has a host that is not ASCII; write it in Punycode, as browsers send it "
                   "(xn--...)";
        else if (!is_name_character(name.at[i]))
            return "has a character that no host has; a host consists of letters, digits, hyphens, "
                   "underscores and dots";
    drop_dot(&rest);
    bool address = is_address(rest.at, rest.len);
    if (rest.len > HOST_MAX_BYTES)
        return "has a host of more than 253 characters, which does not exist; write a shorter one";
    while (span_split(&rest, '.', &label))
        if (label.len == 0 || label.len > LABEL_MAX_BYTES)
            return "has a host with a part that is empty or over 63 characters; write the host as "
                   "in a browser's address bar";
    if (is_number(label) && !address)
        return "has a host that ends in a number; browsers write IPv4 addresses as four decimal "
               "numbers, so write it like 127.0.0.1";
    return NULL;
}

/* Checks what stands between "//" and the path of a URL, and normalises it. Returns NULL, or the
 * rest of a sentence. */
static const char *read_authority(struct span text, struct authority *a)
{
    struct span host, port;
    unsigned long long number;
    bool has_port = split_port(text, &host, &port);
    if (span_find(text, '@') < text.len)
        return "has a user name; leave out everything up to the @";
    if (span_find(port, ':') < port.len)
        return "has several colons; write an IPv6 address in brackets, like [::1] or [::1]:8080";
    if (host.len == 0)
        return "has no host; write it like example.com";
    if (has_port && (!span_number(port, PORT_MAX, &number) || number == 0))
        return "has no valid port after the colon; write a number from 1 to 65535, or no colon";
    const char *why = scan_next_is(host, '[') ? NULL : check_name(host);
    if (why == NULL && !normalise(text, a))
        why = "has no IPv6 address in its brackets; write it like [2001:db8::1]";
    return why;
}

/* Appends the authority to a string, without a port that is `standard`. */
static void add_authority(
    char out[ORIGINS_TEXT_BYTES], size_t len, const struct authority *a, unsigned standard)
{
    size_t size = ORIGINS_TEXT_BYTES - len;
    if (a->port == 0 || a->port == standard)
        print_into(out + len, size, "%.*s", (int)a->len, a->host);
    else
        print_into(out + len, size, "%.*s:%u", (int)a->len, a->host, a->port);
}

/* Returns the part before the path, query or fragment, which become `*rest`. Browsers take a
 * backslash for a slash. */
static struct span cut_path(struct span text, struct span *rest)
{
    size_t len = 0;
    while (len < text.len && strchr("/\\?#", text.at[len]) == NULL)
        len++;
    *rest = span_skip(text, len);
    return (struct span) { text.at, len };
}

/* Takes "scheme://" off the front (RFC 3986 3.1) and writes the scheme to `scheme` in lower case.
 * Returns false if there is none. */
static bool take_scheme(struct span *text, char scheme[SCHEME_MAX_BYTES])
{
    size_t len = span_find(*text, ':');
    if (len == 0 || len >= SCHEME_MAX_BYTES || len + 3 > text->len ||
        memcmp(text->at + len, "://", 3) != 0)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = scheme[i] = lower(text->at[i]);
        bool letter = c >= 'a' && c <= 'z';
        if (!letter && (i == 0 || (!scan_is_digit(c) && c != '+' && c != '-' && c != '.')))
            return false;
    }
    scheme[len] = '\0';
    scan_skip(text, len + 3);
    return true;
}

/* Refuses a text without a scheme: most often only the scheme is missing. */
static bool refuse_without_scheme(struct span text, char why[ORIGINS_WHY_BYTES])
{
    struct authority a;
    struct span rest;
    char host[ORIGINS_TEXT_BYTES];
    if (read_authority(cut_path(text, &rest), &a) != NULL)
        return say_why(why, "is not an origin; write it like https://example.com");
    add_authority(host, 0, &a, 0);
    return say_why(why, "has no scheme; write https://%s, or http://%s", host, host);
}

/* Reads the rest of an origin whose scheme is neither http nor https. The program that made up the
 * scheme (an extension's, an app's) also decides what its hosts look like: "app://." exists. */
static const char *read_foreign(struct span authority, char out[ORIGINS_TEXT_BYTES], size_t len)
{
    for (size_t i = 0; i < authority.len; i++)
        if (authority.at[i] <= ' ' || authority.at[i] == 0x7f)
            return "has a character that no origin has; write it as the Origin field has it";
    if (authority.len == 0 || authority.len > HOST_MAX_BYTES)
        return "has no host, or a very long one; write it as the Origin field has it";
    print_into(out + len, ORIGINS_TEXT_BYTES - len, "%.*s", (int)authority.len, authority.at);
    return NULL;
}

/* Returns the default port of a scheme, or 0 if it has none that matters. */
static unsigned standard_port(const char *scheme)
{
    return strcmp(scheme, "http") == 0 ? HTTP_PORT : strcmp(scheme, "https") == 0 ? HTTPS_PORT : 0;
}

/* Refuses values that are no origin of a page, and have no "scheme://host" either. Returns NULL, or
 * the rest of a sentence. */
static const char *check_words(struct span text)
{
    if (span_equal_nocase(text, SPAN("null")))
        return "is the origin of files and of sandboxed frames, which any site can have; serve the "
               "page by HTTP and write its origin, or write * for all";
    if (span_find(text, '*') < text.len)
        return "has a wildcard, but only * alone is one, for all origins; write each origin";
    return NULL;
}

bool origins_read(struct span text, char out[ORIGINS_TEXT_BYTES], char why[ORIGINS_WHY_BYTES])
{
    char scheme[SCHEME_MAX_BYTES];
    struct authority a;
    struct span rest = text, path;
    print_into(out, ORIGINS_TEXT_BYTES, "*");
    if (span_equal(text, SPAN("*")))
        return true;
    const char *wrong = check_words(text);
    if (wrong != NULL)
        return say_why(why, "%s", wrong);
    if (!take_scheme(&rest, scheme))
        return refuse_without_scheme(text, why);
    if (strcmp(scheme, "ws") == 0 || strcmp(scheme, "wss") == 0 || strcmp(scheme, "file") == 0)
        return say_why(why, "is not the origin of a page; write the one that is in the browser's "
                            "address bar, like https://example.com");
    struct span authority = cut_path(rest, &path);
    size_t len = print_into(out, ORIGINS_TEXT_BYTES, "%s://", scheme);
    unsigned standard = standard_port(scheme);
    wrong = standard > 0 ? read_authority(authority, &a) : read_foreign(authority, out, len);
    if (wrong != NULL)
        return say_why(why, "%s", wrong);
    if (standard > 0)
        add_authority(out, len, &a, standard);
    if (path.len > 0 && !span_equal(path, SPAN("/"))) /* "https://example.com/" is often pasted */
        return say_why(why, "has a path, but an origin has none; write %s", out);
    return true;
}

bool origins_read_host(struct span text, char out[ORIGINS_TEXT_BYTES], char why[ORIGINS_WHY_BYTES])
{
    char scheme[SCHEME_MAX_BYTES];
    struct authority a;
    struct span rest = text, path;
    if (span_find(text, '*') < text.len)
        return say_why(why, "has a wildcard, but there are none here; write each host, or leave "
                            "--host out to answer for all");
    bool is_url = take_scheme(&rest, scheme);
    const char *wrong = read_authority(cut_path(rest, &path), &a);
    if (wrong != NULL)
        return say_why(why, "%s", wrong);
    struct span host = host_of(&a);
    drop_dot(&host);
    a.len = host.len;
    add_authority(out, 0, &a, 0);
    if (is_url || path.len > 0)
        return say_why(why, "is a URL; write only its host: %s", out);
    return true;
}

/* ==== What requests have ===================================================================== */

/* Takes `piece` off the front of `*s`. Returns false if it is not there. */
static bool take_text(struct span *s, struct span piece)
{
    if (s->len < piece.len || !span_equal_nocase((struct span) { s->at, piece.len }, piece))
        return false;
    scan_skip(s, piece.len);
    return true;
}

/* Takes "http://" or "https://" off the front, and returns the scheme's default port; 0 if neither
 * is there. "null" has no scheme. */
static unsigned take_http(struct span *origin)
{
    return take_text(origin, SPAN("http://"))    ? HTTP_PORT
           : take_text(origin, SPAN("https://")) ? HTTPS_PORT
                                                 : 0;
}

/* Returns whether two authorities are the same, if a port is left out that is `standard`. */
static bool is_same(struct span a, struct span b, unsigned standard)
{
    struct authority first, second;
    return normalise(a, &first) && normalise(b, &second) &&
           span_equal(host_of(&first), host_of(&second)) &&
           (first.port > 0 ? first.port : standard) == (second.port > 0 ? second.port : standard);
}

/* Compares the text first, because browsers send it as it is listed. Only programs write a default
 * port. */
bool origins_match(struct span listed, struct span origin)
{
    if (span_equal_nocase(listed, origin))
        return true;
    unsigned standard = take_http(&listed);
    return standard != 0 && take_http(&origin) == standard && is_same(listed, origin, standard);
}

bool origins_is_own(struct span origin, struct span host)
{
    unsigned standard = take_http(&origin);
    return standard != 0 && is_same(origin, host, standard);
}

/* A Host without a port means the default port of a scheme that is not known here, so it matches a
 * listed port 80 and a listed port 443. */
bool origins_match_host(struct span listed, struct span host)
{
    struct authority a;
    unsigned long long port;
    if (!normalise(host, &a))
        return false;
    struct span name = host_of(&a);
    drop_dot(&name);
    if (!scan_take_text(&listed, name))
        return false;
    if (listed.len == 0)
        return true;
    return scan_take(&listed, ':') && span_number(listed, PORT_MAX, &port) &&
           (a.port > 0 ? a.port == port : port == HTTP_PORT || port == HTTPS_PORT);
}
