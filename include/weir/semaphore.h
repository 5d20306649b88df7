/* SPDX-License-Identifier: MIT */
/*
 * A semaphore bounds how many may do something at once: a count of permits, taken one by one and
 * given back, by tasks on any loop and by plain threads. A permit that comes back goes to whoever
 * has waited longest. Unlike a mutex it has no owner: one may take and another give.
 *
 * Example:
 *     if (weir_semaphore_take(queries, weir_in_ms(100)) >= 0) {
 *         error = query(database);
 *         weir_semaphore_give(queries);
 *     }
 */
#ifndef WEIR_SEMAPHORE_H
#define WEIR_SEMAPHORE_H

#include <weir/base.h>

struct weir_semaphore;

/* Times are by the clock that a loop reads once a turn. */
struct weir_semaphore_stats {
    size_t count; /* permits that are free */
    size_t limit;
    size_t waiting;
    size_t waiting_max; /* the most at once */
    uint64_t taken_total;
    uint64_t waited_total; /* takes that had to wait, ended ones */
    uint64_t wait_ns;      /* and how long in all */
    uint64_t wait_max_ns;
    uint64_t refused_total; /* with WEIR_NOW */
    uint64_t expired_total; /* by their deadline */
    uint64_t reserved[4];
};

WEIR_BEGIN

/*
 * Creates a semaphore in *semaphore with `count` free permits, and never more than `limit`. `name`
 * is copied, under 32 bytes with its final zero; NULL: "semaphore".
 * Returns 0. Errors: -EINVAL also limit 0, or count above it; -E2BIG name too long; -ENOMEM;
 * -EOWNERDEAD a forked child.
 */
WEIR_API WEIR_MUST_CHECK int weir_semaphore_create(struct weir_semaphore **semaphore,
                                                   const char *name, size_t count,
                                                   size_t limit) WEIR_ANY_THREAD;

/* Frees it, whoever has its permits: a release call. Returns 0; -EBUSY it is waited for, and
 * nothing happened. NULL is fine. */
WEIR_API int weir_semaphore_destroy(struct weir_semaphore *semaphore) WEIR_ANY_THREAD;

/*
 * Takes a permit.
 * Returns 0. Errors, after which none was taken: -EAGAIN, -ETIME none was free by then; -ECANCELED;
 * -EINVAL.
 */
WEIR_API WEIR_MUST_CHECK int weir_semaphore_take(struct weir_semaphore *semaphore,
                                                 int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/* Gives a permit: a release call. Returns 0. Errors: -EOVERFLOW there would be more than `limit`,
 * and nothing happened; -EINVAL. */
WEIR_API int weir_semaphore_give(struct weir_semaphore *semaphore) WEIR_ANY_THREAD;

/* One consistent reading. Returns 0, or -EINVAL. */
WEIR_API int weir_semaphore_read_stats(struct weir_semaphore *semaphore,
                                       struct weir_semaphore_stats *stats) WEIR_ANY_THREAD;

WEIR_END

#endif
