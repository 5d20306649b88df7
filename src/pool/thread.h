/* SPDX-License-Identifier: MIT */
/*
 * The pool's inside: jobs in a queue, and the threads that take them.
 *
 *   call ----> credit ----> queue ----> running ----> result ----> the task goes on
 *                 |           |
 *                 |           `--> deadline or cancel: taken off, never started
 *                 `--> refused, expired, cancelled: never queued
 *
 *          start                             called
 *   (none) -----> coming ----> working <---> idle -----> coming
 *                                             |
 *                                             `--> ended: idle for too long, or the pool goes
 *
 * What holds whenever the mutex is free:
 *  - A job is in the queue, or a thread has it: whoever takes it off decides what its wait ends
 *    with, so only that one claims it.
 *  - While jobs are queued and a thread could be had (idle, or not yet started), one is coming, and
 *    calls the next as it arrives. So no wake is lost, a burst costs the loop one wake instead of
 *    one per job, and short jobs keep few threads busy (64 tasks with empty jobs: 0.35 us a job,
 *    2.9 when each job wakes a thread of its own). A thread that is late, because the machine is
 *    busy, is not waited for.
 *  - One thread at least lives from before the first job until the pool goes, so each job gets its
 *    turn.
 *  - Each job but a release call holds a credit from admission to its end. There are threads_max +
 *    pool_queue_limit of them: no more than the limit wait beyond those for whom there is a thread.
 */
#ifndef WEIR_POOL_THREAD_H
#define WEIR_POOL_THREAD_H

#include "base/list.h"
#include "core/credit.h"

#include <weir/pool.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

struct weir__inherited;
struct weir__wait;
struct weir__pool_thread;

/* Lives in the frame of the task that waits for it; or, if it has `done`, wherever that frees it:
 * nobody waits then, and the task that left it behind may be gone. */
struct weir__job {
    struct weir__list link; /* in weir__pool.jobs; at itself once taken off */
    struct weir_pool *pool;
    struct weir__wait *wait;
    weir_pool_fn *fn;
    void *arg;
    /* On the thread, at the very end, which gives the job back; NULL: a wait is fired instead. */
    void (*done)(struct weir__job *job);
    const struct weir__inherited *inherited; /* the task's, for the thread while it runs fn */
    bool is_release;                         /* holds no credit, and is not interrupted */
    int64_t deadline_ns;
    int64_t queued_ns;
    /* The thread that took it. */
    int64_t started_ns;
    int code;   /* what its wait is claimed with: 0, or -ETIME when it was not started */
    int result; /* what fn returned */
};

struct weir_pool {
    /* Constant. */
    const char *name; /* of its threads, before their number */
    unsigned threads_min;
    unsigned threads_max;
    int64_t idle_ns;
    /* Of the thread that made the pool: a loop that starts a thread may be pinned. */
    cpu_set_t cpus;
    bool has_cpus;

    struct weir__credits credits;
    atomic_uint started_count; /* threads since the beginning: their names */

    atomic_bool crowded; /* more jobs than threads, by the last look; written under the mutex */

    pthread_mutex_t mutex;
    /* Under the mutex. */
    struct weir__list jobs; /* weir__job.link */
    size_t job_count;
    struct weir__list idle; /* weir__pool_thread.link; the last one slept least */
    unsigned coming_count;  /* woken or started, and not yet at the mutex */
    int64_t called_ns;      /* when the last of them was */
    bool stopping;
    bool left;                     /* the runtime is gone; the last thread ends the pool */
    void (*on_end)(void *context); /* then; outside of the mutex */
    void *context;
    struct weir__pool_thread *ended; /* the last one that ended; it has joined those before it */
    pthread_cond_t all_ended;
    struct weir_pool_stats stats; /* `queued` aside, see weir__pool_waiting */
};

/* A thread that was found for a queued job, to be woken or started outside of the mutex. */
struct weir__pool_help {
    struct weir__pool_thread *asleep;
    bool start;
};

/* Starts the first thread, unless it was started before. Returns 0, -ENOMEM or -errno of
 * pthread_create(3). */
int weir__pool_start(struct weir_pool *pool);

/* Ends and joins all threads. With `may_leave` not those that run a job: then it returns false, and
 * the last of them will end the pool. */
bool weir__pool_stop(struct weir_pool *pool, bool may_leave);

/* No thread is left: frees the pool, and tells whom it was made for. */
void weir__pool_free(struct weir_pool *pool);

/* Under the mutex, after each change that may leave jobs without a thread: who is to come. */
struct weir__pool_help weir__pool_find_help(struct weir_pool *pool, int64_t now_ns);

/* Outside of the mutex. */
void weir__pool_call_help(struct weir_pool *pool, struct weir__pool_help help);

/* Under the mutex: how many jobs wait beyond those for whom there is a thread. */
static inline size_t weir__pool_waiting(const struct weir_pool *pool)
{
    size_t free_count = pool->threads_max - pool->stats.threads_busy;

    return pool->job_count > free_count ? pool->job_count - free_count : 0;
}

#endif
