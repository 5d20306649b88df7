/* SPDX-License-Identifier: MIT */
/* The figures of a pool; see stats.h. */
#include "pool/stats.h"

#include "base/exempt.h"
#include "core/loop.h"
#include "pool/pool.h"

#include <errno.h>
#include <string.h>

static void count_max(uint64_t *max, uint64_t value)
{
    if (*max < value)
        *max = value;
}

/* Which of weir_pool_stats.waits it is. */
static unsigned wait_slot(uint64_t wait_ns)
{
    uint64_t us = wait_ns / 1000;
    unsigned slot = us ? 64u - (unsigned)__builtin_clzll(us) : 0;

    return slot < WEIR_POOL_WAIT_SLOTS ? slot : WEIR_POOL_WAIT_SLOTS - 1;
}

void weir__pool_count_run(struct weir_pool *pool, const struct weir__job *job, int64_t now_ns)
{
    struct weir_pool_stats *stats = &pool->stats;
    struct weir_pool_class_stats *class = &stats->classes[job->priority];
    uint64_t wait_ns, run_ns;

    if (job->code < 0) {
        weir__pool_count_expired(pool, job->priority);
        return;
    }
    /* Its thread may have read the clock first, and then waited for the mutex. */
    wait_ns = job->started_ns > job->queued_ns ? (uint64_t)(job->started_ns - job->queued_ns) : 0;
    run_ns = (uint64_t)(now_ns - job->started_ns);
    stats->jobs_run++;
    stats->wait_ns += wait_ns;
    stats->run_ns += run_ns;
    stats->waits[wait_slot(wait_ns)]++;
    count_max(&stats->wait_max_ns, wait_ns);
    count_max(&stats->run_max_ns, run_ns);
    class->jobs_run++;
    class->wait_ns += wait_ns;
    count_max(&class->wait_max_ns, wait_ns);
}

void weir__pool_count_refused(struct weir_pool *pool, enum weir_priority priority)
{
    pool->stats.jobs_refused++;
    pool->stats.classes[priority].jobs_refused++;
}

void weir__pool_count_expired(struct weir_pool *pool, enum weir_priority priority)
{
    pool->stats.jobs_expired++;
    pool->stats.classes[priority].jobs_expired++;
}

void weir__pool_count_cancelled(struct weir_pool *pool, enum weir_priority priority)
{
    pool->stats.jobs_cancelled++;
    pool->stats.classes[priority].jobs_cancelled++;
}

void weir__pool_read_stats(struct weir_pool *pool, struct weir_pool_stats *stats)
{
    weir__exempt_lock(&pool->mutex);
    *stats = pool->stats;
    stats->queued = weir__pool_waiting(pool);
    stats->slow_busy = pool->jobs.slow_busy;
    for (int i = 0; i < WEIR_PRIORITY_COUNT; i++)
        stats->classes[i].queued = pool->jobs.counts[i];
    pthread_mutex_unlock(&pool->mutex);
    memcpy(stats->name, pool->name, sizeof stats->name);
    stats->threads_limit = pool->threads_max;
    stats->queued_limit = pool->queue_limit;
    /* relaxed: a figure */
    stats->threads_started = atomic_load_explicit(&pool->started_count, memory_order_relaxed);
    weir__lock_acquire(&pool->credits.lock);
    stats->places_waited = pool->credits.waited_count;
    stats->place_wait_ns = pool->credits.wait_ns;
    stats->places_waiting = pool->credits.waiting;
    stats->places_waiting_max = pool->credits.waiting_max;
    weir__lock_release(&pool->credits.lock);
}

int weir_pool_read_stats_of(struct weir_pool *pool, struct weir_pool_stats *stats)
{
    if (!pool || !stats)
        return -EINVAL;
    weir__pool_read_stats(pool, stats);
    return 0;
}

int weir_pool_read_stats(struct weir_pool_stats *stats)
{
    if (!stats)
        return -EINVAL;
    if (!weir__loop_current)
        return weir__pool_missing();
    return weir_pool_read_stats_of(weir__loop_current->runtime->pool, stats);
}

int weir_cpu_read_stats(struct weir_pool_stats *stats)
{
    if (!stats)
        return -EINVAL;
    if (!weir__loop_current)
        return weir__pool_missing();
    return weir_pool_read_stats_of(weir__loop_current->runtime->cpu_pool, stats);
}
