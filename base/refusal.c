/* refusal.c - the table of refusals, with the rule behind each.
 *
 * A status alone does not help: a library that sends a bad request shows its user the detail, which
 * names the rule and says what to change. The sections are those of RFC 9110 (HTTP), 9112
 * (HTTP/1.1) and 3986 (URLs). No text of the request is repeated. */

#include "base/refusal.h"

#include "base/words.h"

static const struct refusal refusals[REFUSE_COUNT] = {
    [REFUSE_TLS] = { 400, "",
        "This port speaks HTTP, not TLS; use http:// instead of https://, or connect to the "
        "proxy that terminates TLS." },
    [REFUSE_PROXY] = { 400, "",
        "This port does not speak the PROXY protocol; take send-proxy or proxy_protocol out of the "
        "proxy, and let it send X-Forwarded-For." },
    [REFUSE_METHOD] = { 400, "",
        "A request begins with a method, such as GET or POST, and a space (RFC 9112 3)." },
    [REFUSE_URL_MISSING] = { 400, "",
        "There must be one space, a URL and one space after the method (RFC 9112 3)." },
    [REFUSE_URL_CHARACTER] = { 400, "",
        "The URL contains a character that must be percent-encoded, as in UTF-8: write %C3%B6 "
        "for \u00f6 (RFC 3986 2.1)." },
    [REFUSE_URL_FRAGMENT] = { 400, "",
        "The URL contains a #; leave out the fragment, or write %23 (RFC 9112 3.2)." },
    [REFUSE_URL_LENGTH] = { 414, "", "The URL is longer than 8000 bytes; use a shorter one." },
    [REFUSE_URL_FORM] = { 400, "",
        "The URL must be a path that begins with a slash, or http://HOST/PATH without a user "
        "name (RFC 9112 3.2)." },
    [REFUSE_URL_ASTERISK] = { 400, "",
        "The URL * is only for OPTIONS; use a path (RFC 9112 3.2.4)." },
    [REFUSE_URL_AUTHORITY] = { 400, "",
        "CONNECT needs HOST:PORT instead of a URL (RFC 9112 3.2.3)." },
    [REFUSE_VERSION] = { 400, "",
        "After the URL come one space and the version, HTTP/1.1; write a space in the URL as "
        "%20 (RFC 9112 3)." },
    [REFUSE_VERSION_NUMBER] = { 505, "",
        "This server supports only HTTP/1.1 and HTTP/1.0; use one of them." },
    [REFUSE_BARE_LF] = { 400, "", "A line ends with LF alone; end it with CRLF (RFC 9112 2.2)." },
    [REFUSE_FIELD_FOLDED] = { 400, "",
        "A line of the head begins with white space; write each field on one line (RFC 9112 "
        "5.2)." },
    [REFUSE_FIELD_SPACE] = { 400, "",
        "A field has white space before its colon; remove it (RFC 9112 5.1)." },
    [REFUSE_FIELD_NAME] = { 400, "",
        "A line of the head is not `Name: value`, or its name contains a character that names "
        "cannot have (RFC 9110 5.1)." },
    [REFUSE_FIELD_VALUE] = { 400, "",
        "The value of a field contains a control character, such as NUL or a CR that ends no "
        "line; remove it (RFC 9110 5.5)." },
    [REFUSE_FIELD_REPEATED] = { 400, "",
        "A field is repeated that may appear only once, such as Host, Origin, Content-Type or "
        "Authorization; send it once (RFC 9110 5.3)." },
    [REFUSE_FIELD_COUNT] = { 431, "",
        "The head or the trailer has more than 100 fields; send fewer." },
    [REFUSE_HEAD_LENGTH] = { 431, "",
        "The head of the request is over 16 KiB; send fewer or shorter fields, for example "
        "fewer cookies." },
    [REFUSE_HOST_MISSING] = { 400, "",
        "The field Host is missing; HTTP/1.1 requires it (RFC 9112 3.2)." },
    [REFUSE_HOST_VALUE] = { 400, "",
        "Host must be a name or an address, with or without a port, such as chat.example:8080 "
        "(RFC 9110 7.2)." },
    [REFUSE_LENGTH_VALUE] = { 400, "", "Content-Length must be a decimal number (RFC 9110 8.6)." },
    [REFUSE_LENGTH_REPEATED] = { 400, "",
        "Content-Length is repeated with another value; send it once (RFC 9112 6.3)." },
    [REFUSE_CODING_LENGTH] = { 400, "",
        "Transfer-Encoding and Content-Length exclude each other; send one of them (RFC 9112 "
        "6.1)." },
    [REFUSE_CODING_VERSION] = { 400, "",
        "HTTP/1.0 has no Transfer-Encoding; send Content-Length, or use HTTP/1.1 (RFC 9112 "
        "6.1)." },
    [REFUSE_CODING_ORDER] = { 400, "",
        "The last transfer coding must be chunked, named once, without parameters and empty items "
        "(RFC 9112 "
        "6.1, 7.1)." },
    [REFUSE_CODING_UNKNOWN] = { 501, "",
        "The only transfer coding that this server supports is chunked; use that or none." },
    [REFUSE_EXPECTATION] = { 417, "",
        "The only Expect value that this server supports is 100-continue; use that or none." },
    [REFUSE_BODY_UNEXPECTED] = { 413, "",
        "GET and HEAD have no body here; send this request without one." },
    [REFUSE_BODY_LENGTH] = { 413, "",
        "The body is larger than this server allows (--max-body); send a smaller one." },
    [REFUSE_CHUNK_SIZE] = { 400, "",
        "A chunk begins with its size in hexadecimal digits, at most 16, and CRLF (RFC 9112 "
        "7.1)." },
    [REFUSE_CHUNK_LINE] = { 400, "",
        "A chunk has over 250 bytes of extensions; leave them out (RFC 9112 7.1.1)." },
    [REFUSE_CHUNK_END] = { 400, "",
        "A chunk is longer or shorter than its size says: CRLF must follow its last byte (RFC "
        "9112 7.1)." },
    [REFUSE_TRAILER_LENGTH] = { 431, "",
        "The chunk extensions and the trailer are over 16 KiB; leave them out." },
    [REFUSE_TOO_SLOW] = { 408, "", "The request took too long to arrive; send it faster." },
    [REFUSE_NO_MEMORY] = { 503, "",
        "Too many large requests are arriving now; try again later, or send a smaller one." },
};

const struct refusal *refusal_get(int why)
{
    return &refusals[why];
}

/* Recognizes a TLS handshake by its first byte (RFC 8446 5.1), and version 2 of the PROXY protocol
 * by the NUL after its empty lines, because these are common mistakes. */
int refusal_of_start(char c)
{
    if (c == 0x16)
        return REFUSE_TLS;
    if (c == '\0')
        return REFUSE_PROXY;
    return c == '\n' ? REFUSE_BARE_LF : REFUSE_METHOD;
}

/* A line that ends after the URL is a request of HTTP/0.9. */
int refusal_of_target(size_t len, char end)
{
    if (end == '#')
        return REFUSE_URL_FRAGMENT;
    if (end == '\r' || end == '\n')
        return REFUSE_VERSION;
    return len == 0 && end == ' ' ? REFUSE_URL_MISSING : REFUSE_URL_CHARACTER;
}

int refusal_of_line(struct span line)
{
    size_t name = words_count(WORDS_TOKEN, line);
    char end = name < line.len ? line.at[name] : '\0';
    if (end == ':' && name > 0)
        return REFUSE_FIELD_VALUE;
    if (end != ' ' && end != '\t')
        return REFUSE_FIELD_NAME;
    return name == 0 ? REFUSE_FIELD_FOLDED : REFUSE_FIELD_SPACE;
}
