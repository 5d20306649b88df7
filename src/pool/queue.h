/* SPDX-License-Identifier: MIT */
/*
 * The jobs of a pool that wait for a thread, all under its mutex.
 *
 * Of those that may run now, the class whose turn it is (core/priority.h) gets the thread, and in a
 * class the oldest. A job that is slow, as all of the background are, may run only while fewer than
 * slow_max of them do: so long jobs leave threads to the others, whatever their number.
 */
#ifndef WEIR_POOL_QUEUE_H
#define WEIR_POOL_QUEUE_H

#include "core/priority.h"
#include "pool/job.h"

struct weir__job_queue {
    unsigned slow_max; /* constant, at least 1 */
    unsigned slow_busy;
    size_t count; /* of all that wait */
    size_t slow_count;
    size_t counts[WEIR_PRIORITY_COUNT];
    struct weir__shares shares;
    struct weir__list quick[WEIR_PRIORITY_COUNT]; /* weir__job.link, the oldest first */
    struct weir__list slow[WEIR_PRIORITY_COUNT];
};

void weir__job_queue_init(struct weir__job_queue *queue, const struct weir__shares *shares,
                          unsigned slow_max);

void weir__job_queue_put(struct weir__job_queue *queue, struct weir__job *job);

/* Takes a waiting job off. */
void weir__job_queue_remove(struct weir__job_queue *queue, struct weir__job *job);

/* The job whose turn it is, RUNNING; NULL when none may run now. */
struct weir__job *weir__job_queue_take(struct weir__job_queue *queue);

/* A job that was taken has ended. */
static inline void weir__job_queue_end(struct weir__job_queue *queue, const struct weir__job *job)
{
    queue->slow_busy -= job->is_slow;
}

/* How many of the waiting ones may run now. */
static inline size_t weir__job_queue_ready(const struct weir__job_queue *queue)
{
    size_t places = queue->slow_max - queue->slow_busy;

    return queue->count - queue->slow_count +
           (queue->slow_count < places ? queue->slow_count : places);
}

/* The one that has waited longest, of those that may run now; NULL. */
const struct weir__job *weir__job_queue_oldest(const struct weir__job_queue *queue);

#endif
