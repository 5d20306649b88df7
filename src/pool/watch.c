/* SPDX-License-Identifier: MIT */
/* A loop looks after the jobs of its tasks; see watch.h. */
#include "pool/watch.h"

#include "base/clock.h"
#include "base/exempt.h"
#include "core/loop.h"
#include "core/wait.h"
#include "pool/thread.h"

/* When to look again; INT64_MAX when threads alone see to it. */
static int64_t look_at(struct weir_pool *pool)
{
    struct weir__pool_help help;
    int64_t now_ns = weir__clock_now();
    int64_t next_ns;

    weir__exempt_lock(&pool->mutex);
    help = weir__pool_find_help(pool, now_ns);
    next_ns = weir__pool_next_look(pool, now_ns);
    pthread_mutex_unlock(&pool->mutex);
    weir__pool_call_help(pool, help);
    return next_ns;
}

static void look(struct weir__timer *timer)
{
    struct weir__loop *loop = WEIR_CONTAINER_OF(timer, struct weir__loop, pool_watch);
    struct weir__runtime *runtime = loop->runtime;
    int64_t next_ns = INT64_MAX;

    weir__exempt_lock(&runtime->pools_mutex); /* no pool goes meanwhile */
    for (struct weir__list *link = runtime->pools.next; link != &runtime->pools;
         link = link->next) {
        int64_t look_ns = look_at(WEIR_CONTAINER_OF(link, struct weir_pool, link));

        if (look_ns < next_ns)
            next_ns = look_ns;
    }
    pthread_mutex_unlock(&runtime->pools_mutex);
    if (next_ns != INT64_MAX && loop->pool_job_count > 0)
        weir__pool_watch_at(loop, next_ns);
}

static void deliver(struct weir__loop *loop, struct weir__mail *mail)
{
    (void)mail;
    /* release; pairs with the acquire in weir__pool_watch_ask: the mail may be posted again */
    atomic_store_explicit(&loop->pool_watch_asked, false, memory_order_release);
    look(&loop->pool_watch);
}

struct weir__loop *weir__pool_watch_ask(struct weir_pool *pool)
{
    const struct weir__job *job = weir__job_queue_oldest(&pool->jobs);
    struct weir__loop *loop = job && job->wait ? job->wait->loop : NULL;

    /* acquire; see deliver */
    if (!loop || atomic_exchange_explicit(&loop->pool_watch_asked, true, memory_order_acquire))
        return NULL;
    loop->pool_watch_mail.deliver = deliver;
    return weir__loop_push(loop, &loop->pool_watch_mail) ? loop : NULL;
}

void weir__pool_watch_enter(struct weir__loop *loop)
{
    if (loop->pool_job_count++ == 0)
        weir__timer_init(&loop->pool_watch, look);
}

void weir__pool_watch_at(struct weir__loop *loop, int64_t look_ns)
{
    if (weir__timer_armed(&loop->pool_watch)) {
        if (loop->pool_watch.deadline_ns <= look_ns)
            return;
        weir__timer_disarm(&loop->wheel, &loop->pool_watch);
    }
    weir__timer_arm(&loop->wheel, &loop->pool_watch, look_ns);
}

void weir__pool_watch_leave(struct weir__loop *loop)
{
    if (--loop->pool_job_count == 0)
        weir__timer_disarm(&loop->wheel, &loop->pool_watch);
}
