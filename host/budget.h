/* budget.h - compares what the settings allow with what the machine has, before anything goes
 * wrong. */

#ifndef BUDGET_H
#define BUDGET_H

#include "host/options.h"

/* Returns how many bytes of memory the process can have: the least of the machine's memory, of
 * memory.max of its control group (version 2) and of the groups around it, and of RLIMIT_AS. */
uint64_t budget_memory(void);

/* Logs the most memory that the settings allow, with a warning if it is too much for the machine or
 * the control group, and a warning if one address may post so much at once that readers lose
 * messages. `descriptors` is the process's limit. */
void budget_log(const struct options *options, unsigned descriptors);

#endif
