/* SPDX-License-Identifier: MIT */
/*
 * Two pools of threads. One, for what can only block (name resolution, other libraries' calls), has
 * as many threads as jobs need, within bounds. The other, for long computations, has one per CPU:
 * more would gain nothing, and what blocks does not hold it up. The task parks; a pool thread runs
 * the function; its result wakes the task.
 *
 * A job whose deadline passes, or whose task is cancelled, while it is queued never starts. One
 * that runs is waited for, since it uses the caller's memory. Queue wait and run time are counted
 * apart. I/O wrappers may not be called from a job (-ENXIO); channels may.
 *
 * Example:
 *     int error = weir_pool_run(resolve_and_parse, &config, weir_in_ms(500));
 *     ...
 *     error = weir_cpu_run(compress, &page, WEIR_FOREVER);
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <weir/base.h>

typedef int weir_pool_fn(void *arg);

struct weir_pool_stats {
    unsigned threads;      /* alive now */
    unsigned threads_busy; /* running a job now */
    unsigned threads_max;  /* most ever alive */
    size_t queued;         /* jobs waiting now */
    size_t queued_max;     /* most jobs that ever waited */
    uint64_t jobs_run;
    uint64_t jobs_refused;   /* queue full, or no room by the queue's own limit */
    uint64_t jobs_expired;   /* deadline passed in the queue: never started */
    uint64_t jobs_cancelled; /* cancelled in the queue: never started */
    uint64_t wait_ns;        /* in the queue, sum over jobs run */
    uint64_t wait_max_ns;
    uint64_t run_ns; /* sum over jobs run */
    uint64_t run_max_ns;
    uint64_t reserved[4];
};

WEIR_BEGIN

/*
 * Runs fn(arg) on a thread of the pool and returns what it returned.
 * Errors of its own: -EBUSY the queue is full (weir_options.pool_when_full); -ETIME, -EAGAIN the
 * deadline passed before the job began; -ECANCELED before it began; -EINVAL; -ENXIO not in a task.
 * Owns: arg stays the caller's, and is in use until the call returns.
 */
WEIR_API int weir_pool_run(weir_pool_fn *fn, void *arg, int64_t deadline_ns) WEIR_SUSPENDS;

/* One reading of the pool of the calling task's runtime. Returns 0; -EINVAL; -ENXIO not in a
 * task. */
WEIR_API int weir_pool_read_stats(struct weir_pool_stats *stats);

/*
 * The same for long computations, on weir_options.cpu_threads threads of their own: none before the
 * first call, then one more whenever jobs wait, until all are there. They stay as long as the
 * runtime. Errors: those of weir_pool_run (weir_options.cpu_when_full); -EAGAIN, -ENOMEM no first
 * thread could be had.
 */
WEIR_API int weir_cpu_run(weir_pool_fn *fn, void *arg, int64_t deadline_ns) WEIR_SUSPENDS;
WEIR_API int weir_cpu_read_stats(struct weir_pool_stats *stats);

WEIR_END

#endif
