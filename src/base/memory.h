/* SPDX-License-Identifier: MIT */
/*
 * The runtime's own memory: mimalloc's heaps, one per loop, beside the user's malloc.
 *
 * A loop creates its heap on its own thread, allocates from it on that thread only, and destroys it
 * there. A block may be freed by any thread, and outlives its heap if need be. Under valgrind,
 * in sanitizer builds and with -DWEIR_MALLOC=system the system's malloc is behind the same verbs.
 */
#ifndef WEIR_BASE_MEMORY_H
#define WEIR_BASE_MEMORY_H

#include <stddef.h>

struct weir__heap;

/*
 * Loads the allocator, once; any thread may call it, and calls after the first repeat its result.
 * Returns 0, or -ELIBACC when the allocator cannot be loaded, -ELIBBAD when it lacks a function.
 */
int weir__memory_init(void);

/* Why weir__memory_init failed: cause and remedy in one line; "" when it did not. Static. */
const char *weir__memory_error(void);

/* The calling thread's new heap; NULL when there is no memory or weir__memory_init fails. */
struct weir__heap *weir__heap_create(void);

/* Called by the thread that created `heap`, which may be NULL. Blocks still in use stay valid. */
void weir__heap_destroy(struct weir__heap *heap);

/*
 * `bytes` of memory aligned to 16, from `heap` (only on the thread that created it), or with NULL
 * from the calling thread's default heap. NULL when there is none, or weir__memory_init fails.
 */
void *weir__memory_alloc(struct weir__heap *heap, size_t bytes);

/* The same, filled with zeros. */
void *weir__memory_zalloc(struct weir__heap *heap, size_t bytes);

/* Any thread; `block` may be NULL. */
void weir__memory_free(void *block);

/*
 * For tests: the `count`-th next allocation of the process fails (1: the very next), and those
 * after it succeed again. -1 takes the order back.
 */
void weir__memory_fail_after(long count);

/* For tests: how many allocations the process has asked for. Two equal readings: none between. */
unsigned long weir__memory_alloc_count(void);

/* For tests: how many blocks and heaps are in use; a little more while others allocate or free. */
unsigned long weir__memory_live_count(void);

#endif
