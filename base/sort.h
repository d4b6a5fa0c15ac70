/* sort.h - sorts an array of pointers. musl's qsort(3) would put 2 KB into the binary. */

#ifndef SORT_H
#define SORT_H

#include <stdbool.h>
#include <stddef.h>

/* Sorts `count` pointers, which can be of any type, by what they point at: a pointer for which
 * `is_less` says so comes before the other. Equal ones come in any order. Allocates nothing, and
 * compares at most about 2 n log n times, whatever the order was, because names are chosen by
 * strangers. */
void sort_pointers(void *pointers, size_t count, bool (*is_less)(const void *a, const void *b));

#endif
