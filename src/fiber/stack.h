/* SPDX-License-Identifier: MIT */
/*
 * Stacks: a pool of them for each loop, by size, hottest first.
 *
 * A fresh page costs 8 to 10 us and a fresh guard about 1 us, a warm stack a nanosecond: so stacks
 * are kept and reused, last released first. Where a stack is:
 *
 *      made --------------------------> in use --release--> warm    up to warm_count; counted, LIFO
 *        ^                               ^ ^ ^                |
 *        | none left                     | | `------acquire---'
 *      slab                              | |       --release--> idle    beyond; pages kept a while
 *                                        | `----acquire---------' |
 *                                        `------acquire------ cold <--trim--'   pages given back
 *
 * Trim gives back, once a second, what stayed idle through the whole second before: a storm of
 * tasks that comes again soon finds its pages. In use and warm stacks count against the limits.
 *
 * Sizes are powers of two from 16 KiB to 1 GiB. A pool belongs to one thread; the limits are
 * shared. A pool must not move, and outlives its stacks.
 */
#ifndef WEIR_FIBER_STACK_H
#define WEIR_FIBER_STACK_H

#include "base/assert.h"
#include "fiber/annotate.h"
#include "fiber/limits.h"

#include <stddef.h>
#include <stdint.h>

enum {
    WEIR__STACK_SIZE_SHIFT = 14, /* the smallest: 16 KiB */
    WEIR__STACK_SIZE_COUNT = 17, /* the largest: 1 GiB */
    WEIR__STACK_BYTES_MAX = 1 << (WEIR__STACK_SIZE_SHIFT + WEIR__STACK_SIZE_COUNT - 1),
};

#define WEIR__STACK_TRIM_NEVER INT64_MAX

/* One stack's record, outside of its pages. */
struct weir__stack {
    void *base;               /* lowest usable address; the guard ends here */
    size_t bytes;             /* usable, upwards from base */
    void *top;                /* where its tasks begin; constant */
    struct weir__stack *next; /* in the list of its size; the owner's to use while in use */
    struct weir__stack_size *size;
    struct weir__annotate_stack annotate;
};

/* All stacks of one size in a pool. */
struct weir__stack_size {
    struct weir__stack *warm;
    size_t warm_count;
    size_t warm_max;
    size_t sample_in; /* releases until the next one's high-water mark is looked at */

    struct weir__stack *idle;
    size_t idle_count;
    size_t idle_low;      /* the lowest idle_count of this period: so many nobody needed */
    size_t surplus_count; /* to be given back, as found at the end of the last period */
    int64_t period_end_ns;

    struct weir__stack *cold;
    size_t cold_count;

    struct weir__stack_slab *slab; /* the newest, where stacks are made; older ones are full */
    size_t made_count;
    size_t bytes;
    size_t high_water_bytes; /* the deepest of those looked at */
    struct weir__stack_pool *pool;
};

struct weir__stack_pool {
    struct weir__stack_size *standard; /* the default size */
    struct weir__stack_limits *limits;
    unsigned used_sizes;              /* bit i: sizes[i] has made stacks */
    enum weir__stack_refusal refusal; /* the latest */
    size_t refusal_counts[WEIR__STACK_REFUSAL_LAST];
    size_t mapped_bytes;
    size_t trimmed_count;
    struct weir__stack_size sizes[WEIR__STACK_SIZE_COUNT];
};

struct weir__stack_stats {
    size_t used_count;
    size_t warm_count;    /* free, and counted against the limits */
    size_t idle_count;    /* free, pages still there */
    size_t cold_count;    /* free, pages given back */
    size_t mapping_count; /* of all these, guarded by mprotect */
    size_t mapped_bytes;  /* address space, guards included */
    size_t trimmed_count; /* times a stack's pages were given back */
    size_t refused_count;
    size_t high_water_bytes[WEIR__STACK_SIZE_COUNT]; /* per size; sampled */
};

/* `limits` outlives the pool. Returns 0. */
int weir__stack_pool_init(struct weir__stack_pool *pool, struct weir__stack_limits *limits);

/* Makes `count` default stacks and keeps them free. Errors: as weir__stack_acquire. */
int weir__stack_pool_fill(struct weir__stack_pool *pool, size_t count);

/* All stacks are released. */
void weir__stack_pool_term(struct weir__stack_pool *pool);

/*
 * Gives back the pages of at most `budget` stacks (1 to 2 us each); for an idle loop. Returns when
 * to call again, at or before `now_ns` when the budget was too small, or WEIR__STACK_TRIM_NEVER.
 */
int64_t weir__stack_pool_trim(struct weir__stack_pool *pool, size_t budget, int64_t now_ns);

/* Walks the slabs: not for hot paths. */
void weir__stack_pool_stats(const struct weir__stack_pool *pool, struct weir__stack_stats *out);

/* Stacks in use, and free ones whose pages are kept; a few instructions per size in use. */
void weir__stack_pool_levels(const struct weir__stack_pool *pool, size_t *used_count,
                             size_t *kept_count);

/* For tests: aborts unless lists, counts and sizes agree. */
void weir__stack_pool_verify(const struct weir__stack_pool *pool);

/*
 * Bytes from the deepest page that is resident to the top. Pages stay until trimmed, so this is the
 * deepest of all tasks that ran here since; a page that was swapped out is not seen.
 */
size_t weir__stack_high_water(const struct weir__stack *stack);

/* The rest of the two verbs below: any size, any list, or a new stack. */
int weir__stack_acquire_slowly(struct weir__stack_pool *pool, size_t bytes,
                               struct weir__stack **out);

void weir__stack_release_slowly(struct weir__stack_pool *pool, struct weir__stack *stack);

/*
 * A stack of at least `bytes`, 0 meaning the default; what is on it is undefined.
 *
 * Errors: -EAGAIN a limit is reached, -ENOMEM the kernel refused, -EINVAL too large;
 * weir__stack_refusal_text(pool->refusal) says why and what to do.
 */
static inline int weir__stack_acquire(struct weir__stack_pool *pool, size_t bytes,
                                      struct weir__stack **out)
{
    struct weir__stack_size *size = pool->standard;
    struct weir__stack *stack = size->warm;

    if (WEIR_UNLIKELY(bytes != 0 || stack == NULL))
        return weir__stack_acquire_slowly(pool, bytes, out);
    size->warm = stack->next;
    size->warm_count--;
    *out = stack;
    return 0;
}

/* To the pool it came from. */
static inline void weir__stack_release(struct weir__stack_pool *pool, struct weir__stack *stack)
{
    struct weir__stack_size *size = stack->size;

    WEIR_DEBUG_ASSERT(size->pool == pool);
    if (WEIR_UNLIKELY(--size->sample_in == 0 || size->warm_count >= size->warm_max)) {
        weir__stack_release_slowly(pool, stack);
        return;
    }
    stack->next = size->warm;
    size->warm = stack;
    size->warm_count++;
}

static inline size_t weir__stack_guard_bytes(const struct weir__stack *stack)
{
    return stack->size->pool->limits->options.guard_bytes;
}

/* The index of the smallest size of at least `bytes` and a page; `bytes` is not too large. */
static inline unsigned weir__stack_size_index(size_t bytes, size_t page_bytes)
{
    size_t least = bytes > page_bytes ? bytes : page_bytes;
    size_t units = (least - 1) >> WEIR__STACK_SIZE_SHIFT;

    return units == 0 ? 0 : (unsigned)(8 * sizeof units) - (unsigned)__builtin_clzl(units);
}

static inline size_t weir__stack_size_bytes(unsigned index)
{
    return (size_t)1 << (WEIR__STACK_SIZE_SHIFT + index);
}

#endif
