/* SPDX-License-Identifier: MIT */
/*
 * The bounds on stacks, one object for all pools of a runtime: how many, how many bytes, and how
 * many kernel mappings. A stack counts while it is in use or kept warm; one whose memory was given
 * back does not. A pool takes and gives only when it goes beyond its warm stacks, so the shared
 * counters stay off the fast path.
 */
#ifndef WEIR_FIBER_LIMITS_H
#define WEIR_FIBER_LIMITS_H

#include "base/budget.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Zero means the default. */
struct weir__stack_options {
    size_t stack_bytes;          /* usable bytes of a default stack; 64 KiB */
    size_t guard_bytes;          /* unusable bytes below each stack; 64 KiB */
    size_t count_max;            /* stacks in use or warm; 4 Mi */
    size_t bytes_max;            /* their usable bytes, touched or not; 1 TiB */
    size_t warm_count;           /* free default stacks a pool keeps warm; 1024 */
    bool guard_by_mprotect;      /* do not use MADV_GUARD_INSTALL even where the kernel has it */
    bool prefault;               /* touch all pages of a stack at once, and keep them */
    struct weir__budget *budget; /* what they count against, too; NULL: nothing */
    size_t companion_bytes;      /* what the owner of a stack takes beside it, for the budget */
};

enum weir__stack_refusal {
    WEIR__STACK_REFUSAL_NONE,
    WEIR__STACK_REFUSAL_COUNT,
    WEIR__STACK_REFUSAL_BYTES,
    WEIR__STACK_REFUSAL_BUDGET,
    WEIR__STACK_REFUSAL_MAPPINGS,
    WEIR__STACK_REFUSAL_MEMORY,
    WEIR__STACK_REFUSAL_SIZE,
    WEIR__STACK_REFUSAL_LAST
};

struct weir__stack_limits {
    /* Constant after init: the options with defaults filled in, rounded to what can be had. */
    struct weir__stack_options options;
    size_t page_bytes;
    size_t mapping_max; /* stacks whose guard is a mapping of its own */

    /* Any thread, atomic. All relaxed: they count, and publish nothing. */
    _Alignas(64) atomic_size_t count;
    atomic_size_t bytes;
    atomic_size_t bytes_seen; /* the most so far */
    atomic_size_t refused_count;
    atomic_size_t mapping_count;
};

/* Returns 0, or -EINVAL when a size is beyond WEIR__STACK_BYTES_MAX. NULL: all defaults. */
int weir__stack_limits_init(struct weir__stack_limits *limits,
                            const struct weir__stack_options *options);

/* One stack of `bytes` more; refuses, without side effect, beyond a bound. Any thread. */
enum weir__stack_refusal weir__stack_limits_take(struct weir__stack_limits *limits, size_t bytes);

/* `count` stacks of `bytes` each less. Any thread. */
void weir__stack_limits_give(struct weir__stack_limits *limits, size_t count, size_t bytes);

/* One stack more whose guard is a mapping of its own. Any thread. */
enum weir__stack_refusal weir__stack_limits_take_mapping(struct weir__stack_limits *limits);

void weir__stack_limits_give_mappings(struct weir__stack_limits *limits, size_t count);

/* The cause and the remedy, as one static line; "" for none. */
const char *weir__stack_refusal_text(enum weir__stack_refusal refusal);

/* -EAGAIN when a limit is reached, -ENOMEM, -EINVAL; 0 for none. */
int weir__stack_refusal_error(enum weir__stack_refusal refusal);

#endif
