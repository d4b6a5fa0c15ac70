/* sort.c - heapsort. The array is a tree: below the pointer at `i` are those at 2i + 1 and 2i + 2.
 * In a heap no pointer is less than one below it, so the first is the greatest. */

#include "base/sort.h"

/* Lets the pointer at `at` sink, until none of the two below it is greater. */
static void sink(
    void **heap, size_t at, size_t count, bool (*is_less)(const void *a, const void *b))
{
    void *sinking = heap[at];
    for (size_t below; (below = 2 * at + 1) < count; at = below) {
        if (below + 1 < count && is_less(heap[below], heap[below + 1]))
            below++;
        if (!is_less(sinking, heap[below]))
            break;
        heap[at] = heap[below];
    }
    heap[at] = sinking;
}

/* Makes a heap, from the lowest branches up. Then puts the greatest pointer behind the heap, and
 * the last one of the heap in its place, until the heap is empty. */
void sort_pointers(void *pointers, size_t count, bool (*is_less)(const void *a, const void *b))
{
    void **heap = pointers;
    for (size_t at = count / 2; at > 0; at--)
        sink(heap, at - 1, count, is_less);
    while (count > 1) {
        void *greatest = heap[0];
        heap[0] = heap[--count];
        heap[count] = greatest;
        sink(heap, 0, count, is_less);
    }
}
