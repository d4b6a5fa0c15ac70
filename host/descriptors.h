/* descriptors.h - the file descriptors that the process has, and how many it may have. */

#ifndef DESCRIPTORS_H
#define DESCRIPTORS_H

/* Makes sure that descriptors 0 to 2 are taken. Call this before anything is opened: otherwise a
 * file would get the number of a closed standard error, and log lines would be written into it. */
void descriptors_fill(void);

/* Raises the soft limit to the hard limit, and returns the new limit. Exits if it is too small to
 * serve anything. */
unsigned descriptors_raise(void);

#endif
