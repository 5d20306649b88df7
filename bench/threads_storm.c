/* SPDX-License-Identifier: MIT */
/* A pool of threads: each does all blocking calls of one operation in one go. */
#include "storm.h"
#include "thread_pool.h"

struct request {
    struct pool_request head;
    int result;
    char name[STORM_NAME_BYTES];
};

static void operate(void *job, struct pool_request *head)
{
    struct request *request = (struct request *)head;

    request->result = storm_operate(((const struct storm_job *)job)->kind, request->name);
}

static bool finish(void *argument, struct pool_request *head)
{
    struct request *request = (struct request *)head;
    struct storm_job *job = argument;

    trial_check(request->result, request->name);
    if (!meter_count(&job->meter))
        return false;
    storm_next(job, request->name);
    return true;
}

void threads_storm(struct storm_job *job)
{
    struct pool_work work = { .job = job, .operate = operate, .finish = finish };
    struct request requests[STORM_DEPTH];
    struct pool_request *next = NULL;

    for (unsigned index = 0; index < job->depth; index++) {
        requests[index].head.next = next;
        storm_next(job, requests[index].name);
        next = &requests[index].head;
    }
    thread_pool_run(&work, job->threads, next);
}
