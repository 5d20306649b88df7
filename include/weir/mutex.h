/* SPDX-License-Identifier: MIT */
/*
 * A mutex keeps others out while its owner may park: across several calls, where a channel or a
 * task that owns the state would not do. Whoever waits for it parks; a plain thread blocks.
 *
 * It is handed over in the order of arrival, and has one owner, who alone may unlock it. A mutex
 * that is held across a long park makes all who want it wait for something they know nothing of:
 * hold it briefly. The watchdog of weir_options.mutex_limit_ns names the owner who does not.
 *
 * A task that ends while it holds a mutex leaves behind what nobody can trust: it is named on
 * standard error, and every lock of that mutex fails with -ENOTRECOVERABLE from then on.
 *
 * Example:
 *     int error = weir_mutex_lock(mutex, weir_in_ms(50));
 *     if (error >= 0) {
 *         error = rewrite(file);
 *         weir_mutex_unlock(mutex);
 *     }
 */
#ifndef WEIR_MUTEX_H
#define WEIR_MUTEX_H

#include <weir/base.h>

struct weir_mutex;

/* Times are by the clock that a loop reads once a turn. */
struct weir_mutex_stats {
    bool held;
    size_t waiting;
    size_t waiting_max; /* the most at once */
    uint64_t locked_total;
    uint64_t waited_total; /* locks that had to wait, ended ones */
    uint64_t wait_ns;      /* and how long in all */
    uint64_t wait_max_ns;
    uint64_t refused_total; /* with WEIR_NOW */
    uint64_t expired_total; /* by their deadline */
    uint64_t reserved[4];
};

WEIR_BEGIN

/*
 * Creates a mutex in *mutex, unlocked. `name` is copied, under 32 bytes with its final zero; NULL:
 * "mutex". Returns 0. Errors: -EINVAL; -E2BIG name too long; -ENOMEM; -EOWNERDEAD a forked child.
 */
WEIR_API WEIR_MUST_CHECK int weir_mutex_create(struct weir_mutex **mutex,
                                               const char *name) WEIR_ANY_THREAD;

/* Frees it: a release call. Returns 0; -EBUSY it is held or waited for, and nothing happened. NULL
 * is fine. */
WEIR_API int weir_mutex_destroy(struct weir_mutex *mutex) WEIR_ANY_THREAD;

/*
 * Locks it. The calling task, or thread, is its owner when this returns 0.
 * Errors, after which it is not: -EDEADLK the caller owns it already; -EAGAIN, -ETIME others held
 * it until then; -ECANCELED; -ENOTRECOVERABLE its owner ended without unlocking it; -EINVAL.
 */
WEIR_API WEIR_MUST_CHECK int weir_mutex_lock(struct weir_mutex *mutex,
                                             int64_t deadline_ns) WEIR_ANY_THREAD WEIR_SUSPENDS;

/*
 * Hands it to whoever has waited longest: a release call, done in a cancelled task too.
 * Returns 0. Errors: -EPERM the caller does not own it; -EINVAL.
 */
WEIR_API int weir_mutex_unlock(struct weir_mutex *mutex) WEIR_ANY_THREAD;

/* One consistent reading. Returns 0, or -EINVAL. */
WEIR_API int weir_mutex_read_stats(struct weir_mutex *mutex,
                                   struct weir_mutex_stats *stats) WEIR_ANY_THREAD;

WEIR_END

#endif
