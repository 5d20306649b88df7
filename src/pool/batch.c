/* SPDX-License-Identifier: MIT */
/* What a loop hands over in one turn; see batch.h. */
#include "pool/batch.h"

#include "base/clock.h"
#include "base/exempt.h"
#include "core/loop.h"
#include "pool/thread.h"
#include "pool/watch.h"

enum { BATCH_MAX = 16 };

static struct weir__job *first(const struct weir__loop *loop)
{
    if (weir__list_empty(&loop->pool_batch))
        return NULL;
    return WEIR_CONTAINER_OF(loop->pool_batch.next, struct weir__job, link);
}

void weir__pool_batch_remove(struct weir__loop *loop, struct weir__job *job)
{
    weir__list_unlink(&job->link);
    job->gathered = false;
    loop->pool_batch_count--;
}

/* Sends the oldest and those right after it that are for the same pool. */
static void send_to_one(struct weir__loop *loop)
{
    struct weir__job *job = first(loop);
    struct weir_pool *pool = job->pool;
    struct weir__pool_help help;
    int64_t now_ns = weir__clock_now();
    int64_t look_ns;

    weir__exempt_lock(&pool->mutex);
    do {
        weir__pool_batch_remove(loop, job);
        weir__pool_put(pool, job, now_ns);
        job = first(loop);
    } while (job && job->pool == pool);
    pool->caller_cpu = sched_getcpu();
    pool->caller_is_alone = loop->pool_job_count == 1;
    help = weir__pool_find_help(pool, now_ns);
    look_ns = weir__pool_next_look(pool, now_ns);
    pthread_mutex_unlock(&pool->mutex);
    weir__pool_call_help(pool, help);
    if (look_ns != INT64_MAX)
        weir__pool_watch_at(loop, look_ns);
}

void weir__pool_batch_send(struct weir__loop *loop)
{
    while (loop->pool_batch_count > 0)
        send_to_one(loop);
}

/* The turn is over. */
static void deliver(struct weir__loop *loop, struct weir__mail *mail)
{
    (void)mail;
    loop->pool_batch_posted = false;
    weir__pool_batch_send(loop);
}

void weir__pool_batch_add(struct weir__loop *loop, struct weir__job *job)
{
    job->gathered = true;
    weir__list_append(&loop->pool_batch, &job->link);
    loop->pool_batch_count++;
    /* relaxed: a hint */
    if (loop->pool_batch_count == BATCH_MAX ||
        atomic_load_explicit(&job->pool->at_rest, memory_order_relaxed)) {
        weir__pool_batch_send(loop);
    } else if (!loop->pool_batch_posted) {
        loop->pool_batch_posted = true;
        loop->pool_batch_mail.deliver = deliver;
        weir__loop_post(loop, &loop->pool_batch_mail);
    }
}
