/* reader.h - reads a journal's file from front to back, and says what it finds there.
 *
 * It only reads: the file, its lock and its name are left alone. So it serves the recovery at
 * startup (replay.c) as well as the commands that inspect a journal, even while a server writes
 * it. */

#ifndef READER_H
#define READER_H

#include "base/bytes.h"
#include "store/record.h"

/* A piece of the file. */
enum piece_type {
    PIECE_RECORD,  /* an intact record */
    PIECE_DAMAGED, /* bytes that are no record, or none that makes sense */
    PIECE_TORN,    /* the end of the file: a record of which only the beginning was written */
    PIECE_END,     /* the end of the file */
    PIECE_ERROR,   /* it cannot be read: see reader_error */
};

struct piece {
    enum piece_type type;
    uint64_t offset, len; /* where in the file */
    uint64_t missing;     /* records that are missing between the last piece and this one */
    struct record record; /* PIECE_RECORD; valid until the next call */
};

struct reader {
    int fd;               /* borrowed */
    uint64_t size;        /* the file is read up to here */
    uint64_t offset;      /* the next piece begins here */
    struct buffer window; /* the bytes of the file from `base` on; owned */
    uint64_t base;
    const char *error;
    uint64_t version; /* the highest in a first record so far; 0 if there was none */
    uint64_t next;    /* the number of the next record */
    uint64_t counted; /* the records of the snapshot so far */
    bool in_snapshot; /* between the first record and the first one with a number */
    bool is_counting; /* no damage since the number of a record was known */
};

/* Begins to read a file of `size` bytes. reader_end frees the memory. */
void reader_begin(struct reader *r, int fd, uint64_t size);
void reader_end(struct reader *r);

/* Reads the next piece. Returns its type. */
enum piece_type reader_next(struct reader *r, struct piece *piece);

/* Returns why the file cannot be read, after PIECE_ERROR. */
const char *reader_error(const struct reader *r);

/* Returns whether the file is a journal, or may become one: it is empty, the beginning of a first
 * record, or a few zeros, as after a crash; or it contains at least one whole record. Anything else
 * belongs to another program or user. Returns false with reader_error set if it cannot be read. */
bool reader_is_journal(struct reader *r);

#endif
