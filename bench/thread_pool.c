/* SPDX-License-Identifier: MIT */
/*
 * The loop's thread puts requests into a queue, a worker does the blocking calls and puts the
 * request into the queue of done ones, which the loop takes whole.
 *
 * Each side signals only when the other sleeps, and once; both queues are linked through
 * the requests. Who may spin looks at the queue for a while, without the lock, before it sleeps.
 */
#include "thread_pool.h"

#include "bench.h"
#include "measure.h"

#include <pthread.h>

enum { SPIN_CHECK = 16 };

struct pool {
    const struct pool_work *work;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t wanted, finished;
    struct pool_request *queue_head, **queue_tail;
    struct pool_request *done;
    unsigned idle_workers;
    bool loop_sleeps;
    bool closing;
};

/* With the lock held, which is free meanwhile; not beyond latest_ns, unless that is 0. */
static void spin(struct pool *pool, struct pool_request **queue, uint64_t latest_ns)
{
    uint64_t until_ns;

    if (pool->work->spin_ns == 0 || *queue != NULL || pool->closing)
        return;
    pthread_mutex_unlock(&pool->lock);
    until_ns = now_ns() + pool->work->spin_ns;
    if (latest_ns != 0 && latest_ns < until_ns)
        until_ns = latest_ns;
    do {
        for (int look = 0; look < SPIN_CHECK && until_ns != 0; look++) {
            if (__atomic_load_n(queue, __ATOMIC_RELAXED) != NULL)
                until_ns = 0;
            CPU_RELAX();
        }
    } while (now_ns() < until_ns);
    pthread_mutex_lock(&pool->lock);
}

static void *worker(void *argument)
{
    struct pool *pool = argument;
    struct pool_request *request;

    pthread_mutex_lock(&pool->lock);
    for (;;) {
        spin(pool, &pool->queue_head, 0);
        while (pool->queue_head == NULL && !pool->closing) {
            pool->idle_workers++;
            pthread_cond_wait(&pool->wanted, &pool->lock);
            pool->idle_workers--;
        }
        request = pool->queue_head;
        if (request == NULL)
            break;
        pool->queue_head = request->next;
        if (pool->queue_head == NULL)
            pool->queue_tail = &pool->queue_head;
        pthread_mutex_unlock(&pool->lock);
        pool->work->operate(pool->work->job, request);
        pthread_mutex_lock(&pool->lock);
        request->next = pool->done;
        pool->done = request;
        if (pool->loop_sleeps) {
            pool->loop_sleeps = false;
            pthread_cond_signal(&pool->finished);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Returns how many there were. */
static unsigned submit(struct pool *pool, struct pool_request *requests)
{
    struct pool_request *request;
    unsigned count = 0;

    pthread_mutex_lock(&pool->lock);
    while ((request = requests) != NULL) {
        requests = request->next;
        request->next = NULL;
        *pool->queue_tail = request;
        pool->queue_tail = &request->next;
        if (count++ < pool->idle_workers)
            pthread_cond_signal(&pool->wanted);
    }
    pthread_mutex_unlock(&pool->lock);
    return count;
}

/* Waits for the first, or until then; 0: as long as it takes. */
static struct pool_request *take_done(struct pool *pool, uint64_t until_ns)
{
    struct timespec until = { .tv_sec = (time_t)(until_ns / NS_PER_S),
                              .tv_nsec = (long)(until_ns % NS_PER_S) };
    struct pool_request *done;
    int error = 0;

    pthread_mutex_lock(&pool->lock);
    spin(pool, &pool->done, until_ns);
    while (pool->done == NULL && error == 0) {
        pool->loop_sleeps = true;
        if (until_ns == 0)
            error = pthread_cond_wait(&pool->finished, &pool->lock);
        else
            error = pthread_cond_clockwait(&pool->finished, &pool->lock, CLOCK_MONOTONIC, &until);
    }
    pool->loop_sleeps = false;
    done = pool->done;
    pool->done = NULL;
    pthread_mutex_unlock(&pool->lock);
    return done;
}

static void run_loop(struct pool *pool, struct pool_request *requests)
{
    unsigned in_flight = submit(pool, requests);
    uint64_t due_ns = 0;

    if (pool->work->arrive != NULL)
        in_flight += submit(pool, pool->work->arrive(pool->work->job, &due_ns));
    while (in_flight > 0 || due_ns != 0) {
        struct pool_request *next = NULL, *done = take_done(pool, due_ns);

        while (done != NULL) {
            struct pool_request *request = done;
            done = request->next;
            in_flight--;
            if (!pool->work->finish(pool->work->job, request))
                continue;
            request->next = next;
            next = request;
        }
        in_flight += submit(pool, next);
        if (due_ns != 0)
            in_flight += submit(pool, pool->work->arrive(pool->work->job, &due_ns));
    }
}

void thread_pool_run(const struct pool_work *work, unsigned threads, struct pool_request *requests)
{
    struct pool pool = {
        .work = work,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .wanted = PTHREAD_COND_INITIALIZER,
        .finished = PTHREAD_COND_INITIALIZER,
    };
    pthread_t handles[THREAD_POOL_MAX];

    pool.queue_tail = &pool.queue_head;
    for (unsigned thread = 0; thread < threads; thread++)
        trial_check(-pthread_create(&handles[thread], NULL, worker, &pool), "pthread_create");
    run_loop(&pool, requests);
    pthread_mutex_lock(&pool.lock);
    pool.closing = true;
    pthread_cond_broadcast(&pool.wanted);
    pthread_mutex_unlock(&pool.lock);
    for (unsigned thread = 0; thread < threads; thread++)
        pthread_join(handles[thread], NULL);
}
