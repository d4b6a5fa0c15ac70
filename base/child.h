/* child.h - forked processes: the ones that this process starts, and the orphans that it inherits.
 *
 * As process 1 of a container this process becomes the parent of every orphan there, and a shell
 * that executes it can leave it children. Such a child stays a zombie until its parent reaps it. */

#ifndef CHILD_H
#define CHILD_H

#include <sys/types.h>

/* Forks, as fork(2) does. At most one child may exist at a time; child_end must follow. */
pid_t child_fork(void);

/* Waits for the child that child_fork has started, and reaps it. Returns its exit status, or -1 if
 * it was killed. */
int child_end(void);

/* Reaps all other children that have ended. Call this at SIGCHLD. */
void child_reap(void);

/* In a child: closes all descriptors from `first` up, without trying every number that the limit
 * allows. Returns 0, or an errno if the open ones cannot be found. */
int child_close_from(int first);

#endif
