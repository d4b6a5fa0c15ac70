/* origins.c - a driver for origins.c. It reads a text from standard input, and prints:
 *
 *     origins cors                 the origin that browsers send for this value of --cors
 *     origins host                 the same for --host
 *     origins match ORIGIN         yes or no: whether --cors ORIGIN allows the text
 *     origins match-host NAME      the same for --host NAME and the text of a Host
 *     origins own HOST             whether the text is the origin of a page at HOST
 *     origins promises             nothing: it only runs the checks of the fuzz target
 *
 * It prints `none` for a value that is refused. It also checks the promises of origins.h, with the
 * text directly after and directly before an unreadable page. The most important check is that each
 * value that is accepted matches itself in the form that browsers send.
 *
 * A broken promise (driver.h) calls abort. With -DFUZZ the same checks are a libFuzzer target. */

#include "auth/origins.h"
#include "driver.h"

enum { INPUT_MAX_BYTES = 4096 };

static struct guarded area(void)
{
    static struct guarded pages;
    if (pages.first == NULL)
        pages = guarded_new(INPUT_MAX_BYTES);
    return pages;
}

typedef bool reader(struct span, char[ORIGINS_TEXT_BYTES], char[ORIGINS_WHY_BYTES]);

/* Reads a value, and checks what holds for each. Returns an empty span if it is refused. */
static struct span read_value(reader *read, struct span text, char out[ORIGINS_TEXT_BYTES])
{
    char why[ORIGINS_WHY_BYTES], again[ORIGINS_TEXT_BYTES];
    memset(out, 'x', ORIGINS_TEXT_BYTES);
    memset(why, 'x', sizeof why);
    if (!read(text, out, why)) {
        check(memchr(why, '\0', sizeof why) != NULL && strlen(why) > 20,
            "a refused value has a sentence, which is complete");
        check(strchr(why, ';') != NULL || strchr(why, ':') != NULL,
            "the sentence says what to write instead");
        return (struct span) { out, 0 };
    }
    check(memchr(out, '\0', ORIGINS_TEXT_BYTES) != NULL && out[0] != '\0',
        "an accepted value fits into ORIGINS_TEXT_BYTES");
    check(read(span_of(out), again, why) && strcmp(out, again) == 0,
        "the form of an accepted value is its own form");
    for (const char *c = out; *c != '\0'; c++)
        check(*c > ' ' && *c < 0x7f, "the form of an accepted value is visible ASCII");
    return span_of(out);
}

static void check_cors(struct span text)
{
    char out[ORIGINS_TEXT_BYTES];
    struct span origin = read_value(origins_read, text, out);
    if (origin.len == 0 || span_equal(origin, SPAN("*")))
        return;
    check(origins_match(origin, origin), "an accepted origin matches the form that browsers send");
    bool slash = text.at[text.len - 1] == '/';
    check(origins_match(origin, (struct span) { text.at, text.len - slash }),
        "an accepted origin matches what the operator wrote");
    bool secure = strncmp(out, "https://", 8) == 0;
    if (secure || strncmp(out, "http://", 7) == 0) {
        for (const char *c = out; *c != '\0'; c++)
            check(*c < 'A' || *c > 'Z', "the form of an origin is in lower case");
        struct span host = span_of(out + (secure ? 8 : 7));
        check(origins_is_own(origin, host), "the page of an origin is at its host");
    }
}

static void check_host(struct span text)
{
    char out[ORIGINS_TEXT_BYTES];
    struct span host = read_value(origins_read_host, text, out);
    if (host.len == 0)
        return;
    check(origins_match_host(host, host), "an accepted host matches the form that browsers send");
    check(origins_match_host(host, text), "an accepted host matches what the operator wrote");
    if (out[host.len - 1] == ']' || strchr(out, ':') == NULL) {
        char with_port[ORIGINS_TEXT_BYTES + 8];
        snprintf(with_port, sizeof with_port, "%s:4711", out);
        check(origins_match_host(host, span_of(with_port)), "a host without a port has any port");
    }
}

/* Checks that a request can have any bytes in Origin and Host. */
static void check_request(struct span text)
{
    static const char *const listed[] = { "https://a.example", "http://[::1]:8080", "app://." };
    static const char *const hosts[] = { "a.example", "a.example:8080", "[::1]", "127.0.0.1" };
    for (size_t i = 0; i < sizeof listed / sizeof listed[0]; i++)
        if (origins_match(span_of(listed[i]), text))
            check(text.len >= strlen(listed[i]), "an origin that matches is not shorter");
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        origins_match_host(span_of(hosts[i]), text);
        origins_is_own(SPAN("https://a.example"), text);
        origins_is_own(text, span_of(hosts[i]));
    }
}

static void check_input(struct span input)
{
    if (input.len == 0 || input.len > INPUT_MAX_BYTES || memchr(input.at, '\0', input.len) != NULL)
        return;
    for (int end = 0; end < 2; end++) {
        struct span text = (end ? at_end : at_start)(area(), input);
        check_cors(text);
        check_host(text);
        check_request(text);
    }
}

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const char empty[1];
    check_input((struct span) { size > 0 ? (const char *)data : empty, size });
    return 0;
}

#else

static void show(bool yes)
{
    puts(yes ? "yes" : "no");
}

int main(int argc, char **argv)
{
    char out[ORIGINS_TEXT_BYTES], why[ORIGINS_WHY_BYTES];
    const char *mode = argc > 1 ? argv[1] : "";
    struct span input = read_input(), other = span_of(argc > 2 ? argv[2] : "");
    check_input(input);
    if (strcmp(mode, "cors") == 0)
        puts(origins_read(input, out, why) ? out : "none");
    else if (strcmp(mode, "host") == 0)
        puts(origins_read_host(input, out, why) ? out : "none");
    else if (strcmp(mode, "match") == 0)
        show(origins_match(other, input));
    else if (strcmp(mode, "match-host") == 0)
        show(origins_match_host(other, input));
    else if (strcmp(mode, "own") == 0)
        show(origins_is_own(input, other));
    else
        check(strcmp(mode, "promises") == 0, "the mode is one of those above");
    span_free(input);
    return 0;
}

#endif
