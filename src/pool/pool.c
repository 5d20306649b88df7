/* SPDX-License-Identifier: MIT */
/* The pool's verbs: admission, the queue as the waiting task sees it, figures; see thread.h for
 * what holds. */
#include "pool/pool.h"

#include "base/assert.h"
#include "base/clock.h"
#include "base/exempt.h"
#include "base/memory.h"
#include "core/local.h"
#include "core/loop.h"
#include "core/park.h"
#include "pool/batch.h"
#include "pool/stats.h"
#include "pool/thread.h"
#include "pool/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What became of a job whose task wants to go. */
enum leaving {
    TAKEN_BACK, /* never started */
    LEFT,       /* abandoned */
    STAYED,     /* it is waited for */
};

/* A task that waits for its job; in its frame. */
struct stay {
    struct weir__job *job;
    enum leaving leaving;
};

/* Under the mutex: a job was taken back before it began, for that reason. */
static void count_taken_back(struct weir_pool *pool, const struct weir__job *job, int reason)
{
    if (reason == -ETIME)
        weir__pool_count_expired(pool, job->priority);
    else
        weir__pool_count_cancelled(pool, job->priority);
}

/* Under the mutex: leaves a running job to its thread, if it and the pool's bound allow it. */
static bool abandon(struct weir_pool *pool, struct weir__job *job)
{
    if (!job->is_own || pool->stats.abandoned_now >= pool->abandoned_max)
        return false;
    job->abandoned = true;
    pool->stats.abandoned++;
    pool->stats.abandoned_now++;
    return true;
}

static enum leaving try_to_leave(struct weir__job *job, int reason)
{
    struct weir_pool *pool = job->pool;
    enum weir_priority priority = job->priority;
    enum leaving leaving = STAYED;

    if (atomic_load_explicit(&job->over, memory_order_relaxed)) /* see finish */
        return STAYED;
    weir__exempt_lock(&pool->mutex);
    if (job->gathered) {
        weir__pool_batch_remove(weir__loop_current, job);
        count_taken_back(pool, job, reason);
        leaving = TAKEN_BACK;
    } else if (job->state == WEIR__JOB_QUEUED) {
        weir__job_queue_remove(&pool->jobs, job);
        count_taken_back(pool, job, reason);
        leaving = TAKEN_BACK;
    } else if (job->state == WEIR__JOB_RUNNING && abandon(pool, job)) {
        leaving = LEFT; /* the job may be gone as soon as the mutex is free */
    }
    pthread_mutex_unlock(&pool->mutex);
    if (leaving == TAKEN_BACK)
        weir__credits_give_as(&pool->credits, priority);
    return leaving;
}

static const struct weir__reason awaits_end = { "pool job that runs", WEIR_PHASE_POOL, NULL };

/* Home loop: the task wants to go. A cancel may come when it is about to go at its deadline. */
static void leave(struct weir__wait *wait, int reason)
{
    struct stay *stay = wait->subject;
    bool fired;

    if (stay->leaving != STAYED || stay->job->is_release)
        return;
    stay->leaving = try_to_leave(stay->job, reason);
    if (stay->leaving == STAYED)
        return;
    if (stay->leaving == LEFT)
        wait->reason = &awaits_end; /* what the deadline was spent on */
    fired = weir__wait_fire(wait, reason);
    WEIR_ASSERT(fired);
}

void weir__pool_put(struct weir_pool *pool, struct weir__job *job, int64_t now_ns)
{
    size_t waiting_count;

    job->queued_ns = now_ns;
    weir__job_queue_put(&pool->jobs, job);
    waiting_count = weir__pool_waiting(pool);
    if (pool->stats.queued_max < waiting_count)
        pool->stats.queued_max = waiting_count;
}

static void describe(const void *object, char *text, size_t bytes)
{
    const struct weir__job *job = object;
    bool running;

    if (atomic_load_explicit(&job->over, memory_order_relaxed)) { /* see finish */
        snprintf(text, bytes, "%s%sended", job->name ? job->name : "", job->name ? ", " : "");
        return;
    }
    weir__exempt_lock(&job->pool->mutex);
    running = job->state != WEIR__JOB_QUEUED;
    pthread_mutex_unlock(&job->pool->mutex);
    snprintf(text, bytes, "%s%s%s pool \"%s\"", job->name ? job->name : "", job->name ? ", " : "",
             running ? "running in" : "queued in", job->pool->name);
}

static const struct weir__reason awaits_job = { "pool job", WEIR_PHASE_POOL_QUEUE, describe };

/* From an admitted job to its result, or until its task leaves. */
static int run_job(struct weir_pool *pool, struct stay *stay, unsigned park_flags)
{
    struct weir__loop *loop = weir__loop_current;
    struct weir__job *job = stay->job;
    struct weir__wait *wait = weir__wait_self();
    int64_t deadline_ns = job->deadline_ns;
    int code;

    job->wait = wait;
    job->pool = pool;
    stay->leaving = STAYED;
    weir__wait_begin(wait, &awaits_job, job);
    wait->interrupt = leave;
    wait->subject = stay;
    weir__pool_watch_enter(loop);
    weir__pool_batch_add(loop, job);
    code = weir__wait_park(wait, deadline_ns, park_flags);
    weir__pool_watch_leave(loop);
    return code < 0 ? code : job->result;
}

/* A job that got no credit never was in the queue, but waited for it. */
static void count_unadmitted(struct weir_pool *pool, enum weir_priority priority, int error,
                             int64_t deadline_ns)
{
    bool expired = error == -ETIME && deadline_ns <= weir__clock_now();

    weir__exempt_lock(&pool->mutex);
    if (expired)
        weir__pool_count_expired(pool, priority);
    else if (error == -ECANCELED)
        weir__pool_count_cancelled(pool, priority);
    else
        weir__pool_count_refused(pool, priority);
    pthread_mutex_unlock(&pool->mutex);
}

static int admit(struct weir_pool *pool, enum weir_priority priority, int64_t deadline_ns)
{
    int error = weir__wait_refuse(deadline_ns);

    if (error < 0)
        return error;
    error = weir__credits_take_as(&pool->credits, priority, deadline_ns);
    if (error < 0)
        count_unadmitted(pool, priority, error, deadline_ns);
    return error;
}

int weir__pool_admit(struct weir_pool *pool, int64_t deadline_ns)
{
    return admit(pool, WEIR_PRIORITY_NORMAL, deadline_ns);
}

void weir__pool_give_up(struct weir_pool *pool)
{
    weir__credits_give_as(&pool->credits, WEIR_PRIORITY_NORMAL);
}

void weir__pool_post(struct weir_pool *pool, struct weir__job *job)
{
    struct weir__pool_help help;
    int64_t now_ns = weir__clock_now();

    job->inherited = &weir__inherited_nothing;
    job->deadline_ns = WEIR_FOREVER;
    job->pool = pool;
    weir__exempt_lock(&pool->mutex);
    weir__pool_put(pool, job, now_ns); /* a thread may have it as soon as the mutex is free */
    help = weir__pool_find_help(pool, now_ns);
    pthread_mutex_unlock(&pool->mutex);
    weir__pool_call_help(pool, help);
}

bool weir__pool_withdraw(struct weir__job *job)
{
    return try_to_leave(job, -ECANCELED) == TAKEN_BACK;
}

/* Before anything else: whether the job may go into the queue at all. */
static int enter(struct weir_pool *pool, const struct weir__job *job)
{
    int error = weir__wait_check();

    if (error >= 0)
        error = admit(pool, job->priority, job->deadline_ns);
    if (error < 0)
        weir__wait_settle(NULL); /* who tries again and again starves nobody */
    return error;
}

static void set_priority(struct weir__job *job, enum weir_priority priority, bool slow)
{
    job->priority = priority;
    job->is_slow = slow || priority == WEIR_PRIORITY_BACKGROUND;
}

int weir__pool_call(struct weir_pool *pool, weir_pool_fn *fn, void *arg, int64_t deadline_ns)
{
    struct weir__inherited *inherited = weir__inherited_self();
    struct weir__job job = {
        .fn = fn, .arg = arg, .inherited = inherited, .deadline_ns = deadline_ns
    };
    struct stay stay = { .job = &job };
    int error;

    set_priority(&job, inherited->priority, false);
    error = enter(pool, &job);
    return error < 0 ? error : run_job(pool, &stay, WEIR__PARK_CANCELLABLE);
}

int weir__pool_call_release(struct weir_pool *pool, weir_pool_fn *fn, void *arg)
{
    struct weir__inherited *inherited = weir__inherited_self();
    struct weir__job job = {
        .fn = fn,
        .arg = arg,
        .inherited = inherited,
        .is_release = true,
        .deadline_ns = WEIR_FOREVER,
    };
    struct stay stay = { .job = &job };

    set_priority(&job, inherited->priority, false);
    return run_job(pool, &stay, WEIR__PARK_RELEASE);
}

int weir__pool_missing(void)
{
    return weir__loop_forked ? -EOWNERDEAD : -ENXIO;
}

int weir_pool_run(weir_pool_fn *fn, void *arg, int64_t deadline_ns)
{
    struct weir__loop *loop = weir__loop_current;

    if (!fn)
        return -EINVAL;
    if (!loop)
        return weir__pool_missing();
    return weir__pool_call(loop->runtime->pool, fn, arg, deadline_ns);
}

int weir_cpu_run(weir_pool_fn *fn, void *arg, int64_t deadline_ns)
{
    struct weir__loop *loop = weir__loop_current;
    int error;

    if (!fn)
        return -EINVAL;
    error = loop ? weir__pool_start(loop->runtime->cpu_pool) : weir__pool_missing();
    return error < 0 ? error : weir__pool_call(loop->runtime->cpu_pool, fn, arg, deadline_ns);
}

/* --- Jobs with options ------------------------------------------------------------------------ */

static int check_job(const struct weir_job_options *options)
{
    if (options->size && options->size != sizeof *options)
        return -EINVAL;
    if (options->priority >= WEIR_PRIORITY_COUNT)
        return -EINVAL;
    if (!options->abandonable && (options->storage_bytes || options->cleanup))
        return -EINVAL;
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return -EINVAL;
    return 0;
}

static void set_options(struct weir__job *job, const struct weir_job_options *options)
{
    job->name = options->name;
    set_priority(job, options->sets_priority ? options->priority : job->inherited->priority,
                 options->slow);
}

/* The job of a task that may leave it behind, all of it in one block; NULL without memory. */
static struct weir__own_job *make_own(weir_pool_fn *fn, void *arg,
                                      const struct weir_job_options *options, int64_t deadline_ns)
{
    struct weir__own_job *own;
    size_t bytes;

    if (__builtin_add_overflow(sizeof *own, options->storage_bytes, &bytes))
        return NULL;
    own = weir__memory_alloc(NULL, bytes);
    if (!own)
        return NULL;
    own->inherited = weir__inherited_nothing;
    weir__inherited_replace(&own->inherited, weir__inherited_self());
    own->job = (struct weir__job){
        .fn = fn,
        .arg = options->storage_bytes ? own->storage : arg,
        .cleanup = options->cleanup,
        .inherited = &own->inherited,
        .is_own = true,
        .deadline_ns = deadline_ns,
    };
    set_options(&own->job, options);
    if (options->storage_bytes)
        memcpy(own->storage, arg, options->storage_bytes);
    return own;
}

void weir__job_free_own(struct weir__own_job *own)
{
    weir__inherited_replace(&own->inherited, &weir__inherited_nothing);
    weir__memory_free(own);
}

static int run_own(struct weir_pool *pool, weir_pool_fn *fn, void *arg,
                   const struct weir_job_options *options, int64_t deadline_ns)
{
    struct weir__own_job *own = make_own(fn, arg, options, deadline_ns);
    struct stay stay;
    int result;

    if (!own)
        return -ENOMEM;
    stay.job = &own->job;
    result = enter(pool, &own->job);
    if (result >= 0) {
        result = run_job(pool, &stay, WEIR__PARK_CANCELLABLE);
        if (stay.leaving == LEFT) {
            if (options->abandoned)
                *options->abandoned = true;
            return result;
        }
        if (options->storage_bytes && own->job.state == WEIR__JOB_DONE)
            memcpy(arg, own->storage, options->storage_bytes);
    }
    weir__job_free_own(own);
    return result;
}

int weir_pool_run_on(struct weir_pool *pool, weir_pool_fn *fn, void *arg,
                     const struct weir_job_options *options, int64_t deadline_ns)
{
    struct weir__loop *loop = weir__loop_current;
    struct weir__job job = { .fn = fn, .arg = arg, .deadline_ns = deadline_ns };
    struct stay stay = { .job = &job };
    int error = options ? check_job(options) : 0;

    if (!fn || error < 0 || (options && options->storage_bytes && !arg))
        return -EINVAL;
    if (options && options->abandoned)
        *options->abandoned = false;
    if (!loop)
        return weir__pool_missing();
    if (!pool)
        pool = loop->runtime->pool;
    if (pool == loop->runtime->cpu_pool) /* it may have no thread yet */
        error = weir__pool_start(pool);
    if (error < 0)
        return error;
    if (!options)
        return weir__pool_call(pool, fn, arg, deadline_ns);
    if (options->abandonable)
        return run_own(pool, fn, arg, options, deadline_ns);
    job.inherited = weir__inherited_self();
    set_options(&job, options);
    error = enter(pool, &job);
    return error < 0 ? error : run_job(pool, &stay, WEIR__PARK_CANCELLABLE);
}

bool weir__pool_is_crowded(const struct weir_pool *pool)
{
    /* relaxed: a hint */
    return atomic_load_explicit(&pool->crowded, memory_order_relaxed);
}
