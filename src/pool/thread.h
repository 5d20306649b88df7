/* SPDX-License-Identifier: MIT */
/*
 * The pool's inside: jobs in a queue, and the threads that take them.
 *
 *   call ----> credit ----> queue ----> running ----> result ----> the task goes on
 *                 |           |            |
 *                 |           |            `--> abandoned: the task goes on, the job to its end
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
 *    with, so only that one claims it. A job that is abandoned has no wait any more.
 *  - While jobs are queued that may run, a thread works or is coming. Whether that is enough is
 *    asked (growth.h) when a job is queued, when a thread takes one or finds none, and by the loop
 *    that queued it, for as long as it has a task in the pool. So no wake is lost, a burst costs
 *    the loop one wake instead of one per job, and short jobs keep few threads busy. A thread that
 *    is late, because the machine is busy, is not waited for.
 *  - One thread at least lives from before the first job until the pool goes, so each job gets its
 *    turn.
 *  - Each job but a release call holds a credit from admission to its end. There are threads_max +
 *    queue_limit of them: no more than the limit wait beyond those for whom there is a thread.
 */
#ifndef WEIR_POOL_THREAD_H
#define WEIR_POOL_THREAD_H

#include "base/list.h"
#include "core/credit.h"
#include "pool/growth.h"
#include "pool/queue.h"

#include <weir/pool.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

/* A thread more costs about as much to start as half of that (README). */
enum { WEIR__POOL_GROW_AFTER_NS = 200000 };

struct weir__runtime;
struct weir__pool_thread;

struct weir_pool {
    /* Constant. */
    struct weir__runtime *runtime;
    const char *thread_name; /* before their number */
    char name[WEIR_NAME_BYTES];
    bool is_owned; /* by a user, who destroys it */
    unsigned threads_min;
    unsigned threads_max;
    unsigned queue_limit;
    unsigned abandoned_max;
    int64_t idle_ns;
    /* Of the thread that made the pool: a loop that starts a thread may be pinned. */
    cpu_set_t cpus;
    bool has_cpus;

    struct weir__list link; /* in weir__runtime.pools, under its lock */
    struct weir__credits credits;
    atomic_uint started_count; /* threads since the beginning: their names */

    int64_t spin_max_ns; /* 0: its threads never spin */
    /* Hints, by the last look; written under the mutex. */
    atomic_bool at_rest; /* no thread works, comes, or spins */
    atomic_bool crowded; /* more jobs than threads */

    pthread_mutex_t mutex;
    /* Under the mutex. */
    struct weir__job_queue jobs;
    struct weir__growth growth;
    struct weir__list idle;            /* weir__pool_thread.link; the last one slept least */
    int caller_cpu;                    /* of the loop that brought jobs last */
    bool caller_is_alone;              /* it had no other task in a pool then */
    struct weir__pool_thread *spinner; /* the last of them, if it has not gone to sleep yet */
    struct weir__list busy;  /* the same, of those that have a job; the last one began last */
    unsigned coming_count;   /* woken or started, and not yet at the mutex */
    unsigned starting_count; /* of them those started, which may fail */
    int64_t called_ns;       /* when the last of them was */
    int64_t retry_ns;        /* no thread is started before */
    bool stopping;
    bool left;                     /* the runtime is gone; the last thread ends the pool */
    void (*on_end)(void *context); /* then; outside of the mutex */
    void *context;
    struct weir__pool_thread *ended; /* the last one that ended; it has joined those before it */
    pthread_cond_t all_ended;
    struct weir_pool_stats stats; /* what weir__pool_read_stats does not fill in */
};

/* A thread that was found for a queued job, to be woken or started outside of the mutex. */
struct weir__pool_help {
    struct weir__pool_thread *asleep;
    bool start;
};

/* Starts the first thread, unless it was started before. Returns 0, -ENOMEM or -errno of
 * pthread_create(3). */
int weir__pool_start(struct weir_pool *pool);

/* Ends and joins all threads, but those that run an abandoned job: then it returns false, and the
 * last of them will end the pool. */
bool weir__pool_stop(struct weir_pool *pool);

/* No thread is left: frees the pool, and tells whom it was made for. */
void weir__pool_free(struct weir_pool *pool);

/* Under the mutex: an admitted job gets into the queue. */
void weir__pool_put(struct weir_pool *pool, struct weir__job *job, int64_t now_ns);

/* Under the mutex, after each change that may leave jobs without a thread: who is to come. */
struct weir__pool_help weir__pool_find_help(struct weir_pool *pool, int64_t now_ns);

/* Under the mutex: when to ask for help again, if nothing happens meanwhile; INT64_MAX when woken
 * threads come for all jobs. */
int64_t weir__pool_next_look(const struct weir_pool *pool, int64_t now_ns);

/* Outside of the mutex. Returns whether there was anybody to call. */
bool weir__pool_call_help(struct weir_pool *pool, struct weir__pool_help help);

/* Under the mutex: how many jobs wait beyond those for whom there is a thread. */
static inline size_t weir__pool_waiting(const struct weir_pool *pool)
{
    size_t free_count = pool->threads_max - pool->stats.threads_busy;

    return pool->jobs.count > free_count ? pool->jobs.count - free_count : 0;
}

#endif
