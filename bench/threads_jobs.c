/* SPDX-License-Identifier: MIT */
/* The plain pool of threads. */
#include "jobs.h"
#include "thread_pool.h"

#include <stdlib.h>

struct request {
    struct pool_request head;
    uint64_t due_ns;
};

static struct pool_request *free_requests;
static uint64_t next_due_ns; /* 0: none any more */

static void operate(void *job, struct pool_request *head)
{
    (void)head;
    jobs_work(job);
}

static bool finish_closed(void *argument, struct pool_request *head)
{
    struct jobs_job *job = argument;

    (void)head;
    return meter_count(&job->meter);
}

static bool finish_open(void *argument, struct pool_request *head)
{
    jobs_done(argument, ((struct request *)head)->due_ns);
    head->next = free_requests;
    free_requests = head;
    return false;
}

static struct pool_request *arrive(void *argument, uint64_t *until_ns)
{
    struct pool_request *due = NULL, **last = &due;
    uint64_t now = now_ns();

    while (next_due_ns != 0 && next_due_ns <= now) {
        struct pool_request *request = free_requests;

        if (request == NULL)
            trial_fail("more jobs under way than there can be");
        free_requests = request->next;
        ((struct request *)request)->due_ns = next_due_ns;
        request->next = NULL;
        *last = request;
        last = &request->next;
        next_due_ns = jobs_next_due(argument);
    }
    *until_ns = next_due_ns;
    return due;
}

void threads_jobs(struct jobs_job *job)
{
    struct pool_work work = { .job = job, .spin_ns = job->spin_ns, .operate = operate };
    struct request *requests = calloc(JOBS_OPEN_MAX, sizeof *requests);
    unsigned count = job->kind == JOBS_OPEN ? JOBS_OPEN_MAX : job->depth;
    struct pool_request *list = NULL;

    if (requests == NULL)
        trial_fail("no memory for the requests");
    for (unsigned index = 0; index < count; index++) {
        requests[index].head.next = list;
        list = &requests[index].head;
    }
    if (job->kind == JOBS_OPEN) {
        free_requests = list;
        next_due_ns = jobs_next_due(job);
        work.finish = finish_open;
        work.arrive = arrive;
        thread_pool_run(&work, job->threads, NULL);
    } else {
        work.finish = finish_closed;
        thread_pool_run(&work, job->threads, list);
    }
    free(requests);
}
