/* reader.c - the pieces of a journal's file: records, damage, a torn end.
 *
 * Where no intact record begins, there are two cases:
 *
 *      | record | record | rec          torn: a write that a crash interrupted
 *      | record | r#!ord | record |     damage: bytes that were good once have changed
 *
 * A torn end is the beginning of one record, or zeros. Everything else is damage. (One case looks
 * like a torn end: a flipped bit in the empty line at the very end.)
 *
 * Records are numbered, so a record that was taken out is noticed although all others are intact:
 *
 *      first record | snapshot: records without numbers | {"snapshot":3,"n":41} | 42 | 43 | ...
 *      first record | 1 | 2 | ...
 *
 * Files that were joined are fine, because a first record starts the numbers again. A number that
 * came before belongs to a repeated record; whether the repetition is exact, only the hub can tell.
 * Version 1 had neither a first record nor numbers; what this version appends to it begins with 1.
 *
 * The file is read in pieces, not mapped, so that an error of the disk, or a program that cuts the
 * file meanwhile, gives an error message, and not a signal. The window on the file is as long as
 * the longest record, and its bytes are moved to the front when the next piece is read. */

#include "store/reader.h"

#include "base/scan.h"

#include <errno.h>
#include <unistd.h>

enum {
    READ_BYTES = 256 << 10, /* the least that is read at a time */

    /* The longest record: the largest body of a POST, each byte of which is a line end. */
    RECORD_MAX_BYTES = 512 << 20,

    /* A file that grew when the machine crashed can have zeros in place of its first write. */
    ZEROS_MAX = 4096,
};

void reader_begin(struct reader *r, int fd, uint64_t size)
{
    *r = (struct reader) { .fd = fd, .size = size, .next = 1, .is_counting = true };
}

void reader_end(struct reader *r)
{
    buffer_free(&r->window);
}

const char *reader_error(const struct reader *r)
{
    return r->error;
}

/* ==== The window ============================================================================= */

/* Returns the bytes in the window from the next piece on. */
static struct span rest_of(const struct reader *r)
{
    if (r->window.at == NULL) /* nothing was read yet */
        return SPAN("");
    return span_skip(buffer_span(&r->window), (size_t)(r->offset - r->base));
}

/* Reads more of the file into the window, and forgets what is before `offset`. At least doubles the
 * window, so that a long record is moved only a few times. Returns false at the end of the file and
 * after an error. */
static bool read_more(struct reader *r)
{
    struct span rest = rest_of(r);
    uint64_t at = r->offset + rest.len;
    if (at == r->size || r->error != NULL)
        return false;
    if (rest.len > 0)
        memmove(r->window.at, rest.at, rest.len);
    r->window.len = rest.len;
    r->base = r->offset;
    size_t want = rest.len > READ_BYTES ? rest.len : READ_BYTES;
    want = want < r->size - at ? want : (size_t)(r->size - at);
    char *to = buffer_reserve(&r->window, want);
    ssize_t n = -1;
    while (to != NULL && (n = pread(r->fd, to, want, (off_t)at)) < 0 && errno == EINTR)
        continue;
    if (n > 0)
        r->window.len += (size_t)n;
    else
        r->error = to == NULL ? "there is not enough memory for one of its records"
                   : n < 0    ? strerror(errno)
                              : "another program has cut it off while it was read";
    return n > 0;
}

/* Returns the length of the record that begins `skip` bytes after the next piece, or 0. `*torn` is
 * then set if the file ends before such a record would. */
static size_t whole_at(struct reader *r, size_t skip, bool *torn)
{
    for (;;) {
        struct span rest = rest_of(r);
        bool more = rest.len < skip;
        size_t len = more ? 0 : record_whole(span_skip(rest, skip), &more);
        if (len > 0 || !more || rest.len > RECORD_MAX_BYTES || !read_more(r)) {
            *torn = more && rest.len <= RECORD_MAX_BYTES;
            return len;
        }
    }
}

/* Moves past the rest of the line. Returns false at the end of the file. `*zeros` is reset if a
 * byte is not 0. */
static bool skip_line(struct reader *r, bool *zeros)
{
    for (;;) {
        struct span rest = rest_of(r);
        const char *end = rest.len > 0 ? memchr(rest.at, '\n', rest.len) : NULL;
        size_t len = end != NULL ? (size_t)(end + 1 - rest.at) : rest.len;
        for (size_t i = 0; i < len && *zeros; i++)
            *zeros = rest.at[i] == '\0';
        r->offset += len;
        if (end != NULL || !read_more(r))
            return end != NULL;
    }
}

/* Moves to the next intact record, or to the end of the file. It looks for a record at the start of
 * each line, and one byte after it, in case the line end before the record is the damaged byte:
 *
 *      data: ...\n\n:5d41402a {      intact
 *      data: ...\nX:5d41402a {       the second LF is damaged; the next record must not be lost
 *
 * It looks nowhere else, because the text of a message can contain a valid record, CRC and all,
 * which must never be taken for one. That text follows "data: ", so it is at neither place. */
static void skip_damage(struct reader *r, bool *zeros)
{
    bool torn;
    while (skip_line(r, zeros)) {
        if (whole_at(r, 0, &torn) > 0)
            return;
        if (whole_at(r, 1, &torn) > 0) {
            r->offset++;
            return;
        }
    }
}

/* ==== Numbers ================================================================================ */

/* Returns whether a snapshot has begun, but not ended. */
static bool is_cut_off(const struct reader *r)
{
    return r->in_snapshot && r->counted > 0 && r->is_counting;
}

/* Notes the number of a record, or counts it. Returns how many records are missing before it. */
static uint64_t count_record(struct reader *r, const struct record *record)
{
    uint64_t missing = 0;
    if (record->type == RECORD_FIRST) {
        if (record->version > r->version)
            r->version = record->version;
        missing = is_cut_off(r); /* the file that was joined before this one */
        r->in_snapshot = r->is_counting = true;
        r->counted = 0;
        r->next = 1;
        return missing;
    }
    if (record->type == RECORD_SNAPSHOT) {
        if (r->is_counting && record->count > r->counted)
            missing = record->count - r->counted;
        r->next = record->n + 1;
        r->is_counting = true;
        r->in_snapshot = false;
        return missing;
    }
    if (record->n == 0) {
        r->counted++;
        return 0;
    }
    if (is_cut_off(r))
        missing = 1;
    else if (r->is_counting && record->n > r->next)
        missing = record->n - r->next;
    if (record->n >= r->next || !r->is_counting)
        r->next = record->n + 1;
    r->is_counting = true;
    r->in_snapshot = false;
    return missing;
}

/* ==== Pieces ================================================================================= */

static enum piece_type end_piece(struct reader *r, struct piece *piece, enum piece_type type)
{
    piece->type = r->error != NULL ? PIECE_ERROR : type;
    piece->len = r->offset - piece->offset;
    if (piece->type == PIECE_DAMAGED)
        r->is_counting = false;
    return piece->type;
}

/* Reads what is no record, up to the next record or the end. */
static enum piece_type next_damage(struct reader *r, struct piece *piece, bool torn)
{
    bool zeros = true;
    if (torn) {
        r->offset = r->size;
        return end_piece(r, piece, PIECE_TORN);
    }
    skip_damage(r, &zeros);
    return end_piece(r, piece, zeros && r->offset == r->size ? PIECE_TORN : PIECE_DAMAGED);
}

enum piece_type reader_next(struct reader *r, struct piece *piece)
{
    bool torn;
    size_t len = whole_at(r, 0, &torn);
    piece->offset = r->offset;
    piece->missing = 0;
    if (r->offset == r->size) { /* a snapshot without its end was cut off */
        piece->missing = is_cut_off(r);
        r->in_snapshot = false;
        return end_piece(r, piece, PIECE_END);
    }
    if (len == 0)
        return next_damage(r, piece, torn);
    bool good = record_read((struct span) { rest_of(r).at, len }, &piece->record);
    if (good)
        piece->missing = count_record(r, &piece->record);
    r->offset += len;
    return end_piece(r, piece, good ? PIECE_RECORD : PIECE_DAMAGED);
}

/* Reads no further than to the first record. */
bool reader_is_journal(struct reader *r)
{
    struct buffer first = { 0 };
    struct piece piece;
    bool ours = r->size == 0;
    record_first(&first);
    while (!ours && reader_next(r, &piece) < PIECE_END) {
        struct span start = buffer_span(&r->window);
        ours = piece.type == PIECE_RECORD;
        if (piece.type == PIECE_TORN && piece.offset == 0)
            ours = (start.len == r->size && start.len <= first.len &&
                       memcmp(start.at, first.at, start.len) == 0) ||
                   (r->size <= ZEROS_MAX && start.at[0] == '\0');
    }
    buffer_free(&first);
    return ours;
}
