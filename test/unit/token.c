/* token.c - a driver for token.c and sha256.c. It reads the bytes to hash, or the token to check,
 * from standard input, and prints:
 *
 *     token sha256                     the digest in hexadecimal
 *     token hmac KEYHEX                the same, with a key
 *     token key FILE                   `key of N bytes`, or `error:` and the reason (exit code 1)
 *     token check [KEYFILE...] NOW     the state, and the claims of a good token
 *     token make KEYFILE NAME yes|no NOW EXPIRES [ROOM...]     a token
 *     token promises                   nothing: it only runs the checks of the fuzz target
 *
 * In a name or room, backslashes and bytes outside printable ASCII appear as \xHH.
 *
 * The driver also checks every promise of token.h, with the input directly before and directly
 * after an unreadable page. The most important promise is that only a token signed with the key is
 * good: the driver also tries every beginning of a good token, and flips every single bit. A token
 * made from a good token's claims must be good, and have the same claims.
 *
 * A broken promise (driver.h) calls abort. With -DFUZZ some of the checks are a libFuzzer target. A
 * fuzzer cannot guess a signature, so the driver takes input that begins with a brace as header and
 * claims, and signs it. The suite checks the hashes against published examples and openssl. */

#include "auth/token.h"
#include "auth/sha256.h"
#include "base/text.h"
#include "driver.h"
#include "hub/rules.h"
#include "json.h"

#include <inttypes.h>

/* Makes a token filled with a pattern, so that a field that token_check leaves unset does not look
 * like zero. The caller frees it. */
static struct token *token_new(void)
{
    struct token *token = malloc(sizeof *token);
    check(token != NULL, "the driver can allocate memory");
    memset(token, 0xa5, sizeof *token);
    return token;
}

/* ---- The promises ------------------------------------------------------------------------- */

static bool is_inside(const struct token *token, struct span s)
{
    return s.at >= token->text && s.at + s.len <= token->text + sizeof token->text;
}

/* Checks that a good token obeys the rules, so that its fields need no further check. */
static void check_rules(const struct token *token, int64_t now)
{
    struct span name = token->name;
    bool all = false;
    check(name.at == NULL || is_inside(token, name), "a token's name is in its text");
    check(name.at == NULL || rule_name(&name) == NULL, "a token's name obeys its rule");
    check(span_equal(name, token->name), "a token's name has no white space at its ends");
    check(token->room_count <= TOKEN_ROOMS_MAX, "a token has at most TOKEN_ROOMS_MAX rooms");
    for (size_t i = 0; i < token->room_count; i++) {
        check(is_inside(token, token->rooms[i]), "a token's room is in its text");
        check(rule_room(token->rooms[i]) == NULL, "a token's room obeys its rule");
        check(token_has_room(token, token->rooms[i]), "a token covers each of its rooms");
        all = all || span_equal(token->rooms[i], SPAN("*"));
    }
    check(token->all_rooms == all, "a token covers all rooms exactly when it has an asterisk");
    check(token_has_room(token, SPAN("no/room")) == all, "a token covers no other rooms");
    check(now < token->expires && token->expires <= 253402300799,
        "a good token expires later than now, and before the year 10000");
}

/* Checks that two tokens, each in its own memory, have the same claims. */
static void check_same(const struct token *a, const struct token *b)
{
    check((a->name.at == NULL) == (b->name.at == NULL), "the same token has a name, or has none");
    check(span_equal(a->name, b->name), "the same token has the same name");
    check(a->room_count == b->room_count, "the same token has as many rooms");
    for (size_t i = 0; i < a->room_count; i++)
        check(span_equal(a->rooms[i], b->rooms[i]), "the same token has the same rooms");
    check(a->all_rooms == b->all_rooms, "the same token covers all rooms, or does not");
    check(a->publish == b->publish, "the same token may publish, or not");
    check(a->expires == b->expires, "the same token expires at the same time");
}

/* Makes a token with these claims after other bytes, which must not change. The caller frees it. */
static struct buffer made(const struct token *token, const struct token_key *key, int64_t now)
{
    struct buffer out = { 0 };
    buffer_add_string(&out, "before ");
    token_make(&out, key, token->name, token->rooms, token->room_count, token->publish, now,
        token->expires);
    check(!out.failed && memcmp(out.at, "before ", 7) == 0, "a token is appended to the buffer");
    return out;
}

/* Checks that a good token's claims can be signed again, and that the new token is good until the
 * second in which it expires. */
static void check_remade(const struct token *token, const struct token_key *key, int64_t now)
{
    struct buffer out = made(token, key, now);
    struct span text = copy_of((struct span) { out.at + 7, out.len - 7 });
    struct token *again = token_new();
    enum token_state state = token_check(text, key, 1, now, again);
    if (text.len > TOKEN_MAX_BYTES) {
        check(state == TOKEN_MALFORMED, "a token of more than TOKEN_MAX_BYTES is malformed");
    } else {
        check(state == TOKEN_GOOD, "a token made from a good token's claims is good");
        check_same(token, again);
        check(token_check(text, key, 1, token->expires - 1, again) == TOKEN_GOOD,
            "a token is good until it expires");
        check(token_check(text, key, 1, token->expires, again) == TOKEN_EXPIRED,
            "a token is expired from its `exp` on");
    }
    free(again);
    span_free(text);
    buffer_free(&out);
}

/* Flips every `stride`th bit, and tries every `stride`th beginning: no such token is good. A fuzzer
 * tries fewer of them, because each costs a hash. */
static void check_changed(
    struct span text, const struct token_key *keys, size_t count, int64_t now, size_t stride)
{
    struct span changed = copy_of(text);
    char *at = span_bytes(changed);
    struct token *token = token_new();
    for (size_t bit = 0; bit < 8 * text.len; bit += stride) {
        at[bit / 8] = (char)(at[bit / 8] ^ 1 << bit % 8);
        enum token_state state = token_check(changed, keys, count, now, token);
        check(state == TOKEN_MALFORMED || state == TOKEN_FORGED,
            "a token with a flipped bit is malformed or forged");
        at[bit / 8] = (char)(at[bit / 8] ^ 1 << bit % 8);
    }
    for (size_t len = 0; len < text.len; len += stride) {
        struct span beginning = copy_of((struct span) { text.at, len });
        enum token_state state = token_check(beginning, keys, count, now, token);
        check(state == TOKEN_MALFORMED || state == TOKEN_FORGED,
            "a truncated token is malformed or forged");
        span_free(beginning);
    }
    free(token);
    span_free(changed);
}

/* The key of the fuzzer's seeds, another key, and the fuzzer's clock. */
static char fuzz_bytes[] = "0123456789abcdef0123456789abcdef", other_bytes[32];
static const struct token_key fuzz_key = { fuzz_bytes, 32 }, other_key = { other_bytes, 32 };
enum { FUZZ_NOW = 1700000000 };

/* Reads a date with strtold, whereas token.c reads the digits. Accepts only numbers of up to 13
 * characters: they are exact enough in a long double, and too far from the next integer to be
 * rounded to it. Returns false for any other field. */
static bool date_of(const struct json_field *field, long double *date)
{
    char text[16];
    if (field->type != JSON_NUMBER || field->raw.len > 13)
        return false;
    memcpy(text, field->raw.at, field->raw.len);
    text[field->raw.len] = '\0';
    const char *exponent = strpbrk(text, "eE");
    if (exponent != NULL && strlen(exponent) > 5)
        return false;
    *date = strtold(text, NULL);
    return true;
}

/* Checks the state against `exp` and `nbf` as strtold reads them. */
static void check_dates(enum token_state state, const struct token *token, struct span claims)
{
    struct json_field fields[] = { { .name = SPAN("exp") }, { .name = SPAN("nbf") } };
    long double exp, nbf;
    if (state == TOKEN_MALFORMED || json_find(claims, fields, 2) != NULL)
        return;
    if (date_of(&fields[0], &exp)) {
        check((state == TOKEN_EXPIRED) == (FUZZ_NOW >= exp),
            "a token is expired exactly from `exp` on");
        long double expires = (long double)token->expires;
        check(state != TOKEN_GOOD || expires >= exp || expires == 253402300799,
            "a token's last second is not before `exp`");
        check(state != TOKEN_GOOD || expires - 1 < exp,
            "a token's last second is less than a second after `exp`");
    }
    if (state != TOKEN_EXPIRED && date_of(&fields[1], &nbf))
        check((state == TOKEN_EARLY) == (FUZZ_NOW < nbf - 5),
            "a token is early until 5 seconds before `nbf`");
}

/* Appends one part of a token: base64url without padding (RFC 7515 2), made by text_base64. */
static void add_part(struct buffer *out, struct span bytes)
{
    char *base64 = bytes_new(TEXT_BASE64_BYTES(bytes.len));
    size_t len = text_base64(bytes, base64);
    while (len > 0 && base64[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++)
        if (base64[i] == '+' || base64[i] == '/')
            base64[i] = base64[i] == '+' ? '-' : '_';
    buffer_add(out, (struct span) { base64, len });
    free(base64);
}

/* Signs header and claims with fuzz_key. The caller frees the token. */
static struct span signed_text(struct span header, struct span claims)
{
    unsigned char digest[SHA256_BYTES];
    struct buffer out = { 0 };
    add_part(&out, header);
    buffer_add_string(&out, ".");
    add_part(&out, claims);
    sha256_hmac((struct span) { fuzz_key.bytes, fuzz_key.len }, buffer_span(&out), digest);
    buffer_add_string(&out, ".");
    add_part(&out, (struct span) { (const char *)digest, sizeof digest });
    check(!out.failed, "the driver can allocate memory");
    struct span text = copy_of(buffer_span(&out));
    buffer_free(&out);
    return text;
}

/* Signs an input whose first line is a header and whose rest is claims, and checks the token. */
static void check_signed(struct span input)
{
    struct span header, claims = input;
    struct token *token = token_new();
    if (!span_split(&claims, '\n', &header) || claims.at == NULL)
        claims = SPAN("");
    struct span text = signed_text(header, claims);
    /* The right key is the second, so that token_check tries both. */
    struct token_key keys[] = { other_key, fuzz_key };
    enum token_state state = token_check(text, keys, 1, FUZZ_NOW, token);
    check(state == TOKEN_MALFORMED || state == TOKEN_FORGED,
        "a token signed with another key is malformed or forged");
    state = token_check(text, keys, 2, FUZZ_NOW, token);
    check(state != TOKEN_FORGED, "a token signed with one of two keys is not forged");
    check_dates(state, token, claims);
    if (state == TOKEN_GOOD) {
        check_rules(token, FUZZ_NOW);
        check_remade(token, &fuzz_key, FUZZ_NOW);
        check_changed(text, keys, 2, FUZZ_NOW, 101);
    }
    span_free(text);
    free(token);
}

/* Signs input that begins with a brace; any other input is a token as it is. Checks the token. */
static void check_input(struct span input)
{
    if (input.len > 0 && input.at[0] == '{') {
        check_signed(input);
        return;
    }
    struct span text = copy_of(input);
    struct token *token = token_new();
    if (token_check(text, &fuzz_key, 1, FUZZ_NOW, token) == TOKEN_GOOD) {
        check_rules(token, FUZZ_NOW);
        check_remade(token, &fuzz_key, FUZZ_NOW);
        check_changed(text, &fuzz_key, 1, FUZZ_NOW, 101);
    }
    check(token_check(text, NULL, 0, FUZZ_NOW, token) != TOKEN_GOOD,
        "without a key no token is good");
    free(token);
    span_free(text);
}

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    check_input((struct span) { (const char *)data, size });
    return 0;
}

#else

/* ---- The modes ---------------------------------------------------------------------------- */

/* Prints a line of a good token's claims, as the suite expects it. */
static void print_line(const char *label, struct span s)
{
    printf("%s ", label);
    print_visible(s);
    putchar('\n');
}

static void print_digest(const unsigned char digest[SHA256_BYTES])
{
    for (size_t i = 0; i < SHA256_BYTES; i++)
        printf("%02x", (unsigned)digest[i]);
    putchar('\n');
}

/* Hashes the input in three places, because a digest must depend on the bytes alone. */
static int show_sha256(void)
{
    unsigned char digest[3][SHA256_BYTES];
    struct span input = read_input();
    struct guarded g = guarded_new(input.len);
    sha256_digest(input, digest[0]);
    sha256_digest(at_start(g, input), digest[1]);
    sha256_digest(at_end(g, input), digest[2]);
    check(
        memcmp(digest[0], digest[1], sizeof digest[0]) == 0, "the same bytes have the same digest");
    check(
        memcmp(digest[0], digest[2], sizeof digest[0]) == 0, "the same bytes have the same digest");
    print_digest(digest[0]);
    span_free(input);
    return 0;
}

/* Decodes hexadecimal digits. The caller frees the result. */
static struct span from_hex(const char *hex)
{
    size_t len = strlen(hex) / 2;
    char *at = bytes_new(len);
    for (size_t i = 0; i < len; i++) {
        char pair[] = { hex[2 * i], hex[2 * i + 1], '\0' };
        at[i] = (char)(unsigned char)strtoul(pair, NULL, 16);
    }
    return (struct span) { at, len };
}

static int show_hmac(const char *hex)
{
    unsigned char digest[2][SHA256_BYTES];
    struct span key = from_hex(hex), input = read_input();
    struct guarded key_guarded = guarded_new(key.len), input_guarded = guarded_new(input.len);
    sha256_hmac(at_start(key_guarded, key), at_end(input_guarded, input), digest[0]);
    sha256_hmac(at_end(key_guarded, key), at_start(input_guarded, input), digest[1]);
    check(
        memcmp(digest[0], digest[1], sizeof digest[0]) == 0, "the same bytes have the same digest");
    print_digest(digest[0]);
    span_free(key);
    span_free(input);
    return 0;
}

/* Reads the key in the file, which the caller frees. If there is none, prints the reason and
 * exits. */
static struct token_key read_key(const char *path)
{
    struct token_key key;
    const char *why = token_read_key(path, &key);
    if (why == NULL)
        return key;
    check(key.bytes == NULL && key.len == 0, "a refused key file leaves no key");
    printf("error: %s\n", why);
    exit(1);
}

static int show_key(const char *path)
{
    struct token_key key = read_key(path);
    printf("key of %zu bytes\n", key.len);
    free(key.bytes);
    return 0;
}

static void print_token(const struct token *token)
{
    if (token->name.at != NULL)
        print_line("name", token->name);
    for (size_t i = 0; i < token->room_count; i++)
        print_line("room", token->rooms[i]);
    if (token->all_rooms)
        puts("all rooms");
    printf("publish %s\n", token->publish ? "yes" : "no");
    printf("expires %" PRId64 "\n", token->expires);
}

/* Checks that the same token in another place has the same state and the same claims. */
static void check_place(struct span place, const struct token_key *keys, size_t count, int64_t now,
    enum token_state state, const struct token *expected)
{
    struct token *token = token_new();
    check(
        token_check(place, keys, count, now, token) == state, "the same token has the same state");
    if (state == TOKEN_GOOD)
        check_same(token, expected);
    free(token);
}

/* Checks a token. Tries fewer bits and beginnings of a long token, because each costs a hash of it.
 * Frees the keys. */
static int show_check(struct token_key *keys, size_t count, int64_t now)
{
    static const char *const states[] = { "good", "malformed", "forged", "expired", "early" };
    struct span text = read_input();
    struct guarded g = guarded_new(text.len);
    struct token *token = token_new();
    enum token_state state = token_check(text, keys, count, now, token);
    puts(states[state]);
    check_place(at_start(g, text), keys, count, now, state, token);
    check_place(at_end(g, text), keys, count, now, state, token);
    if (state == TOKEN_GOOD) {
        check_rules(token, now);
        check_remade(token, &keys[0], now);
        check_changed(text, keys, count, now, text.len > 1000 ? 61 : 1);
        print_token(token);
    }
    free(token);
    span_free(text);
    for (size_t i = 0; i < count; i++)
        free(keys[i].bytes);
    return state == TOKEN_GOOD ? 0 : 1;
}

static int read_keys_and_check(char **paths, size_t count, const char *now)
{
    struct token_key *keys = calloc(count + 1, sizeof *keys);
    check(keys != NULL, "the driver can allocate memory");
    for (size_t i = 0; i < count; i++)
        keys[i] = read_key(paths[i]);
    int status = show_check(keys, count, strtoll(now, NULL, 10));
    free(keys);
    return status;
}

/* Checks token_make with a name too long for memory; the bytes of the name are never read. */
static void check_no_memory(const struct token_key *key)
{
    struct buffer out = { 0 };
    struct span name = { "x", SIZE_MAX / 8 };
    buffer_add_string(&out, "before");
    token_make(&out, key, name, NULL, 0, true, 0, 1);
    check(out.failed, "token_make says when it is out of memory");
    check(span_equal(buffer_span(&out), SPAN("before")),
        "token_make leaves the buffer unchanged when it fails");
    buffer_free(&out);
}

/* Makes a token. The arguments are KEYFILE NAME yes|no NOW EXPIRES [ROOM...]. */
static int show_make(char **arguments, size_t count)
{
    struct token_key key = read_key(arguments[0]);
    size_t room_count = count - 5;
    struct span *rooms = calloc(room_count + 1, sizeof *rooms);
    check(rooms != NULL, "the driver can allocate memory");
    for (size_t i = 0; i < room_count; i++)
        rooms[i] = span_of(arguments[5 + i]);
    struct buffer out = { 0 };
    token_make(&out, &key, span_of(arguments[1]), rooms, room_count,
        strcmp(arguments[2], "yes") == 0, strtoll(arguments[3], NULL, 10),
        strtoll(arguments[4], NULL, 10));
    check(!out.failed, "the driver can allocate memory");
    check_no_memory(&key);
    fwrite(out.at, 1, out.len, stdout);
    buffer_free(&out);
    free(rooms);
    free(key.bytes);
    return 0;
}

static int show_promises(void)
{
    struct span input = read_input();
    check_input(input);
    span_free(input);
    return 0;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    if (argc == 2 && strcmp(mode, "sha256") == 0)
        return show_sha256();
    if (argc == 3 && strcmp(mode, "hmac") == 0)
        return show_hmac(argv[2]);
    if (argc == 3 && strcmp(mode, "key") == 0)
        return show_key(argv[2]);
    if (argc >= 3 && strcmp(mode, "check") == 0)
        return read_keys_and_check(argv + 2, (size_t)argc - 3, argv[argc - 1]);
    if (argc >= 7 && strcmp(mode, "make") == 0)
        return show_make(argv + 2, (size_t)argc - 2);
    if (argc == 2 && strcmp(mode, "promises") == 0)
        return show_promises();
    fprintf(stderr, "usage: token sha256 | hmac KEYHEX | key FILE | check [KEYFILE...] NOW |\n"
                    "       make KEYFILE NAME yes|no NOW EXPIRES [ROOM...] | promises\n");
    return 2;
}

#endif
