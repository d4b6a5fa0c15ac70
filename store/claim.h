/* claim.h - inside store/: makes a file this process's journal, and no other's. */

#ifndef CLAIM_H
#define CLAIM_H

#include "store/inside.h"

/* Opens the file and its folder, sets their paths, and locks the file. Creates the file if it does
 * not exist. On failure it writes one sentence to standard error and exits with EXIT_SYSTEM; a file
 * that is no journal, or of a newer version, is left as it was. */
void claim_file(struct journal *j, const char *path);

/* Exits in the same way if claim_file would fail, apart from locks; changes nothing. */
void claim_check(const char *path);

/* Returns whether two names or descriptors are of the same file. */
struct stat;
bool claim_is_same(const struct stat *a, const struct stat *b);

/* Opens the journal's folder again, which may have been replaced. Returns 0 or an errno. */
int claim_folder(struct journal *j);

/* Returns whether a descriptor is of the file that the path refers to. */
bool claim_is_at(int fd, const char *path);

/* Returns whether another process uses the file of this name as its journal, or another user owns
 * it. */
bool claim_is_used(const struct journal *j, const char *path);

/* Removes the new file of an interrupted compaction, which was never renamed. A file of that name
 * that is no journal, or another server's, is left alone until a compaction needs the name. */
void claim_clear(const struct journal *j);

/* Aborts the startup, because a newer version wrote the file. */
__attribute__((noreturn)) void claim_refuse_newer(const char *path, uint64_t version);

/* Locks a file that will take the journal's name. Returns false if that is not possible. */
bool claim_lock(int fd);

/* Aborts the startup. Later, a failing journal is a state (trouble.h), not a reason to exit. */
__attribute__((noreturn)) void claim_refuse(const char *path, const char *why);

#endif
