/* inflate.c - a decoder for DEFLATE (RFC 1951), small rather than fast, because it unpacks each
 * file of the page once.
 *
 * The data is a stream of bits, the lowest bit of each byte first. A block is either stored or a
 * sequence of symbols. A symbol is either a byte (a literal) or a copy of earlier output, given by
 * length and distance (LZ77). The symbols have a canonical Huffman code: frequent symbols have
 * short words, and the lengths of the words alone define the code. Words of the same length are
 * consecutive numbers, in the order of their symbols, and the words of the next length continue
 * from there (RFC 1951 3.2.2).
 *
 *      lengths  a:2 b:1 c:3 d:3      b 0   a 10   c 110   d 111
 *
 * The decoder counts words instead of building tables, and reads bit by bit, as zlib's "puff" does.
 * Faster decoders look up eight or more bits at a time.
 *
 * The only input is a file from our own build, but the code does not trust it: a read past the end,
 * a distance before the beginning and a write past `size` set `failed`, and the loops stop. Some
 * violations are not detected: a code with too many words, distance symbols 30 and 31, a repeat
 * past the end of a list. They are harmless, and the size and the CRC are checked anyway. */

#include "base/inflate.h"

#include "base/crc32.h"

enum {
    HEADER_BYTES = 10, /* without optional fields */
    TRAILER_BYTES = 8, /* the CRC-32 and the size, four bytes each */
    WORD_MAX_BITS = 15,
    LITERALS_MAX = 288, /* 0 to 255: a byte, 256: the end of a block, above: a length */
    DISTANCES_MAX = 32,
    END_OF_BLOCK = 256,
};

/* All errors set one flag, `failed`, so that only the loops have to test it. Once it is set, the
 * results of the take functions are meaningless but still in range. */
struct input {
    struct span rest;
    uint32_t bits;  /* bits read from `rest` but not taken yet, the next bit lowest */
    unsigned count; /* the number of bits in `bits`; below 8 between calls */
    bool failed;
};

struct output {
    char *at;
    size_t len, size;
};

/* A canonical Huffman code: the number of words of each length, and the symbols in the order of
 * their words, shorter words first. */
struct code {
    uint16_t counts[WORD_MAX_BITS + 1], symbols[LITERALS_MAX];
};

/* Takes up to 16 bits, the first bit lowest. Returns 0 and sets `failed` if the data ends. */
static unsigned take_bits(struct input *in, unsigned count)
{
    while (in->count < count) {
        if (in->rest.len == 0) {
            in->failed = true;
            return 0;
        }
        in->bits |= (uint32_t)(unsigned char)*in->rest.at << in->count;
        in->rest.at++, in->rest.len--;
        in->count += 8;
    }
    unsigned taken = in->bits & ((1u << count) - 1);
    in->bits >>= count;
    in->count -= count;
    return taken;
}

/* Makes the code from the length of each symbol's word: a counting sort by length, which keeps the
 * symbols of one length in order. */
static void make_code(struct code *code, const unsigned char *lengths, unsigned count)
{
    unsigned places[WORD_MAX_BITS + 2] = { 0 };
    memset(code, 0, sizeof *code);
    for (unsigned i = 0; i < count; i++)
        code->counts[lengths[i]]++;
    code->counts[0] = 0; /* Length 0 means that the symbol has no word. */
    for (unsigned len = 1; len <= WORD_MAX_BITS; len++)
        places[len + 1] = places[len] + code->counts[len];
    for (unsigned i = 0; i < count; i++)
        if (lengths[i] > 0)
            code->symbols[places[lengths[i]]++] = (uint16_t)i;
}

/* Reads bit by bit until the bits form a word of the code: `first` is the first word of the current
 * length, and `place` the index of its symbol. Unlike all other numbers, a Huffman word begins with
 * its highest bit (RFC 1951 3.1.1), so its bits are taken one at a time. */
static unsigned take_symbol(struct input *in, const struct code *code)
{
    unsigned word = 0, first = 0, place = 0;
    for (unsigned len = 1; len <= WORD_MAX_BITS && !in->failed; len++) {
        word |= take_bits(in, 1);
        if (word < first + code->counts[len])
            return word >= first ? code->symbols[place + word - first] : 0;
        place += code->counts[len];
        first = (first + code->counts[len]) << 1;
        word <<= 1;
    }
    in->failed = true;
    return END_OF_BLOCK;
}

/* Reads a length or a distance. Each symbol stands for a range of values, and the extra bits after
 * it select one value. The ranges double in size every `step` symbols, so a formula replaces the
 * tables of RFC 1951 3.2.5. */
static unsigned take_range(struct input *in, unsigned symbol, unsigned step, unsigned least)
{
    if (symbol < 2 * step)
        return least + symbol;
    unsigned bits = symbol / step - 1;
    return least + ((step + symbol % step) << bits) + take_bits(in, bits);
}

/* Writes one byte of output. A file that unpacks to more than the expected size is damaged. */
static void put(struct input *in, struct output *out, char byte)
{
    if (out->len < out->size)
        out->at[out->len++] = byte;
    else
        in->failed = true;
}

/* Reads a distance and copies output from that far back. `symbol` is the length symbol. Symbol 285
 * is an exception to the formula: it means 258 and has no extra bits. */
static void copy_back(
    struct input *in, struct output *out, const struct code *distances, unsigned symbol)
{
    enum { LENGTH_MAX_SYMBOL = 285, LENGTH_MAX = 258 };
    unsigned length =
        symbol == LENGTH_MAX_SYMBOL ? LENGTH_MAX : take_range(in, symbol - END_OF_BLOCK - 1, 4, 3);
    unsigned distance = take_range(in, take_symbol(in, distances) & 31, 2, 1);
    in->failed |= distance > out->len || symbol > LENGTH_MAX_SYMBOL;
    /* Copies single bytes: a distance below the length repeats bytes that were just written. */
    for (unsigned i = 0; i < length && !in->failed; i++)
        put(in, out, out->at[out->len - distance]);
}

/* Unpacks the symbols of one block, up to and including its end. */
static void read_symbols(
    struct input *in, struct output *out, const struct code *literals, const struct code *distances)
{
    unsigned symbol;
    while ((symbol = take_symbol(in, literals)) != END_OF_BLOCK && !in->failed)
        if (symbol < END_OF_BLOCK)
            put(in, out, (char)symbol);
        else
            copy_back(in, out, distances, symbol);
}

/* Reads the codes that a block defines itself (RFC 1951 3.2.7). The word lengths of both codes form
 * one list, because a repeat can run from the first code into the second. The list itself is
 * Huffman-coded, and the lengths of that third code come first, three bits each. `order` puts
 * rarely used lengths last, so that an encoder can leave them out. */
static void read_codes(struct input *in, struct code *literals, struct code *distances)
{
    static const unsigned char order[] = { 16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2,
        14, 1, 15 };
    /* The longest repeat is 138, so a repeat that begins at the last place fits. */
    unsigned char lengths[LITERALS_MAX + DISTANCES_MAX + 138] = { 0 };
    unsigned literal_count = take_bits(in, 5) + 257, count = literal_count + take_bits(in, 5) + 1;
    unsigned words = take_bits(in, 4) + 4, at = 0;
    for (unsigned i = 0; i < words; i++)
        lengths[order[i]] = (unsigned char)take_bits(in, 3);
    make_code(literals, lengths, sizeof order); /* the third code; `literals` is not needed yet */
    memset(lengths, 0, sizeof lengths);
    in->failed |= literal_count > LITERALS_MAX;
    while (at < count && !in->failed) {
        unsigned symbol = take_symbol(in, literals), times = 1;
        unsigned char length = (unsigned char)symbol;
        if (symbol == 16 && at > 0) { /* repeats the previous length */
            length = lengths[at - 1];
            times = 3 + take_bits(in, 2);
        } else if (symbol >= 16) { /* repeats 0 */
            length = 0;
            times = symbol == 17 ? 3 + take_bits(in, 3) : 11 + take_bits(in, 7);
        }
        for (; times > 0; times--)
            lengths[at++] = length;
    }
    if (in->failed)
        return;
    make_code(literals, lengths, literal_count);
    make_code(distances, lengths + literal_count, count - literal_count);
}

/* Makes the fixed codes (RFC 1951 3.2.6), meant for short blocks, where a list of lengths would
 * cost more than it saves. */
static void fixed_codes(struct code *literals, struct code *distances)
{
    unsigned char lengths[LITERALS_MAX];
    for (unsigned i = 0; i < LITERALS_MAX; i++)
        lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    make_code(literals, lengths, LITERALS_MAX);
    memset(lengths, 5, DISTANCES_MAX);
    make_code(distances, lengths, DISTANCES_MAX);
}

/* Copies a stored block (RFC 1951 3.2.4). Its length is stored twice, the second time inverted, so
 * that damage is found before anything is copied. */
static void read_stored(struct input *in, struct output *out)
{
    in->bits = in->count = 0; /* The length begins at the next byte boundary. */
    unsigned len = take_bits(in, 16), inverse = take_bits(in, 16);
    in->failed |= (len ^ inverse) != 0xffff;
    for (; len > 0 && !in->failed; len--)
        put(in, out, (char)take_bits(in, 8));
}

static uint32_t little_endian(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

size_t inflate_size(struct span gzip)
{
    return gzip.len < HEADER_BYTES + TRAILER_BYTES ? 0 : little_endian(gzip.at + gzip.len - 4);
}

/* Unpacks the blocks in order, up to the one that is marked as the last. Both codes are on the
 * stack (1.2 KB), and nothing is allocated. */
bool inflate(struct span gzip, char *out, size_t size)
{
    static const char magic[] = "\x1f\x8b\x08"; /* The NUL is compared too: the flags must be 0. */
    struct code literals, distances;
    if (gzip.len < HEADER_BYTES + TRAILER_BYTES || memcmp(gzip.at, magic, sizeof magic) != 0)
        return false;
    struct input in = { .rest = {
                            gzip.at + HEADER_BYTES, gzip.len - HEADER_BYTES - TRAILER_BYTES } };
    struct output unpacked = { .size = size };
    unpacked.at = out;
    for (bool last = false; !last && !in.failed;) {
        last = take_bits(&in, 1) == 1;
        switch (take_bits(&in, 2)) {
        case 0:
            read_stored(&in, &unpacked);
            continue;
        case 1:
            fixed_codes(&literals, &distances);
            break;
        case 2:
            read_codes(&in, &literals, &distances);
            break;
        default:
            in.failed = true;
        }
        if (!in.failed)
            read_symbols(&in, &unpacked, &literals, &distances);
    }
    uint32_t crc = little_endian(gzip.at + gzip.len - TRAILER_BYTES);
    return !in.failed && unpacked.len == size && crc32(0, (struct span) { out, size }) == crc;
}
