/* SPDX-License-Identifier: MIT */
/*
 * The pools of a runtime, its own and its users': how they are made, found by name, and ended.
 *
 * All hang in one list under one mutex, which is held while one is looked at by name, by figures or
 * by a loop's watch: so none goes meanwhile. A pool that ends is taken off the list first of all.
 */
#include "base/assert.h"
#include "base/exempt.h"
#include "base/memory.h"
#include "core/loop.h"
#include "core/park.h"
#include "pool/pool.h"
#include "pool/stats.h"
#include "pool/thread.h"

#include <errno.h>
#include <string.h>

#define MS INT64_C(1000000)

enum {
    THREADS_STANDARD = 64,
    THREADS_MOST = 1024,
    QUEUE_STANDARD = 1024,
    QUEUE_MOST = 1 << 26,
    PERCENT = 100,
};

static const struct weir__reason awaits_place = { "place in the queue of a pool",
                                                  WEIR_PHASE_POOL_QUEUE, NULL };

/* --- Making ----------------------------------------------------------------------------------- */

/* Zeroed means default. */
static void fill_unsigned(unsigned *value, unsigned standard)
{
    if (*value == 0)
        *value = standard > 0 ? standard : 1;
}

static void fill_duration(int64_t *value, int64_t standard)
{
    if (*value == 0)
        *value = standard;
}

static void fill(struct weir_pool_options *options)
{
    fill_unsigned(&options->threads_min, 1);
    fill_unsigned(&options->threads_max, options->threads_min > THREADS_STANDARD
                                             ? options->threads_min
                                             : THREADS_STANDARD);
    fill_unsigned(&options->queue_limit, QUEUE_STANDARD);
    fill_unsigned(&options->slow_threads_max, options->threads_max / 2);
    fill_unsigned(&options->abandoned_max, options->threads_max / 2);
    fill_duration(&options->wait_ns, 1000 * MS);
    fill_duration(&options->idle_ns, 5000 * MS);
    fill_duration(&options->grow_after_ns, WEIR__POOL_GROW_AFTER_NS);
}

static int check(const struct weir_pool_options *options)
{
    if (options->size && options->size != sizeof *options)
        return -EINVAL;
    if (options->threads_max > THREADS_MOST || options->queue_limit > QUEUE_MOST)
        return -EINVAL;
    if (options->threads_min > (options->threads_max ? options->threads_max : THREADS_MOST))
        return -EINVAL;
    if (options->when_full > WEIR_WHEN_FULL_EXPIRE || options->wait_ns < 0 || options->idle_ns < 0)
        return -EINVAL;
    for (size_t i = 0; i < sizeof options->reserved / sizeof options->reserved[0]; i++)
        if (options->reserved[i])
            return -EINVAL;
    return 0;
}

/* How many threads may compute at once. Two for each CPU: with one each the kernel leaves two of
 * them on one CPU, and another, which a loop uses now and then, half idle (bench pool-4us: 0.65 of
 * a plain pool's jobs; with two each 0.99). */
static unsigned count_parallel(const struct weir_pool *pool)
{
    int count = pool->has_cpus ? CPU_COUNT(&pool->cpus) : 1;

    return count > 1 ? 2 * (unsigned)count : 2;
}

static void init_credits(struct weir_pool *pool, const struct weir_pool_options *options)
{
    size_t limit = (size_t)pool->threads_max + pool->queue_limit;
    size_t background = limit * pool->runtime->options.background_percent / PERCENT;
    struct weir__shares shares = weir__shares_of(&pool->runtime->options);

    weir__credits_init(&pool->credits, &awaits_place, limit, options->when_full, options->wait_ns);
    weir__credits_share(&pool->credits, &shares, background > 0 ? background : 1);
}

/* A pool without threads, from filled-in options, not yet in the list; NULL without memory. */
static struct weir_pool *make(struct weir__runtime *runtime, const char *name,
                              const struct weir_pool_options *options)
{
    struct weir__shares shares = weir__shares_of(&runtime->options);
    struct weir_pool *pool = weir__memory_zalloc(NULL, sizeof *pool);

    if (!pool)
        return NULL;
    pool->runtime = runtime;
    strcpy(pool->name, name);
    pool->thread_name = pool->name;
    pool->threads_min = options->threads_min;
    pool->threads_max = options->threads_max;
    pool->queue_limit = options->queue_limit;
    pool->abandoned_max = options->abandoned_max;
    pool->idle_ns = options->idle_ns;
    pool->spin_max_ns = runtime->options.spin_max_ns > 0 ? runtime->options.spin_max_ns : 0;
    pool->has_cpus = pthread_getaffinity_np(pthread_self(), sizeof pool->cpus, &pool->cpus) == 0;
    pool->growth.parallel = count_parallel(pool);
    pool->growth.after_ns = options->grow_after_ns > 0 ? options->grow_after_ns : 0;
    init_credits(pool, options);
    weir__job_queue_init(&pool->jobs, &shares, options->slow_threads_max);
    weir__list_init(&pool->link);
    weir__list_init(&pool->idle);
    weir__list_init(&pool->busy);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->all_ended, NULL);
    return pool;
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

/* --- The list --------------------------------------------------------------------------------- */

void weir__pools_init(struct weir__runtime *runtime)
{
    pthread_mutex_init(&runtime->pools_mutex, NULL);
    weir__list_init(&runtime->pools);
}

void weir__pools_term(struct weir__runtime *runtime)
{
    WEIR_ASSERT(weir__list_empty(&runtime->pools));
    pthread_mutex_destroy(&runtime->pools_mutex);
}

/* Under the mutex. */
static struct weir_pool *find(struct weir__runtime *runtime, const char *name)
{
    for (struct weir__list *link = runtime->pools.next; link != &runtime->pools;
         link = link->next) {
        struct weir_pool *pool = WEIR_CONTAINER_OF(link, struct weir_pool, link);

        if (strcmp(pool->name, name) == 0)
            return pool;
    }
    return NULL;
}

static int list(struct weir_pool *pool)
{
    struct weir__runtime *runtime = pool->runtime;
    int error = 0;

    weir__exempt_lock(&runtime->pools_mutex);
    if (find(runtime, pool->name))
        error = -EEXIST;
    else
        weir__list_append(&runtime->pools, &pool->link);
    pthread_mutex_unlock(&runtime->pools_mutex);
    return error;
}

static void unlist(struct weir_pool *pool)
{
    weir__exempt_lock(&pool->runtime->pools_mutex);
    weir__list_unlink(&pool->link);
    pthread_mutex_unlock(&pool->runtime->pools_mutex);
}

void weir__pool_leave(struct weir_pool *pool, void (*on_end)(void *context), void *context)
{
    unlist(pool);
    pool->on_end = on_end;
    pool->context = context;
    if (weir__pool_stop(pool))
        weir__pool_free(pool);
}

/* --- The runtime's own ------------------------------------------------------------------------ */

int weir__pool_create(struct weir__runtime *runtime)
{
    const struct weir_options *options = &runtime->options;
    struct weir_pool_options own = {
        .threads_min = options->pool_threads_min,
        .threads_max = options->pool_threads_max,
        .queue_limit = options->pool_queue_limit,
        .when_full = options->pool_when_full,
        .wait_ns = options->pool_wait_ns,
        .idle_ns = options->pool_idle_ns,
        .grow_after_ns = options->pool_grow_after_ns,
        .slow_threads_max = options->pool_slow_threads_max,
        .abandoned_max = options->pool_abandoned_max,
    };
    struct weir_pool *pool;
    int error;

    fill(&own);
    pool = make(runtime, "pool", &own);
    if (!pool)
        return -ENOMEM;
    pool->thread_name = "weir-pool";
    error = weir__pool_start(pool);
    if (error < 0) {
        weir__pool_free(pool);
        return error;
    }
    runtime->pool = pool;
    return list(pool);
}

int weir__pool_create_cpu(struct weir__runtime *runtime)
{
    const struct weir_options *options = &runtime->options;
    struct weir_pool_options own = {
        .threads_min = options->cpu_threads,
        .threads_max = options->cpu_threads,
        .queue_limit = options->cpu_queue_limit,
        .when_full = options->cpu_when_full,
        .wait_ns = options->cpu_wait_ns,
        .slow_threads_max = options->cpu_threads, /* long is what it is for */
    };
    struct weir_pool *pool;

    fill(&own);
    pool = make(runtime, "cpu", &own);
    if (!pool)
        return -ENOMEM;
    pool->thread_name = "weir-cpu";
    pool->growth.parallel = own.threads_max; /* its size was chosen for the CPUs */
    runtime->cpu_pool = pool;
    return list(pool);
}

int weir__pool_create_resolver(struct weir_pool **out, struct weir__runtime *runtime)
{
    const struct weir_options *options = &runtime->options;
    struct weir_pool_options own = {
        .threads_min = options->resolve_threads_min,
        .threads_max = options->resolve_threads_max,
        .queue_limit = options->resolve_queue_limit,
        .when_full = options->resolve_when_full,
        .wait_ns = options->resolve_wait_ns,
        .idle_ns = options->pool_idle_ns,
        .grow_after_ns = -1, /* a question takes long, and computes nothing */
    };
    struct weir_pool *pool;

    fill(&own);
    pool = make(runtime, "resolver", &own);
    if (!pool)
        return -ENOMEM;
    pool->thread_name = "weir-dns";
    *out = pool;
    return list(pool);
}

/* --- Users' ----------------------------------------------------------------------------------- */

static int check_name(const char *name)
{
    if (!name || !name[0])
        return -EINVAL;
    return strlen(name) >= WEIR_NAME_BYTES ? -E2BIG : 0;
}

int weir_pool_create(struct weir_pool **out, const char *name,
                     const struct weir_pool_options *options)
{
    struct weir_pool_options filled = options ? *options : (struct weir_pool_options){ 0 };
    struct weir__loop *loop = weir__loop_current;
    struct weir_pool *pool;
    int error = out ? check_name(name) : -EINVAL;

    if (error >= 0)
        error = check(&filled);
    if (error < 0)
        return error;
    if (!loop)
        return weir__pool_missing();
    fill(&filled);
    pool = make(loop->runtime, name, &filled);
    if (!pool)
        return -ENOMEM;
    pool->is_owned = true;
    pool->cpus = loop->runtime->pool->cpus; /* the loop may be bound to one */
    pool->has_cpus = loop->runtime->pool->has_cpus;
    pool->growth.parallel = loop->runtime->pool->growth.parallel;
    error = list(pool);
    if (error < 0)
        goto free_pool;
    error = weir__pool_start(pool);
    if (error < 0)
        goto unlist_pool;
    *out = pool;
    return 0;

unlist_pool:
    unlist(pool);
free_pool:
    weir__pool_free(pool);
    return error;
}

/* Whether somebody has a job in it, or wants to. An abandoned job holds a credit to its end. */
static bool is_busy(struct weir_pool *pool)
{
    bool busy;

    weir__exempt_lock(&pool->mutex);
    weir__lock_acquire(&pool->credits.lock);
    busy = pool->jobs.count > 0 || pool->stats.threads_busy > pool->stats.abandoned_now ||
           pool->credits.used > pool->stats.abandoned_now || pool->credits.waiting > 0;
    weir__lock_release(&pool->credits.lock);
    pthread_mutex_unlock(&pool->mutex);
    return busy;
}

/* On a thread of the runtime's own pool: to join threads is to block. */
static int end(void *arg)
{
    weir__pool_leave(arg, NULL, NULL);
    return 0;
}

int weir_pool_destroy(struct weir_pool *pool)
{
    struct weir__loop *loop = weir__loop_current;

    if (!pool || !pool->is_owned)
        return -EINVAL;
    if (!loop)
        return weir__pool_missing();
    if (is_busy(pool))
        return -EBUSY;
    unlist(pool); /* from here on nobody finds it, and its name is free */
    return weir__pool_call_release(loop->runtime->pool, end, pool);
}

void weir__pools_leave_owned(struct weir__runtime *runtime)
{
    struct weir__list *link = runtime->pools.next;

    while (link != &runtime->pools) {
        struct weir_pool *pool = WEIR_CONTAINER_OF(link, struct weir_pool, link);

        link = link->next;
        if (pool->is_owned)
            weir__pool_leave(pool, NULL, NULL);
    }
}

int weir_pool_find(struct weir_pool **out, const char *name)
{
    struct weir__loop *loop = weir__loop_current;
    struct weir_pool *pool;

    if (!out || !name)
        return -EINVAL;
    if (!loop)
        return weir__pool_missing();
    weir__exempt_lock(&loop->runtime->pools_mutex);
    pool = find(loop->runtime, name);
    pthread_mutex_unlock(&loop->runtime->pools_mutex);
    if (!pool ||
        (!pool->is_owned && pool != loop->runtime->pool && pool != loop->runtime->cpu_pool))
        return -ENOENT;
    *out = pool;
    return 0;
}

int weir_pool_walk(weir_pool_visit_fn *visit, void *context)
{
    struct weir__loop *loop = weir__loop_current;
    int count = 0;

    if (!visit)
        return -EINVAL;
    if (!loop)
        return weir__pool_missing();
    weir__exempt_lock(&loop->runtime->pools_mutex);
    for (struct weir__list *link = loop->runtime->pools.next; link != &loop->runtime->pools;
         link = link->next, count++) {
        struct weir_pool_stats stats;

        weir__pool_read_stats(WEIR_CONTAINER_OF(link, struct weir_pool, link), &stats);
        visit(&stats, context);
    }
    pthread_mutex_unlock(&loop->runtime->pools_mutex);
    return count;
}
