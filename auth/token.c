/* token.c - checks and makes signed tokens.
 *
 * A token has three parts in base64url, separated by dots:
 *
 *     eyJhbGciOiJIUzI1NiIs...    .  eyJzdWIiOiJhbm4iLCJyb29tc...       .  Brj0fZrYxTY3WIvw...
 *     {"alg":"HS256","typ":"JWT"}   {"sub":"ann","rooms":["lobby"],...}   the HMAC, 32 bytes
 *     \__________________________ what is signed ____________________/
 *
 * A stranger may have written the token, so the order of the checks is fixed: the shape, the
 * signature, and only then the contents. JWT libraries have been broken because they let the header
 * decide how to verify the signature ("none", or a public key used as an HMAC key, RFC 8725 2.1).
 * Here the algorithm is fixed; the header is read after the signature has been verified, and must
 * name this algorithm. So the JSON parser sees only bytes that an owner of the key has signed.
 * `kid`, `jku`, `jwk` and similar fields, which would let a token choose its own key, are ignored.
 *
 * Base64url that is padded or truncated, or has unused bits set, is refused. So a token has exactly
 * one spelling, and cannot evade a proxy's filter that recognises it by its text.
 *
 * Nothing is allocated except a key and the output of token_make. A key's bytes are never written
 * to a log, an answer or an error. Left out: other algorithms (one kind of key, one rule),
 * encryption (TLS does that), and revocation (tokens should be short-lived; a stream ends when its
 * token expires). */

#include "auth/token.h"

#include "auth/sha256.h"
#include "base/print.h"
#include "base/text.h"
#include "hub/rules.h"
#include "json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ==== Base64url, RFC 4648 5, without padding ================================================= */

/* Returns the value of a digit, or -1 for any other character, including '=' and the digits '+' and
 * '/' of plain Base64. */
static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* Decodes into `out`, which has room for 3/4 of the text, and points `*bytes` at the result. Each
 * digit adds six bits, and each byte takes eight:
 *
 *     digits  111111 222222 333333 444444
 *     bytes   aaaaaa aabbbb bbbbcc cccccc
 *
 * Six bits left over at the end mean that the last digit completes no byte. Fewer bits must be zero
 * (RFC 4648 3.5), or several texts would decode to the same bytes. */
static bool decode(struct span text, char *out, struct span *bytes)
{
    uint32_t bits = 0;
    unsigned held = 0; /* the number of lowest bits not written yet */
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = digit_of(text.at[i]);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[len++] = (char)(unsigned char)(bits >> held);
        }
    }
    *bytes = (struct span) { out, len };
    return held < 6 && (bits & ((1u << held) - 1)) == 0;
}

/* Converts the bytes of the buffer from `start` on to base64url. Base64 is longer, so it is written
 * after the bytes; then '+' and '/' are replaced, the padding is dropped, and the result moves to
 * `start`:
 *
 *     | ... | bytes | digits |      becomes      | ... | digits |
 *           start   len                                start    len
 *
 * If memory runs out, the buffer keeps the bytes, and its `failed` is set. */
static void encode_from(struct buffer *b, size_t start)
{
    size_t len = b->len - start;
    char *digits = buffer_reserve(b, TEXT_BASE64_BYTES(len));
    if (digits == NULL)
        return;
    size_t count = text_base64((struct span) { digits - len, len }, digits);
    while (count > 0 && digits[count - 1] == '=')
        count--;
    for (size_t i = 0; i < count; i++)
        digits[i] = (char)(digits[i] == '+' ? '-' : digits[i] == '/' ? '_' : digits[i]);
    memmove(digits - len, digits, count);
    b->len = start + count;
}

/* ==== The key ================================================================================ */

/* Returns whether only the owner can read and change the file, because every reader of the key can
 * make tokens. One exception: the group may read a file that root owns if the server does not run
 * as root. A systemd credential is such a file (0440, with an ACL that names the user). */
static bool is_private(const struct stat *file)
{
    mode_t forbidden = file->st_uid == 0 && geteuid() != 0 ? 037 : 077;
    return (file->st_mode & forbidden) == 0;
}

/* Reads to the end of the file. The capacity is one byte over the limit, so that a file that is too
 * long is detected without reading all of it. The size from stat(2) is not trusted: the file can
 * change. */
static const char *read_all(int fd, struct token_key *key)
{
    size_t capacity = TOKEN_KEY_FILE_MAX_BYTES + 1;
    key->bytes = malloc(capacity);
    if (key->bytes == NULL)
        return "out of memory";
    while (key->len < capacity) {
        ssize_t len = read(fd, key->bytes + key->len, capacity - key->len);
        if (len < 0)
            return strerror(errno);
        if (len == 0)
            return NULL;
        key->len += (size_t)len;
    }
    return "the key file has more than 4096 bytes; a key of 32 bytes is enough";
}

/* Checks the open file, not its path, so that the file cannot be swapped between check and use. The
 * target of a symbolic link is checked, not the link. On failure `key` may own memory, which
 * token_read_key frees. */
static const char *read_key(int fd, struct token_key *key)
{
    struct stat file;
    if (fstat(fd, &file) < 0)
        return strerror(errno);
    if (!S_ISREG(file.st_mode))
        return "the key file is not a regular file";
    if (!is_private(&file))
        return "users other than its owner may read or change the key file; make it private with "
               "chmod 600";
    const char *why = read_all(fd, key);
    if (why != NULL)
        return why;
    if (key->len > 0 && key->bytes[key->len - 1] == '\n')
        key->len--;
    if (key->len < TOKEN_KEY_MIN_BYTES)
        return "the key file has fewer than 32 bytes; make a good key with openssl rand -hex 32";
    return NULL;
}

_Static_assert(TOKEN_KEY_MIN_BYTES == 32 && TOKEN_KEY_FILE_MAX_BYTES == 4096,
    "the sentences above contain both numbers");

/* Uses O_NONBLOCK, because opening a FIFO would wait for a writer, and O_NOCTTY, because a terminal
 * could become the controlling one. read_key then refuses both: neither is a regular file. */
const char *token_read_key(const char *path, struct token_key *key)
{
    *key = (struct token_key) { NULL, 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return strerror(errno);
    const char *why = read_key(fd, key);
    close(fd);
    if (why != NULL) {
        free(key->bytes);
        *key = (struct token_key) { NULL, 0 };
    }
    return why;
}

static struct span span_of_key(const struct token_key *key)
{
    return (struct span) { key->bytes, key->len };
}

/* ==== The parts and the signature ============================================================ */

enum { PART_HEADER, PART_CLAIMS, PART_SIGNATURE, PART_COUNT };

/* Splits a token into exactly three parts. An encrypted token (JWE) has five and is refused. */
static bool split(struct span text, struct span parts[PART_COUNT])
{
    for (size_t i = 0; i < PART_COUNT; i++)
        if (!span_split(&text, '.', &parts[i]))
            return false;
    return text.at == NULL;
}

/* Compares in constant time, without an early exit: otherwise the time would tell a forger how many
 * bytes of the signature are already right. */
static bool is_same(const char *a, const unsigned char *b, size_t len)
{
    unsigned difference = 0;
    for (size_t i = 0; i < len; i++)
        difference |= (unsigned char)a[i] ^ (unsigned)b[i];
    return difference == 0;
}

/* Tries every key, even after a match, so that the time does not reveal which key matched. Costs an
 * HMAC per key; there are two keys during a change of keys, and one otherwise. */
static bool is_signed(
    struct span signed_part, const char *signature, const struct token_key *keys, size_t count)
{
    bool right = false;
    for (size_t i = 0; i < count; i++) {
        unsigned char digest[SHA256_BYTES];
        sha256_hmac(span_of_key(&keys[i]), signed_part, digest);
        right |= is_same(signature, digest, sizeof digest);
    }
    return right;
}

/* ==== The contents =========================================================================== */

/* Decodes a JSON string in place, inside token->text, so that it needs no extra memory. The raw
 * text is then no longer JSON, so each field is read once. */
static bool read_string(const struct json_field *field, struct span *string)
{
    if (field->type != JSON_STRING)
        return false;
    char *at = span_bytes(field->raw);
    *string = (struct span) { at, json_decode(field->raw, at) };
    return true;
}

/* Returns whether `typ` is accepted. A media type is compared without regard to case, and
 * "application/" may be left out (RFC 7515 4.1.9). JWT is from RFC 7519 5.1, and at+jwt from RFC
 * 9068, for access tokens. A token of another type (logout+jwt, secevent+jwt) was signed for
 * another purpose and must not give access here (RFC 8725 3.11). */
static bool is_type(struct span type)
{
    struct span prefix = SPAN("application/");
    if (type.len > prefix.len && span_equal_nocase((struct span) { type.at, prefix.len }, prefix)) {
        type.at += prefix.len;
        type.len -= prefix.len;
    }
    return span_equal_nocase(type, SPAN("JWT")) || span_equal_nocase(type, SPAN("at+jwt"));
}

/* Returns whether the header is acceptable. A reader must refuse a token whose `crit` lists an
 * unknown extension (RFC 7515 4.1.11). We know none, so any `crit` is refused. `alg` is required,
 * and `typ` may be absent. */
static bool read_header(struct span json)
{
    struct json_field fields[] = { { .name = SPAN("alg") }, { .name = SPAN("typ") },
        { .name = SPAN("crit") } };
    struct json_field *alg = &fields[0], *typ = &fields[1], *crit = &fields[2];
    struct span string;
    if (json_find(json, fields, sizeof fields / sizeof fields[0]) != NULL)
        return false;
    if (crit->type != JSON_ABSENT)
        return false;
    if (typ->type != JSON_ABSENT && !(read_string(typ, &string) && is_type(string)))
        return false;
    return read_string(alg, &string) && span_equal(string, SPAN("HS256"));
}

/* Dates are clamped to 9999-12-31T23:59:59Z, and to the same distance before 1970. */
static const int64_t date_max = 253402300799;

/* The limit of an exponent, so that reading it cannot overflow. A greater one has the same effect:
 * no token has room for that many digits, so the date is then 0, a fraction or at its limit. */
enum { EXPONENT_MAX = 2 * TOKEN_MAX_BYTES };

/* Takes the exponent off the end of a number. Returns 0 if there is none. */
static int64_t take_exponent(struct span *number)
{
    size_t at = 0;
    while (at < number->len && number->at[at] != 'e' && number->at[at] != 'E')
        at++;
    int64_t exponent = 0;
    for (size_t i = at + 1; i < number->len; i++)
        if (number->at[i] >= '0' && number->at[i] <= '9' && exponent < EXPONENT_MAX)
            exponent = exponent * 10 + (number->at[i] - '0');
    bool negative = at + 1 < number->len && number->at[at + 1] == '-';
    number->len = at;
    return negative ? -exponent : exponent;
}

/* Reads a NumericDate: any JSON number, even 1.7e9 or 1700000000.5 (RFC 7519 2). It is read digit
 * by digit, because a double cannot hold every such number, and converting a large double to an
 * integer is undefined. The exponent moves the point. The digits before the point are the seconds,
 * and a digit other than 0 after the point makes a fraction:
 *
 *     1234.567e2    `whole` = 4 + 2    123456.7    the seconds 123456, and a fraction
 *
 * Returns the first whole second that is not before the date, here 123457: a clock that counts
 * whole seconds reaches the date exactly when it reaches that second. The digits and EXPONENT_MAX
 * bound the number of steps. */
static int64_t read_date(struct span number)
{
    bool negative = number.at[0] == '-', fraction = false;
    if (negative)
        number.at++, number.len--;
    int64_t exponent = take_exponent(&number), seconds = 0;
    const char *point = memchr(number.at, '.', number.len);
    int64_t whole = (point != NULL ? point - number.at : (int64_t)number.len) + exponent;
    for (size_t i = 0; i < number.len || whole > 0; i++) {
        int digit = i < number.len ? number.at[i] - '0' : 0;
        if (i < number.len && number.at[i] == '.')
            continue;
        if (whole-- > 0)
            seconds = seconds < date_max ? seconds * 10 + digit : date_max;
        else if (digit != 0)
            fraction = true;
    }
    if (negative)
        return seconds < date_max ? -seconds : -date_max;
    seconds += fraction;
    return seconds < date_max ? seconds : date_max;
}

enum { CLAIM_SUB, CLAIM_AUD, CLAIM_ROOMS, CLAIM_PUBLISH, CLAIM_EXP, CLAIM_NBF, CLAIM_COUNT };

/* Reads the name exactly as it was signed. White space at its ends, which is trimmed from a posted
 * name, is refused here, or two users of the application could have the same name. */
static bool read_name(const struct json_field *sub, struct span *name)
{
    *name = (struct span) { NULL, 0 };
    if (sub->type == JSON_ABSENT)
        return true;
    if (!read_string(sub, name))
        return false;
    size_t len = name->len;
    return rule_name(name) == NULL && name->len == len;
}

/* Reads the names of the rooms, each of which must obey rule_room. Each string is decoded in place,
 * which is safe because the walk over the array has already passed it. Without the claim, the token
 * allows no room at all. */
static bool read_rooms(const struct json_field *rooms, struct token *token)
{
    struct json_field room = { .type = JSON_STRING };
    struct span rest = rooms->raw;
    int found;
    token->room_count = 0;
    token->all_rooms = false;
    if (rooms->type == JSON_ABSENT)
        return true;
    if (rooms->type != JSON_ARRAY)
        return false;
    while ((found = json_next_string(&rest, &room.raw)) == 1) {
        if (token->room_count == TOKEN_ROOMS_MAX)
            return false;
        struct span *name = &token->rooms[token->room_count++];
        if (!read_string(&room, name) || rule_room(*name) != NULL)
            return false;
        if (span_equal(*name, SPAN("*")))
            token->all_rooms = true;
    }
    return found == 0;
}

/* Returns whether the token is meant for this service. If it has an audience, "ssechat" must be in
 * it (RFC 7519 4.1.3), so that an application can sign tokens for several services with one key and
 * none of them accepts another's. The claim is a string or a list of strings. */
static bool is_audience(const struct json_field *aud)
{
    struct json_field each = { .type = JSON_STRING };
    struct span rest = aud->raw, name;
    bool ours = false;
    int found;
    if (aud->type == JSON_ABSENT)
        return true;
    if (read_string(aud, &name))
        return span_equal(name, SPAN("ssechat"));
    if (aud->type != JSON_ARRAY)
        return false;
    while ((found = json_next_string(&rest, &each.raw)) == 1)
        ours |= read_string(&each, &name) && span_equal(name, SPAN("ssechat"));
    return found == 0 && ours;
}

/* Reads the claims, of which only `exp` is required. A claim that is present must have the right
 * type; null is not the same as absent, because an application that signs null has made a mistake.
 * Other claims are ignored (RFC 7519 4), and json_find refuses a claim given twice. Without `nbf`,
 * the token has no earliest date. */
static bool read_claims(struct span json, struct token *token, int64_t *not_before)
{
    struct json_field claims[CLAIM_COUNT] = {
        [CLAIM_SUB] = { .name = SPAN("sub") },
        [CLAIM_AUD] = { .name = SPAN("aud") },
        [CLAIM_ROOMS] = { .name = SPAN("rooms") },
        [CLAIM_PUBLISH] = { .name = SPAN("publish") },
        [CLAIM_EXP] = { .name = SPAN("exp") },
        [CLAIM_NBF] = { .name = SPAN("nbf") },
    };
    const struct json_field *publish = &claims[CLAIM_PUBLISH], *exp = &claims[CLAIM_EXP];
    const struct json_field *nbf = &claims[CLAIM_NBF];
    if (json_find(json, claims, CLAIM_COUNT) != NULL)
        return false;
    if (publish->type != JSON_ABSENT && publish->type != JSON_BOOLEAN)
        return false;
    if (exp->type != JSON_NUMBER || (nbf->type != JSON_ABSENT && nbf->type != JSON_NUMBER))
        return false;
    token->publish = publish->type == JSON_BOOLEAN && publish->raw.at[0] == 't';
    token->expires = read_date(exp->raw);
    *not_before = nbf->type == JSON_NUMBER ? read_date(nbf->raw) : -date_max;
    return is_audience(&claims[CLAIM_AUD]) && read_name(&claims[CLAIM_SUB], &token->name) &&
           read_rooms(&claims[CLAIM_ROOMS], token);
}

/* Decodes the signature, the header and the claims into token->text in turn; each is no longer
 * needed when the next is decoded. Only the claims stay. */
enum token_state token_check(
    struct span text, const struct token_key *keys, size_t count, int64_t now, struct token *token)
{
    struct span parts[PART_COUNT], bytes;
    if (text.len > TOKEN_MAX_BYTES || !split(text, parts))
        return TOKEN_MALFORMED;
    struct span signature = parts[PART_SIGNATURE];
    if (!decode(signature, token->text, &bytes) || bytes.len != SHA256_BYTES)
        return TOKEN_MALFORMED;
    struct span signed_part = { text.at, text.len - signature.len - 1 };
    if (!is_signed(signed_part, bytes.at, keys, count))
        return TOKEN_FORGED;

    if (!decode(parts[PART_HEADER], token->text, &bytes) || !read_header(bytes))
        return TOKEN_MALFORMED;
    int64_t not_before;
    if (!decode(parts[PART_CLAIMS], token->text, &bytes) || !read_claims(bytes, token, &not_before))
        return TOKEN_MALFORMED;
    if (now >= token->expires)
        return TOKEN_EXPIRED;
    if (now < not_before - TOKEN_NBF_LEEWAY_SECONDS)
        return TOKEN_EARLY;
    return TOKEN_GOOD;
}

void token_open(struct token *token)
{
    token->name = (struct span) { NULL, 0 };
    token->room_count = 0;
    token->all_rooms = token->publish = true;
    token->expires = INT64_MAX;
}

bool token_has_room(const struct token *token, struct span room)
{
    for (size_t i = 0; i < token->room_count; i++)
        if (span_equal(token->rooms[i], room))
            return true;
    return token->all_rooms;
}

/* ==== Making a token ========================================================================= */

/* Writes each part as plain text, then encodes it in place. Checks `failed` only before the
 * signature, because an incomplete text must not be signed, and at the end. */
void token_make(struct buffer *out, const struct token_key *key, struct span name,
    const struct span *rooms, size_t room_count, bool publish, int64_t now, int64_t expires)
{
    size_t start = out->len;
    buffer_add(out, SPAN("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"));
    encode_from(out, start);
    buffer_add(out, SPAN("."));

    size_t claims = out->len;
    buffer_add(out, SPAN("{"));
    if (name.len > 0) {
        buffer_add(out, SPAN("\"sub\":"));
        json_string_add(out, name);
        buffer_add(out, SPAN(","));
    }
    buffer_add(out, SPAN("\"rooms\":["));
    for (size_t i = 0; i < room_count; i++) {
        buffer_add(out, i > 0 ? SPAN(",") : SPAN(""));
        json_string_add(out, rooms[i]);
    }
    buffer_printf(out, "],\"publish\":%s,\"iat\":%" PRId64 ",\"exp\":%" PRId64 "}",
        publish ? "true" : "false", now, expires);
    encode_from(out, claims);
    if (out->failed) {
        out->len = start;
        return;
    }

    unsigned char digest[SHA256_BYTES];
    struct span signed_part = { out->at + start, out->len - start };
    sha256_hmac(span_of_key(key), signed_part, digest);
    buffer_add(out, SPAN("."));
    size_t signature = out->len;
    buffer_add(out, sha256_span(digest));
    encode_from(out, signature);
    if (out->failed)
        out->len = start;
}
