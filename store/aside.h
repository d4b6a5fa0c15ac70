/* aside.h - inside store/: keeps bytes beside the journal that it will no longer contain, so that
 * the operator can look at them. All files have mode 0600. */

#ifndef ASIDE_H
#define ASIDE_H

#include "store/inside.h"

/* A part of the journal's file. */
struct stretch {
    uint64_t offset, len;
};

/* Copies stretches of the journal, one after the other, to PATH.damaged-CRC, and syncs the copy. If
 * that file has them already, nothing is written. Writes its path to `path`. Returns 0 or an
 * errno. */
enum { ASIDE_PATH_BYTES = 4096 + 64 };
int aside_stretches(
    const struct journal *j, const struct stretch *stretches, size_t count, char *path);

/* Keeps the file that the journal's name refers to under the name PATH.WORD-TIME as well, and
 * writes that name to `path`. Returns 0 or an errno. */
int aside_link(const struct journal *j, const char *word, char *path);

/* Gives whatever has the name `from` the name PATH.WORD-TIME instead. */
int aside_move(const struct journal *j, const char *from, const char *word, char *path);

#endif
