/* text.c - a driver for text.c. It reads bytes from standard input, except where noted, and prints:
 *
 *     text utf8        the characters as U+0041, one per line, then `end` or `not UTF-8`
 *     text sweep       no input: compares text_next with RFC 3629's grammar, sequence by sequence
 *     text classes     no input: the ranges of characters that are not visible, with their class
 *     text control     no input: the ranges of characters that are controls
 *     text space       no input: the ranges of characters that are white space
 *     text trim        the text without the white space at its ends
 *     text length      the number of characters
 *     text visible     whether there is a visible character
 *     text flag        the number of bytes that turn a black flag into another one
 *     text base64      the Base64 form
 *
 * The sweep shows how to test a decoder exhaustively rather than by examples. It tries all first
 * and second bytes, followed by the edges of every range, against the RFC's grammar as a table;
 * then all 1,114,112 code points, each encoded by arithmetic.
 *
 * The driver also checks the promises of text.h, with the input directly before and directly after
 * an unreadable page, and with every beginning of it. A broken promise (driver.h) calls abort. With
 * -DFUZZ the same checks are a libFuzzer target. */

#include "base/text.h"
#include "driver.h"

/* ---- The promises ------------------------------------------------------------------------- */

/* Checks that text_trim returns a part of the text, which needs no more trimming. */
static void check_trim(struct span text)
{
    struct span trimmed = text_trim(text), again = text_trim(trimmed);
    check(trimmed.at >= text.at && trimmed.at + trimmed.len <= text.at + text.len,
        "a trimmed text is a part of the text");
    check(again.at == trimmed.at && again.len == trimmed.len,
        "trimming a trimmed text changes nothing");
    struct span first = trimmed;
    check(!text_is_space(text_next(&first)), "a trimmed text does not begin with white space");
}

static void check_base64(struct span data)
{
    size_t len = TEXT_BASE64_BYTES(data.len);
    char *out = bytes_new(len);
    check(text_base64(data, out) == len, "text_base64 writes TEXT_BASE64_BYTES bytes");
    free(out);
}

/* Compares text_plain, which reads a word at a time, with a loop that reads a byte at a time. */
static void check_plain(struct span text)
{
    size_t len = 0;
    while (len < text.len && text.at[len] >= ' ' && text.at[len] < 0x7f && text.at[len] != '"' &&
           text.at[len] != '\\')
        len++;
    check(text_plain(text) == len, "text_plain counts the plain bytes at the front, and no others");
}

/* Checks that text_flag, which has tags of four bytes each, takes all of them or nothing. */
static void check_flag(struct span text)
{
    size_t len = text_flag(text);
    check(len == 0 || (len == 24 && len <= text.len), "a flag has six tags");
}

/* Checks that a text is visible if one of its characters is. */
static void check_visible(struct span text)
{
    struct span rest = text;
    bool visible = false;
    for (int32_t c; (c = text_next(&rest)) >= 0;) {
        visible |= text_class(c) == TEXT_VISIBLE;
        check(text_is_control(c) == (text_class(c) == TEXT_CONTROL),
            "text_is_control knows the class");
    }
    check(text_is_visible(text) == visible, "text_is_visible finds any visible character");
}

/* Checks the promises that hold for any bytes, then those that hold only for UTF-8. */
static void check_text(struct span text)
{
    for (size_t from = 0; from <= text.len && from < 16; from++)
        check_plain((struct span) { text.at + from, text.len - from });
    check_flag(text);
    check_visible((struct span) { text.at, text.len < 4096 ? text.len : 4096 });
    struct span rest = text;
    size_t characters = 0;
    int32_t character;
    for (;;) {
        struct span before = rest;
        character = text_next(&rest);
        size_t taken = before.len - rest.len;
        check(rest.at == before.at + taken && taken <= 4, "a character has at most four bytes");
        check((character < 0) == (taken == 0), "text_next takes nothing exactly when it refuses");
        if (character < 0)
            break;
        characters++;
    }
    check(character == -1 || rest.len == 0, "text_next returns -2 only at the end");
    size_t length = text_length(text);
    check_base64(text);
    if (character != -2)
        return;
    check(length == characters, "text_length counts characters");
    check_trim(text);
}

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    check_text((struct span) { (const char *)data, size });
    return 0;
}

#else

/* Checks every beginning of the text (some beginnings of a long text) before an unreadable page,
 * and the complete text after one. */
static void check_places(struct span text)
{
    struct guarded g = guarded_new(text.len);
    size_t stride = text.len > 4096 ? text.len / 64 : 1;
    for (size_t len = 0; len < text.len; len += stride)
        check_text(at_end(g, (struct span) { text.at, len }));
    check_text(at_end(g, text));
    check_text(at_start(g, text));
    guarded_free(g);
}

/* ---- The sweep ---------------------------------------------------------------------------- */

/* The grammar of RFC 3629 4 for the first two bytes of a character; the others are tails. */
static const struct {
    unsigned char len, first_min, first_max, second_min, second_max;
} grammar[] = {
    { 1, 0x00, 0x7f, 0x00, 0x00 },
    { 2, 0xc2, 0xdf, 0x80, 0xbf },
    { 3, 0xe0, 0xe0, 0xa0, 0xbf },
    { 3, 0xe1, 0xec, 0x80, 0xbf },
    { 3, 0xed, 0xed, 0x80, 0x9f },
    { 3, 0xee, 0xef, 0x80, 0xbf },
    { 4, 0xf0, 0xf0, 0x90, 0xbf },
    { 4, 0xf1, 0xf3, 0x80, 0xbf },
    { 4, 0xf4, 0xf4, 0x80, 0x8f },
};

static bool is_tail(unsigned char byte)
{
    return byte >= 0x80 && byte <= 0xbf;
}

/* Returns the length of the character at the start of the four bytes, or 0 if there is none. */
static size_t grammar_length(const unsigned char *b)
{
    for (size_t i = 0; i < sizeof grammar / sizeof grammar[0]; i++) {
        if (b[0] < grammar[i].first_min || b[0] > grammar[i].first_max)
            continue;
        if (grammar[i].len > 1 && (b[1] < grammar[i].second_min || b[1] > grammar[i].second_max))
            return 0;
        if ((grammar[i].len > 2 && !is_tail(b[2])) || (grammar[i].len > 3 && !is_tail(b[3])))
            return 0;
        return grammar[i].len;
    }
    return 0;
}

/* Checks the first one to four bytes: a truncated character must be refused, not guessed. */
static void check_sequence(const unsigned char *bytes)
{
    size_t length = grammar_length(bytes);
    for (size_t len = 1; len <= 4; len++) {
        struct span rest = { (const char *)bytes, len };
        size_t taken = text_next(&rest) < 0 ? 0 : len - rest.len;
        check(taken == (length <= len ? length : 0),
            "text_next accepts exactly what RFC 3629's grammar accepts");
    }
}

/* Tries all first and second bytes, followed by the edges of every range. */
static void sweep_bytes(void)
{
    static const unsigned char edges[] = { 0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
        0xc0, 0xc2, 0xed, 0xf4, 0xff };
    size_t count = sizeof edges;
    for (unsigned first = 0; first < 256; first++)
        for (unsigned second = 0; second < 256; second++)
            for (size_t i = 0; i < count * count; i++)
                check_sequence((unsigned char[]) { (unsigned char)first, (unsigned char)second,
                    edges[i / count], edges[i % count] });
}

/* Checks that every character, encoded by arithmetic, is decoded to itself. */
static void sweep_characters(void)
{
    for (int32_t c = 0; c <= 0x10ffff; c++) {
        char b[4] = { (char)c };
        size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (size_t i = 0; len > 1 && i < len; i++)
            b[i] = (char)(0x80 | ((c >> (6 * (len - 1 - i))) & 0x3f));
        if (len > 1)
            b[0] = (char)((0xf00 >> len & 0xff) | (c >> (6 * (len - 1))));
        bool surrogate = c >= 0xd800 && c <= 0xdfff;
        struct span rest = { b, len };
        check(text_next(&rest) == (surrogate ? -1 : c),
            "text_next returns each character as it was encoded, and refuses surrogates");
    }
}

/* ---- The modes ---------------------------------------------------------------------------- */

/* Prints the characters of a class as ranges, so that the suite can list the complete class. */
static void print_ranges(bool (*belongs)(int32_t character))
{
    for (int32_t c = 0; c <= 0x10ffff; c++) {
        if (!belongs(c))
            continue;
        int32_t first = c;
        while (c < 0x10ffff && belongs(c + 1))
            c++;
        if (first == c)
            printf("%04X\n", (unsigned)c);
        else
            printf("%04X-%04X\n", (unsigned)first, (unsigned)c);
    }
}

/* Prints the ranges of all classes but the visible one. */
static void print_classes(void)
{
    static const char *const names[] = { "visible", "control", "separator", "bidi", "space",
        "joiner", "selector", "invisible" };
    for (int32_t c = 0; c <= 0x10ffff; c++) {
        int32_t first = c;
        enum text_class class = text_class(c);
        while (c < 0x10ffff && text_class(c + 1) == class)
            c++;
        if (class != TEXT_VISIBLE)
            printf("%04X-%04X %s\n", (unsigned)first, (unsigned)c, names[class]);
    }
}

static void print_characters(struct span text)
{
    int32_t character;
    while ((character = text_next(&text)) >= 0)
        printf("U+%04X\n", (unsigned)character);
    puts(character == -2 ? "end" : "not UTF-8");
}

static void print_base64(struct span data)
{
    char *out = bytes_new(TEXT_BASE64_BYTES(data.len));
    fwrite(out, 1, text_base64(data, out), stdout);
    free(out);
}

static bool show_without_input(const char *mode)
{
    if (strcmp(mode, "classes") == 0) {
        print_classes();
    } else if (strcmp(mode, "control") == 0) {
        print_ranges(text_is_control);
    } else if (strcmp(mode, "space") == 0) {
        print_ranges(text_is_space);
    } else if (strcmp(mode, "sweep") == 0) {
        sweep_bytes();
        sweep_characters();
    } else {
        return false;
    }
    return true;
}

static bool show(const char *mode, struct span input)
{
    if (strcmp(mode, "utf8") == 0) {
        print_characters(input);
    } else if (strcmp(mode, "trim") == 0) {
        print_span(text_trim(input));
    } else if (strcmp(mode, "length") == 0) {
        printf("%zu\n", text_length(input));
    } else if (strcmp(mode, "visible") == 0) {
        puts(text_is_visible(input) ? "yes" : "no");
    } else if (strcmp(mode, "flag") == 0) {
        printf("%zu\n", text_flag(input));
    } else if (strcmp(mode, "base64") == 0) {
        print_base64(input);
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    if (argc == 2 && show_without_input(argv[1]))
        return 0;
    struct span input = read_input();
    check_places(input);
    bool known = argc == 2 && show(argv[1], input);
    span_free(input);
    if (known)
        return 0;
    fprintf(stderr, "usage: text utf8|trim|length|visible|flag|base64 <INPUT, or "
                    "text sweep|classes|control|space\n");
    return 2;
}

#endif
