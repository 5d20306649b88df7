/* SPDX-License-Identifier: MIT */
/*
 * A pool of threads: the loop's thread puts requests into a queue, a worker does the blocking call
 * and puts the request into the queue of done ones, which the loop takes whole.
 *
 * Each side signals only when the other sleeps, and once; both queues are linked through
 * the requests.
 */
#include "file.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

struct request {
    struct request *next;
    uint64_t offset;
    int64_t result;
    unsigned slot;
};

struct pool {
    struct file_job *job;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t wanted, finished;
    struct request *queue_head, **queue_tail;
    struct request *done;
    unsigned idle_workers;
    bool loop_sleeps;
    bool closing;
};

static int64_t blocking_operation(const struct file_job *job, const struct request *request)
{
    char *buffer = file_buffer(job, request->slot);
    ssize_t moved;

    if (job->kind == FILE_READ_DIRECT || job->kind == FILE_READ_HOT)
        moved = pread(job->fd, buffer, FILE_BLOCK_BYTES, (off_t)request->offset);
    else
        moved = pwrite(job->fd, buffer, FILE_BLOCK_BYTES, (off_t)request->offset);
    if (moved >= 0 && job->kind == FILE_APPEND_FSYNC && fdatasync(job->fd) < 0)
        moved = -1;
    return moved < 0 ? -errno : moved;
}

static void *worker(void *argument)
{
    struct pool *pool = argument;
    struct request *request;

    pthread_mutex_lock(&pool->lock);
    for (;;) {
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
        request->result = blocking_operation(pool->job, request);
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

static void submit(struct pool *pool, struct request *requests)
{
    struct request *request;
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
}

static struct request *take_done(struct pool *pool)
{
    struct request *done;

    pthread_mutex_lock(&pool->lock);
    while (pool->done == NULL) {
        pool->loop_sleeps = true;
        pthread_cond_wait(&pool->finished, &pool->lock);
    }
    pool->loop_sleeps = false;
    done = pool->done;
    pool->done = NULL;
    pthread_mutex_unlock(&pool->lock);
    return done;
}

static void run_loop(struct pool *pool)
{
    struct file_job *job = pool->job;
    struct request requests[FILE_DEPTH_MAX];
    struct request *done, *next = NULL;
    unsigned in_flight = job->depth;

    for (unsigned slot = 0; slot < job->depth; slot++) {
        requests[slot] = (struct request){ next, file_next_offset(job), 0, slot };
        next = &requests[slot];
    }
    submit(pool, next);
    while (in_flight > 0) {
        next = NULL;
        for (done = take_done(pool); done != NULL;) {
            struct request *request = done;
            done = request->next;
            file_check(request->result, "a block in the pool");
            in_flight--;
            if (!meter_count(&job->meter))
                continue;
            request->offset = file_next_offset(job);
            request->next = next;
            next = request;
            in_flight++;
        }
        submit(pool, next);
    }
}

void threads_file(struct file_job *job)
{
    struct pool pool = {
        .job = job,
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .wanted = PTHREAD_COND_INITIALIZER,
        .finished = PTHREAD_COND_INITIALIZER,
    };
    pthread_t threads[FILE_THREADS_MAX];

    pool.queue_tail = &pool.queue_head;
    for (unsigned thread = 0; thread < job->threads; thread++)
        trial_check(-pthread_create(&threads[thread], NULL, worker, &pool), "pthread_create");
    run_loop(&pool);
    pthread_mutex_lock(&pool.lock);
    pool.closing = true;
    pthread_cond_broadcast(&pool.wanted);
    pthread_mutex_unlock(&pool.lock);
    for (unsigned thread = 0; thread < job->threads; thread++)
        pthread_join(threads[thread], NULL);
}
