/* SPDX-License-Identifier: MIT */
/* The jobs that wait for a thread; see queue.h. */
#include "pool/queue.h"

void weir__job_queue_init(struct weir__job_queue *queue, const struct weir__shares *shares,
                          unsigned slow_max)
{
    *queue = (struct weir__job_queue){ .slow_max = slow_max, .shares = *shares };
    for (int i = 0; i < WEIR_PRIORITY_COUNT; i++) {
        weir__list_init(&queue->quick[i]);
        weir__list_init(&queue->slow[i]);
    }
}

void weir__job_queue_put(struct weir__job_queue *queue, struct weir__job *job)
{
    job->state = WEIR__JOB_QUEUED;
    weir__list_append(job->is_slow ? &queue->slow[job->priority] : &queue->quick[job->priority],
                      &job->link);
    queue->count++;
    queue->counts[job->priority]++;
    queue->slow_count += job->is_slow;
}

void weir__job_queue_remove(struct weir__job_queue *queue, struct weir__job *job)
{
    weir__list_unlink(&job->link);
    job->state = WEIR__JOB_GONE;
    queue->count--;
    queue->counts[job->priority]--;
    queue->slow_count -= job->is_slow;
}

/* The oldest of a list; NULL. */
static struct weir__job *head(const struct weir__list *list)
{
    return weir__list_empty(list) ? NULL : WEIR_CONTAINER_OF(list->next, struct weir__job, link);
}

/* The oldest of a class that may run now; NULL. */
static struct weir__job *first(const struct weir__job_queue *queue, int class)
{
    struct weir__job *quick = head(&queue->quick[class]);
    struct weir__job *slow = queue->slow_busy < queue->slow_max ? head(&queue->slow[class]) : NULL;

    if (!quick || !slow)
        return quick ? quick : slow;
    return slow->queued_ns < quick->queued_ns ? slow : quick;
}

struct weir__job *weir__job_queue_take(struct weir__job_queue *queue)
{
    struct weir__job *firsts[WEIR_PRIORITY_COUNT];
    struct weir__job *job;
    unsigned waiting = 0;

    if (queue->count == 0)
        return NULL;
    for (int i = 0; i < WEIR_PRIORITY_COUNT; i++) {
        firsts[i] = queue->counts[i] ? first(queue, i) : NULL;
        waiting |= (unsigned)(firsts[i] != NULL) << i;
    }
    if (!waiting)
        return NULL;
    job = firsts[weir__shares_take(&queue->shares, waiting)];
    weir__job_queue_remove(queue, job);
    queue->slow_busy += job->is_slow;
    job->state = WEIR__JOB_RUNNING;
    return job;
}

const struct weir__job *weir__job_queue_oldest(const struct weir__job_queue *queue)
{
    const struct weir__job *oldest = NULL;

    for (int i = 0; i < WEIR_PRIORITY_COUNT; i++) {
        const struct weir__job *job = queue->counts[i] ? first(queue, i) : NULL;

        if (job && (!oldest || job->queued_ns < oldest->queued_ns))
            oldest = job;
    }
    return oldest;
}
