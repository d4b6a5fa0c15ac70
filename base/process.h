/* process.h - what the kernel says about this process. */

#ifndef PROCESS_H
#define PROCESS_H

#include <stdint.h>

/* Memory is in bytes. A field is 0 if the kernel does not say. */
struct process {
    uint64_t cpu_us;            /* in user and kernel mode, since the process began */
    uint64_t resident, virtual; /* memory in use, and address space */
    uint64_t open_fds, max_fds; /* descriptors; `max_fds` is UINT64_MAX without a limit */
};

/* Asks the kernel. Costs a few system calls, so call this only when a person or a monitor asks. */
void process_read(struct process *p);

#endif
