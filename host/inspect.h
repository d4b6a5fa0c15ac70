/* inspect.h - the commands that look into a journal. They only read: they create no file, take no
 * lock, and can run while a server writes the journal. */

#ifndef INSPECT_H
#define INSPECT_H

/* Prints what the file contains: records, messages, rooms, damage. Returns the exit code: 0 if all
 * is well, EXIT_SYSTEM if the file is damaged. A file that cannot be read, is no journal or has a
 * newer format is reported in one sentence, and the program exits with EXIT_SYSTEM. */
int inspect_check(const char *path);

/* Prints the messages, one JSON object per line, as GET /messages shows them: of all rooms, or of
 * one if `room` is not NULL. What was forgotten is left out. Returns the exit code. */
int inspect_export(const char *path, const char *room);

#endif
