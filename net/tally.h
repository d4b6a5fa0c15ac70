/* tally.h - what has happened on all connections since the start, for monitoring. */

#ifndef TALLY_H
#define TALLY_H

#include <stdbool.h>
#include <stdint.h>

/* Returns the number of bytes that the kernel has accepted for clients, heads and files included.
 */
uint64_t tally_sent_bytes(void);

/* Returns how many connections have ended for a reason, and sets *reason to its word in the log;
 * the reasons are numbered from 0. Returns false after the last. */
bool tally_closes(unsigned number, const char **reason, uint64_t *count);

#endif
