/* SPDX-License-Identifier: MIT */
/*
 * A job: one function on its way through a pool.
 *
 *   QUEUED ----> RUNNING ----> DONE        by the thread that takes it, under the pool's mutex
 *      |            |
 *      |            `--> abandoned: its task has left; the thread frees it at its end
 *      `--> taken back by its task: GONE, never started
 */
#ifndef WEIR_POOL_JOB_H
#define WEIR_POOL_JOB_H

#include "base/list.h"
#include "core/mailbox.h"
#include "core/trace.h"

#include <weir/pool.h>

struct weir__wait;

enum weir__job_state {
    WEIR__JOB_QUEUED,
    WEIR__JOB_RUNNING,
    WEIR__JOB_DONE,
    WEIR__JOB_GONE,
};

/* Lives in the frame of the task that waits for it; or, if it has `done` or `is_own`, in memory
 * of its own: nobody waits for it then, or the task may leave it behind. */
struct weir__job {
    struct weir__list link; /* in its loop's batch, then in the pool's queue */
    struct weir_pool *pool;
    struct weir__wait *wait;
    weir_pool_fn *fn;
    void *arg;
    const char *name; /* for reports, the caller's; NULL: none */
    /* On the thread, at the very end, which gives the job back; NULL: a wait is fired instead. */
    void (*done)(struct weir__job *job);
    void (*cleanup)(void *arg);              /* of an abandoned one */
    const struct weir__inherited *inherited; /* the task's, for the thread while it runs fn */
    enum weir_priority priority;
    bool is_slow;    /* takes a thread of the slow share */
    bool is_release; /* holds no credit, and is not interrupted */
    bool is_own;     /* the first member of a struct weir__own_job, and may be abandoned */
    bool gathered;   /* home loop: in its batch still */
    int64_t deadline_ns;
    struct weir__mail mail; /* to the task's loop, at the end */
    atomic_bool over;       /* its result is on its way: the pool may be gone */
    /* Under the pool's mutex. */
    enum weir__job_state state;
    bool abandoned;
    int64_t queued_ns;
    /* The thread that took it. */
    int64_t started_ns;
    int code;   /* what its wait is claimed with: 0, or -ETIME when it comes too late to start */
    int result; /* what fn returned */
};

/* A job that its task may leave behind: all it needs is here. */
struct weir__own_job {
    struct weir__job job;
    struct weir__inherited inherited;
    max_align_t storage[]; /* what fn gets, unless the caller gave memory for it */
};

/* Frees it, and gives back what it has inherited. */
void weir__job_free_own(struct weir__own_job *own);

#endif
