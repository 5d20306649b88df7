/* SPDX-License-Identifier: MIT */
/* The pool's verbs: admission, the queue as the waiting task sees it, figures; see thread.h for
 * what holds. */
#include "pool/pool.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/memory.h"
#include "core/loop.h"
#include "core/park.h"
#include "pool/thread.h"

#include <errno.h>

/* Takes a job off the queue, for that reason; false when a thread has it. */
static bool take_back(struct weir_pool *pool, struct weir__job *job, int reason)
{
    bool queued;

    pthread_mutex_lock(&pool->mutex);
    queued = !weir__list_empty(&job->link);
    if (queued) {
        weir__list_unlink(&job->link);
        pool->job_count--;
        if (reason == -ETIME)
            pool->stats.jobs_expired++;
        else
            pool->stats.jobs_cancelled++;
    }
    pthread_mutex_unlock(&pool->mutex);
    if (queued)
        weir__credits_give(&pool->credits);
    return queued;
}

/* Home loop: the job is taken back, unless a thread has it: then its result is waited for. */
static void leave_queue(struct weir__wait *wait, int reason)
{
    struct weir__job *job = wait->subject;
    bool fired;

    if (job->is_release || !take_back(job->pool, job, reason))
        return;
    fired = weir__wait_fire(wait, reason);
    WEIR_ASSERT(fired);
}

/* An admitted job gets into the queue, and a thread for it is called. */
static void enqueue(struct weir_pool *pool, struct weir__job *job)
{
    struct weir__pool_help help;
    size_t waiting_count;

    job->pool = pool;
    job->queued_ns = weir__clock_now();
    pthread_mutex_lock(&pool->mutex);
    weir__list_append(&pool->jobs, &job->link);
    pool->job_count++;
    waiting_count = weir__pool_waiting(pool);
    if (pool->stats.queued_max < waiting_count)
        pool->stats.queued_max = waiting_count;
    help = weir__pool_find_help(pool, job->queued_ns);
    pthread_mutex_unlock(&pool->mutex);
    weir__pool_call_help(pool, help);
}

static const struct weir__reason awaits_job = { "pool job", WEIR_PHASE_POOL_QUEUE, NULL };

/* From an admitted job to its result. */
static int run_job(struct weir_pool *pool, struct weir__job *job, unsigned park_flags)
{
    int code;

    job->wait = weir__wait_self();
    job->inherited = weir__inherited_self();
    weir__wait_begin(job->wait, &awaits_job, job);
    job->wait->interrupt = leave_queue;
    job->wait->subject = job;
    enqueue(pool, job);
    code = weir__wait_park(job->wait, job->deadline_ns, park_flags);
    return code < 0 ? code : job->result;
}

/* A job that got no credit never was in the queue, but waited for it. */
static void count_unadmitted(struct weir_pool *pool, int error, int64_t deadline_ns)
{
    bool expired = error == -ETIME && deadline_ns <= weir__clock_now();

    pthread_mutex_lock(&pool->mutex);
    if (expired)
        pool->stats.jobs_expired++;
    else if (error == -ECANCELED)
        pool->stats.jobs_cancelled++;
    else
        pool->stats.jobs_refused++;
    pthread_mutex_unlock(&pool->mutex);
}

int weir__pool_admit(struct weir_pool *pool, int64_t deadline_ns)
{
    int error = weir__wait_refuse(deadline_ns);

    if (error < 0)
        return error;
    error = weir__credits_take(&pool->credits, deadline_ns);
    if (error < 0)
        count_unadmitted(pool, error, deadline_ns);
    return error;
}

void weir__pool_post(struct weir_pool *pool, struct weir__job *job)
{
    job->inherited = &weir__inherited_nothing;
    job->deadline_ns = WEIR_FOREVER;
    enqueue(pool, job);
}

bool weir__pool_withdraw(struct weir__job *job)
{
    return take_back(job->pool, job, -ECANCELED);
}

int weir__pool_call(struct weir_pool *pool, weir_pool_fn *fn, void *arg, int64_t deadline_ns)
{
    struct weir__job job = { .fn = fn, .arg = arg, .deadline_ns = deadline_ns };
    int error = weir__wait_check();

    if (error >= 0)
        error = weir__pool_admit(pool, deadline_ns);
    if (error < 0) {
        weir__wait_settle(NULL); /* who tries again and again starves nobody */
        return error;
    }
    return run_job(pool, &job, WEIR__PARK_CANCELLABLE);
}

int weir__pool_call_release(struct weir_pool *pool, weir_pool_fn *fn, void *arg)
{
    struct weir__job job = {
        .fn = fn,
        .arg = arg,
        .is_release = true,
        .deadline_ns = WEIR_FOREVER,
    };

    return run_job(pool, &job, WEIR__PARK_RELEASE);
}

/* Why the caller has no pool. */
static int no_pool(void)
{
    return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
}

int weir_pool_run(weir_pool_fn *fn, void *arg, int64_t deadline_ns)
{
    struct weir__loop *loop = weir__loop_current;

    if (!fn)
        return -EINVAL;
    return loop ? weir__pool_call(loop->runtime->pool, fn, arg, deadline_ns) : no_pool();
}

int weir_cpu_run(weir_pool_fn *fn, void *arg, int64_t deadline_ns)
{
    struct weir__loop *loop = weir__loop_current;
    int error;

    if (!fn)
        return -EINVAL;
    error = loop ? weir__pool_start(loop->runtime->cpu_pool) : no_pool();
    return error < 0 ? error : weir__pool_call(loop->runtime->cpu_pool, fn, arg, deadline_ns);
}

bool weir__pool_is_crowded(const struct weir_pool *pool)
{
    /* relaxed: a hint */
    return atomic_load_explicit(&pool->crowded, memory_order_relaxed);
}

void weir__pool_read_stats(struct weir_pool *pool, struct weir_pool_stats *stats)
{
    pthread_mutex_lock(&pool->mutex);
    *stats = pool->stats;
    stats->queued = weir__pool_waiting(pool);
    pthread_mutex_unlock(&pool->mutex);
}

int weir_pool_read_stats(struct weir_pool_stats *stats)
{
    struct weir__loop *loop = weir__loop_current;

    if (!stats)
        return -EINVAL;
    if (!loop)
        return no_pool();
    weir__pool_read_stats(loop->runtime->pool, stats);
    return 0;
}

int weir_cpu_read_stats(struct weir_pool_stats *stats)
{
    struct weir__loop *loop = weir__loop_current;

    if (!stats)
        return -EINVAL;
    if (!loop)
        return no_pool();
    weir__pool_read_stats(loop->runtime->cpu_pool, stats);
    return 0;
}

static const struct weir__reason awaits_place = { "place in the queue of a pool",
                                                  WEIR_PHASE_POOL_QUEUE, NULL };

/* A pool without threads; the caller sets how many there may be, and how they are named. */
static struct weir_pool *make(unsigned threads_max, unsigned queue_limit,
                              enum weir_when_full when_full, int64_t wait_ns)
{
    struct weir_pool *pool = weir__memory_zalloc(NULL, sizeof *pool);

    if (!pool)
        return NULL;
    pool->threads_max = threads_max;
    pool->has_cpus = pthread_getaffinity_np(pthread_self(), sizeof pool->cpus, &pool->cpus) == 0;
    weir__credits_init(&pool->credits, &awaits_place, (size_t)threads_max + queue_limit, when_full,
                       wait_ns);
    weir__list_init(&pool->jobs);
    weir__list_init(&pool->idle);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->all_ended, NULL);
    return pool;
}

int weir__pool_create(struct weir_pool **out, const struct weir_options *options)
{
    struct weir_pool *pool = make(options->pool_threads_max, options->pool_queue_limit,
                                  options->pool_when_full, options->pool_wait_ns);
    int error;

    if (!pool)
        return -ENOMEM;
    pool->name = "weir-pool";
    pool->threads_min = options->pool_threads_min;
    pool->idle_ns = options->pool_idle_ns;
    error = weir__pool_start(pool);
    if (error < 0)
        weir__pool_destroy(pool);
    else
        *out = pool;
    return error;
}

int weir__pool_create_cpu(struct weir_pool **out, const struct weir_options *options)
{
    struct weir_pool *pool = make(options->cpu_threads, options->cpu_queue_limit,
                                  options->cpu_when_full, options->cpu_wait_ns);

    if (!pool)
        return -ENOMEM;
    pool->name = "weir-cpu";
    pool->threads_min = options->cpu_threads;
    *out = pool;
    return 0;
}

int weir__pool_create_resolver(struct weir_pool **out, const struct weir_options *options)
{
    struct weir_pool *pool = make(options->resolve_threads_max, options->resolve_queue_limit,
                                  options->resolve_when_full, options->resolve_wait_ns);

    if (!pool)
        return -ENOMEM;
    pool->name = "weir-dns";
    pool->threads_min = options->resolve_threads_min;
    pool->idle_ns = options->pool_idle_ns;
    *out = pool;
    return 0;
}

void weir__pool_free(struct weir_pool *pool)
{
    void (*on_end)(void *context) = pool->on_end;
    void *context = pool->context;

    pthread_cond_destroy(&pool->all_ended);
    pthread_mutex_destroy(&pool->mutex);
    weir__memory_free(pool);
    if (on_end)
        on_end(context);
}

void weir__pool_destroy(struct weir_pool *pool)
{
    weir__pool_stop(pool, false);
    weir__pool_free(pool);
}

void weir__pool_leave(struct weir_pool *pool, void (*on_end)(void *context), void *context)
{
    pool->on_end = on_end;
    pool->context = context;
    if (weir__pool_stop(pool, true))
        weir__pool_free(pool);
}
