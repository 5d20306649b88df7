/* SPDX-License-Identifier: MIT */
/*
 * Pools of threads, for what can only block. The task parks; a thread of the pool runs the
 * function; its result wakes the task. Every runtime has three:
 *
 *   "pool"      for what blocks (other libraries' calls, and weir's own calls on files)
 *   "cpu"       for long computations: one thread per CPU, and no more, as it would gain nothing
 *   "resolver"  for weir_resolve alone
 *
 * and its users make more, each with a name and bounds of its own, so that what blocks on one
 * service does not hold up what blocks on another.
 *
 * A pool has threads_min to threads_max threads. One thread is enough as long as it keeps up: there
 * is another when a job has waited for grow_after_ns and a thread more would help: fewer than two
 * for each CPU work, or the jobs of late slept instead of computing; who is at one job for longer
 * than grow_after_ns does not count. Threads above the minimum end when they were idle for idle_ns.
 *
 * Jobs have the priority of their task (enum weir_priority), or one of their own. Where several
 * wait, the classes get threads by their shares (weir_options.share_latency and so on). Jobs that
 * were said to be slow, and those of the background, together have at most slow_threads_max
 * threads: so they cannot take all of them. Slow is what its caller calls so, and not what ran long
 * before: the same function is fast on one file and slow on the next, and a guess by history would
 * hold back the wrong ones.
 *
 * A job whose deadline passes, or whose task is cancelled, while it is queued never starts, and its
 * task goes on at once. One that runs is waited for, since it uses the caller's memory: unless it
 * was declared abandonable (struct weir_job_options). Queue wait and run time are counted apart.
 * I/O wrappers may not be called from a job (-ENXIO); channels may. Its trace, task-locals and
 * priority are those of its task.
 *
 * Example:
 *     int error = weir_pool_run(resolve_and_parse, &config, weir_in_ms(500));
 *     ...
 *     error = weir_cpu_run(compress, &page, WEIR_FOREVER);
 *     ...
 *     struct weir_pool_options options = { .threads_max = 8, .queue_limit = 100 };
 *     error = weir_pool_create(&database, "database", &options);
 *     ...
 *     error = weir_pool_run_on(database, query, &question, NULL, weir_in_ms(200));
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <weir/task.h>

struct weir_pool;

typedef int weir_pool_fn(void *arg);

/* Zeroed means default. */
struct weir_pool_options {
    size_t size;          /* sizeof(struct weir_pool_options); 0 means the first version's */
    unsigned threads_min; /* from the creation on one, then as jobs come; 0: 1 */
    unsigned threads_max; /* at most 1024; 0: 64, or threads_min if that is more */
    unsigned queue_limit; /* jobs queued beyond those that threads can have; 0: 1024 */
    enum weir_when_full when_full;
    int64_t wait_ns;       /* the queue's own limit under WEIR_WHEN_FULL_EXPIRE; 0: 1 s */
    int64_t idle_ns;       /* an idle thread above the minimum ends after this; 0: 5 s */
    int64_t grow_after_ns; /* a job has waited so long: another thread; 0: 200 us; < 0: at once */
    unsigned slow_threads_max; /* threads for slow and background jobs; 0: half of threads_max */
    unsigned abandoned_max;    /* jobs left running at once; 0: half of threads_max */
    uint64_t reserved[4];      /* must be zero */
};

/* Zeroed means default. */
struct weir_job_options {
    size_t size;        /* sizeof(struct weir_job_options); 0 means the first version's */
    const char *name;   /* for reports; must stay until the call returns; NULL: none */
    bool sets_priority; /* `priority` is the job's; false: its task's */
    enum weir_priority priority;
    bool slow; /* it may take long: takes one of slow_threads_max threads */
    /*
     * When the deadline passes or the task is cancelled while it runs, the call returns at once and
     * leaves it running, to its end, which may be after weir_run has returned. It must use nothing
     * of its caller's, of the scope's or of the runtime's, but what `arg` leads to, and that must
     * be its own: with storage_bytes, fn gets a copy of so many bytes at arg, aligned for any type,
     * and the copy is copied back into arg when the call returns what fn returned; without, arg
     * itself is handed over when the job is left behind. At most abandoned_max of a pool's jobs are
     * left running; beyond that they are waited for, as others are.
     */
    bool abandonable;
    size_t storage_bytes; /* only with abandonable */
    /* On the thread, when an abandoned job has ended: frees what the storage, or arg, leads to. May
     * be NULL. The copy itself is the library's. */
    void (*cleanup)(void *storage);
    /* Set by the call: whether the job was left running, and so all that arg leads to is its own.
     * May be NULL. Nothing else tells: fn may return -ETIME as well. */
    bool *abandoned;
    uint64_t reserved[4]; /* must be zero */
};

enum { WEIR_POOL_WAIT_SLOTS = 24 };

/* Of the jobs of one priority. */
struct weir_pool_class_stats {
    size_t queued; /* waiting now, those included that a thread is coming for */
    uint64_t jobs_run;
    uint64_t jobs_refused;
    uint64_t jobs_expired;
    uint64_t jobs_cancelled;
    uint64_t wait_ns; /* in the queue, sum over jobs run */
    uint64_t wait_max_ns;
};

struct weir_pool_stats {
    unsigned threads;      /* alive now */
    unsigned threads_busy; /* running a job now */
    unsigned threads_max;  /* most ever alive */
    size_t queued;         /* jobs waiting now, beyond those for whom there can be a thread */
    size_t queued_max;     /* most jobs that ever waited */
    uint64_t jobs_run;
    uint64_t jobs_refused;   /* queue full, or no room by the queue's own limit */
    uint64_t jobs_expired;   /* deadline passed in the queue: never started */
    uint64_t jobs_cancelled; /* cancelled in the queue: never started */
    uint64_t wait_ns;        /* in the queue, sum over jobs run */
    uint64_t wait_max_ns;
    uint64_t run_ns; /* sum over jobs run */
    uint64_t run_max_ns;

    char name[WEIR_NAME_BYTES];
    unsigned threads_limit;   /* threads_max of its options */
    size_t queued_limit;      /* queue_limit of its options */
    unsigned slow_busy;       /* threads that run slow or background jobs now */
    unsigned abandoned_now;   /* jobs that run on without their task */
    uint64_t abandoned;       /* and all that ever did */
    uint64_t threads_started; /* since the beginning; what could not be had included */
    uint64_t places_waited;   /* jobs that had to wait for a place in the queue */
    uint64_t place_wait_ns;   /* sum over those */
    /* Jobs run, by queue wait: [0] those below 1 us, [i] those of 2^(i-1) to 2^i us, the last one
     * also all above. */
    uint64_t waits[WEIR_POOL_WAIT_SLOTS];
    struct weir_pool_class_stats classes[WEIR_PRIORITY_COUNT];
    size_t places_waiting;     /* jobs that wait for a place in the queue now */
    size_t places_waiting_max; /* the most that ever did */
    uint64_t reserved[2];
};

/* Gets a pool's figures during weir_pool_walk. */
typedef void weir_pool_visit_fn(const struct weir_pool_stats *stats, void *context);

WEIR_BEGIN

/*
 * Runs fn(arg) on a thread of the runtime's own pool and returns what it returned.
 * Errors of its own: -EBUSY the queue is full (weir_options.pool_when_full); -ETIME, -EAGAIN the
 * deadline passed before the job began; -ECANCELED before it began; -EINVAL; -ENXIO not in a task.
 * Owns: arg stays the caller's, and is in use until the call returns.
 */
WEIR_API int weir_pool_run(weir_pool_fn *fn, void *arg, int64_t deadline_ns) WEIR_SUSPENDS;

/*
 * The same on a pool of one's own, and with options, which may be NULL. A pool of NULL is the
 * runtime's own.
 * Errors of its own: those of weir_pool_run; -ETIME and -ECANCELED also for a job that was left
 * running, see struct weir_job_options; -ENOMEM no storage for an abandonable job.
 */
WEIR_API int weir_pool_run_on(struct weir_pool *pool, weir_pool_fn *fn, void *arg,
                              const struct weir_job_options *options,
                              int64_t deadline_ns) WEIR_SUSPENDS;

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

/*
 * Makes a pool in *pool, with its first thread, for all tasks of the runtime. The name is copied,
 * and is that of no other pool of the runtime; the threads are called after it.
 * Returns 0. Errors: -EINVAL; -E2BIG name of WEIR_NAME_BYTES or more; -EEXIST the name is taken;
 * -EAGAIN no thread can be had; -ENOMEM; -ENXIO not in a task.
 * Owns: the pool is the caller's, until weir_pool_destroy; one that is left when the runtime ends
 * is destroyed then.
 */
WEIR_API WEIR_MUST_CHECK int weir_pool_create(struct weir_pool **pool, const char *name,
                                              const struct weir_pool_options *options);

/*
 * Ends a pool that its owner has no more use for, and waits for its threads: a release call. Jobs
 * that were abandoned, and run on, do not hinder it: the last of them ends what is left of the
 * pool. So does the end of the runtime, which does not wait for abandoned jobs either.
 * Returns 0. Errors: -EBUSY jobs are queued or run, or wait for a place: nothing has changed;
 * -EINVAL NULL, or one of the runtime's own; -ENXIO not in a task.
 */
WEIR_API int weir_pool_destroy(struct weir_pool *pool) WEIR_SUSPENDS;

/*
 * The pool of a name: "pool", "cpu", or one that was created; *pool is valid as long as its owner
 * keeps it, the first two as long as the runtime. Returns 0. Errors: -ENOENT; -EINVAL; -ENXIO not
 * in a task.
 */
WEIR_API WEIR_MUST_CHECK int weir_pool_find(struct weir_pool **pool, const char *name);

/* One reading of a pool. Returns 0, or -EINVAL. */
WEIR_API int weir_pool_read_stats_of(struct weir_pool *pool, struct weir_pool_stats *stats);

/*
 * Visits every pool of the calling task's runtime, its own first, then in the order of creation,
 * under a lock: `visit` may neither suspend nor create or destroy a pool. Returns how many.
 * Errors: -EINVAL; -ENXIO not in a task.
 */
WEIR_API int weir_pool_walk(weir_pool_visit_fn *visit, void *context);

WEIR_END

#endif
