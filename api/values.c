/* values.c - reads the values of five fields: Content-Type, Content-Encoding, Accept-Encoding,
 * If-None-Match, Range.
 *
 * Each is a small grammar of RFC 9110 with a trap: a media type can have parameters, and its case
 * does not matter; a coding can be listed only to refuse it (`gzip;q=0`); an entity tag can contain
 * commas; a position in a file can have more digits than any integer. A value that breaks its
 * grammar is not an error here. It counts as absent, because there is always a safe answer: the
 * plain form of a file, or the complete file. */

#include "api/values.h"

#include "base/scan.h"

#include <limits.h>

/* Ignores parameters such as charset: JSON is UTF-8 whatever they say (RFC 8259 8.1). The parser
 * has trimmed the field, so the media type is at its front. */
bool values_is_type(struct span content_type, struct span type)
{
    if (content_type.len < type.len ||
        !span_equal_nocase((struct span) { content_type.at, type.len }, type))
        return false;
    struct span parameters = span_trim(span_skip(content_type, type.len));
    return parameters.len == 0 || parameters.at[0] == ';';
}

/* Ignores empty items, as readers of lists should (RFC 9110 5.6.1.2). */
bool values_is_identity(const struct http_request *r, const char *bytes)
{
    struct http_list codings = { .request = r, .bytes = bytes, .name = HTTP_CONTENT_ENCODING };
    struct span coding;
    bool identity = true;
    while (http_has(r, HTTP_CONTENT_ENCODING) && http_next_item(&codings, &coding))
        identity &= coding.len == 0 || span_equal_nocase(coding, SPAN("identity"));
    return identity;
}

/* Returns whether a weight like "q=0.5" is above 0 (RFC 9110 12.4.2). A weight that breaks the
 * grammar counts as 0, because the plain form is never wrong. Which coding a client prefers does
 * not matter, because gzip is the only one. */
static bool is_weight_above_zero(struct span parameter)
{
    bool above = false;
    if ((!scan_take(&parameter, 'q') && !scan_take(&parameter, 'Q')) || !scan_take(&parameter, '='))
        return false;
    for (size_t i = 0; i < parameter.len; i++) {
        char c = parameter.at[i];
        if (i == 1 ? c != '.' : !scan_is_digit(c))
            return false;
        above |= scan_is_digit(c) && c != '0';
    }
    return above;
}

/* Lets an entry for gzip override "*", which means all codings that are not listed (RFC 9110
 * 12.5.3). x-gzip is an old name for gzip (8.4.1.3). */
bool values_accepts_gzip(const struct http_request *r, const char *bytes)
{
    struct http_list codings = { .request = r, .bytes = bytes, .name = HTTP_ACCEPT_ENCODING };
    struct span weight, coding;
    bool named = false, gzip = false, any = false;
    while (http_next_item(&codings, &weight)) {
        span_split(&weight, ';', &coding);
        coding = span_trim(coding);
        bool wanted = weight.at == NULL || is_weight_above_zero(span_trim(weight));
        if (span_equal_nocase(coding, SPAN("gzip")) || span_equal_nocase(coding, SPAN("x-gzip"))) {
            gzip = wanted;
            named = true;
        } else if (span_equal(coding, SPAN("*"))) {
            any = wanted;
        }
    }
    return named ? gzip : any;
}

/* Takes an entity tag from the front: with its quotes, without its "W/" (RFC 9110 8.8.3). A tag can
 * contain commas, so the list cannot be split at commas. Returns false at the end, or if the rest
 * does not begin with a tag; the rest of the field is then ignored. */
static bool take_etag(struct span *rest, struct span *etag)
{
    while (rest->len > 0 && strchr(" \t,", rest->at[0]) != NULL && rest->at[0] != '\0')
        *rest = span_skip(*rest, 1);
    if (rest->len > 1 && rest->at[0] == 'W' && rest->at[1] == '/')
        *rest = span_skip(*rest, 2);
    const char *end = rest->len > 1 ? memchr(rest->at + 1, '"', rest->len - 1) : NULL;
    if (end == NULL || rest->at[0] != '"')
        return false;
    *etag = (struct span) { rest->at, (size_t)(end - rest->at) + 1 };
    *rest = span_skip(*rest, etag->len);
    return true;
}

/* Compares weakly: ignores "W/" on both sides (RFC 9110 8.8.3.2). A proxy that compresses files may
 * have made a tag weak, and for a 304 an equivalent copy is enough. */
bool values_etag_matches(const struct http_request *r, const char *bytes, struct span etag)
{
    struct span value, candidate, wanted;
    unsigned cursor = 0;
    if (!take_etag(&etag, &wanted))
        return false;
    while (http_next(r, HTTP_IF_NONE_MATCH, bytes, &cursor, &value)) {
        if (span_equal(value, SPAN("*")))
            return true;
        while (take_etag(&value, &candidate))
            if (span_equal(candidate, wanted))
                return true;
    }
    return false;
}

/* Reads a position or a length. One that is too large for an integer becomes the largest one, which
 * is past the end of any file too. Returns false if there are no digits. */
static bool take_number(struct span *rest, unsigned long long *number)
{
    struct span digits = *rest;
    if (!scan_take_digits(rest))
        return false;
    digits.len -= rest->len;
    *number = ULLONG_MAX;
    span_number(digits, ULLONG_MAX, number);
    return true;
}

/* Reads what follows the hyphen of "-500", the last 500 bytes. Of an empty file these are all its
 * bytes, but a Content-Range cannot express that, so it is sent with 200. */
static enum values_range read_suffix(
    struct span spec, unsigned long long size, struct values_part *part)
{
    unsigned long long len;
    if (!take_number(&spec, &len) || spec.len > 0)
        return RANGE_NONE;
    if (len == 0)
        return RANGE_BEYOND;
    part->len = len < size ? len : size;
    part->from = size - part->len;
    return size > 0 ? RANGE_PART : RANGE_NONE;
}

/* Reads one range: "0-499", "500-" or "-500" (RFC 9110 14.1.1). The last position is inclusive, and
 * can be after the end of the file. */
static enum values_range read_range(
    struct span spec, unsigned long long size, struct values_part *part)
{
    unsigned long long first, last = ULLONG_MAX;
    if (scan_take(&spec, '-'))
        return read_suffix(spec, size, part);
    if (!take_number(&spec, &first) || !scan_take(&spec, '-'))
        return RANGE_NONE;
    if (spec.len > 0 && (!take_number(&spec, &last) || spec.len > 0 || last < first))
        return RANGE_NONE;
    if (first >= size)
        return RANGE_BEYOND;
    *part = (struct values_part) { first, (last < size ? last + 1 : size) - first };
    return RANGE_PART;
}

/* Ignores several ranges, although the grammar allows them: their answer would need a body of
 * several parts (RFC 9110 14.6), and no browser asks for it. A server may ignore any Range (14.2);
 * that also leaves nothing to the attack that asks for hundreds of overlapping ranges. Empty
 * elements of the list do not count (5.6.1.2). */
enum values_range values_range(struct span range, unsigned long long size, struct values_part *part)
{
    struct span unit, item, spec = { NULL, 0 };
    if (!span_split(&range, '=', &unit) || !span_equal_nocase(unit, SPAN("bytes")))
        return RANGE_NONE;
    while (span_split(&range, ',', &item)) {
        item = span_trim(item);
        if (item.len > 0 && spec.len > 0)
            return RANGE_NONE;
        if (item.len > 0)
            spec = item;
    }
    return read_range(spec, size, part);
}
