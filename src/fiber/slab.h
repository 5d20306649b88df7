/* SPDX-License-Identifier: MIT */
/*
 * A slab: many stacks of one size in one mapping, each above its guard, and their records before
 * all of them, so that a record costs its task no page of its own.
 *
 *      | header, records | guard | stack 0 | guard | stack 1 | ...
 *
 * Stacks are made one by one, in order. A guard is installed by MADV_GUARD_INSTALL (Linux 6.13);
 * it lives in the page tables, and a million stacks are a few dozen mappings. Where the kernel
 * lacks or refuses it (locked memory), mprotect does the same at the price of two mappings a stack;
 * then the slab begins inaccessible and stacks are opened one by one, so that under
 * mlockall(MCL_FUTURE) only stacks that were made are resident, and never a guard.
 */
#ifndef WEIR_FIBER_SLAB_H
#define WEIR_FIBER_SLAB_H

#include "fiber/limits.h"

#include <stdbool.h>
#include <stddef.h>

struct weir__stack;

struct weir__stack_slab {
    struct weir__stack_slab *next; /* older slab of the pool */
    struct weir__stack *records;   /* stack_max of them; the first `made_count` are valid */
    char *first;                   /* the guard of stack 0 */
    size_t stack_bytes;
    size_t guard_bytes;
    size_t stack_max;
    size_t made_count;
    size_t mapping_count; /* of those, guarded by mprotect */
    size_t mapped_bytes;  /* all of the slab, from its header on */
    bool closed;          /* began inaccessible */
};

/* Maps a slab of at most `stack_max` stacks, fewer when memory is short. Returns 0 or -ENOMEM. */
int weir__stack_slab_create(const struct weir__stack_limits *limits, size_t stack_bytes,
                            size_t stack_max, struct weir__stack_slab **out);

/* No stack of the slab is in use. */
void weir__stack_slab_destroy(struct weir__stack_slab *slab);

/* The slab's next stack, guarded. There must be one. NULL: refused, and `*refusal` says why. */
struct weir__stack *weir__stack_slab_make(struct weir__stack_slab *slab,
                                          struct weir__stack_limits *limits,
                                          enum weir__stack_refusal *refusal);

#endif
