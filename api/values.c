/* values.c - media types, codings and entity tags. */

#include "api/values.h"

#include "base/scan.h"

bool values_is_type(struct span content_type, struct span type)
{
    struct span media_type = { NULL, 0 };
    span_split(&content_type, ';', &media_type);
    return span_equal_nocase(span_trim(media_type), type);
}

/* "q=0.5" and the like (RFC 9110 12.4.2). What is no weight counts as 0: the plain form of a file
 * is never wrong. */
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

/* What is said of gzip by its name counts more than what "*" says of all others. */
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

/* Takes an entity tag from the front, quotes included, "W/" not (RFC 9110 8.8.3). A tag may hold
 * commas, so that this list cannot be split at them. */
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
