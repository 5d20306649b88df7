/* SPDX-License-Identifier: MIT */
/* libuv: uv_queue_work; jobs become due by a timerfd, as its own timers count milliseconds. */
#include "jobs.h"
#include "uv_peer.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

struct request {
    uv_work_t work;
    struct request *next;
    struct jobs_job *job;
    uint64_t due_ns;
};

static struct request *free_requests;
static uv_poll_t poll_handle;
static int timer_fd;
static uint64_t next_due_ns; /* 0: none any more */

static void work(uv_work_t *work)
{
    struct request *request = work->data;

    jobs_work(request->job);
}

static void start(struct request *request, uv_after_work_cb after)
{
    request->work.data = request;
    trial_check(uv_queue_work(uv_default_loop(), &request->work, work, after), "uv_queue_work");
}

static void after_closed(uv_work_t *work, int status)
{
    struct request *request = work->data;

    trial_check(status, "uv_queue_work");
    if (meter_count(&request->job->meter))
        start(request, after_closed);
}

static void after_open(uv_work_t *work, int status)
{
    struct request *request = work->data;

    trial_check(status, "uv_queue_work");
    jobs_done(request->job, request->due_ns);
    request->next = free_requests;
    free_requests = request;
}

static void arm(void)
{
    struct itimerspec when = { .it_value = { .tv_sec = (time_t)(next_due_ns / NS_PER_S),
                                             .tv_nsec = (long)(next_due_ns % NS_PER_S) } };

    trial_check_errno(timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL), "timerfd_settime");
}

static void due(uv_poll_t *handle, int status, int events)
{
    struct jobs_job *job = handle->data;
    uint64_t now = now_ns(), count;

    (void)events;
    trial_check(status, "uv_poll");
    if (read(timer_fd, &count, sizeof count) < 0)
        return;
    while (next_due_ns != 0 && next_due_ns <= now) {
        struct request *request = free_requests;

        if (request == NULL)
            trial_fail("more jobs under way than there can be");
        free_requests = request->next;
        request->due_ns = next_due_ns;
        start(request, after_open);
        next_due_ns = jobs_next_due(job);
    }
    if (next_due_ns != 0)
        arm();
    else
        uv_close((uv_handle_t *)handle, NULL);
}

static void start_open(struct jobs_job *job, struct request *requests)
{
    for (unsigned index = 0; index < JOBS_OPEN_MAX; index++) {
        requests[index].next = free_requests;
        free_requests = &requests[index];
    }
    timer_fd = trial_check_errno(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
                                 "timerfd_create");
    poll_handle.data = job;
    trial_check(uv_poll_init(uv_default_loop(), &poll_handle, timer_fd), "uv_poll_init");
    trial_check(uv_poll_start(&poll_handle, UV_READABLE, due), "uv_poll_start");
    next_due_ns = jobs_next_due(job);
    arm();
}

void uv_peer_jobs(struct jobs_job *job)
{
    struct request *requests = calloc(JOBS_OPEN_MAX, sizeof *requests);

    if (requests == NULL)
        trial_fail("no memory for the requests");
    uv_peer_set_up(job->threads);
    for (unsigned index = 0; index < JOBS_OPEN_MAX; index++)
        requests[index].job = job;
    if (job->kind == JOBS_OPEN)
        start_open(job, requests);
    for (unsigned index = 0; index < job->depth; index++)
        start(&requests[index], after_closed);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    free(requests);
}
