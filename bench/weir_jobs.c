/* SPDX-License-Identifier: MIT */
/* weir: as many tasks as jobs in flight, each in a plain loop of calls; or tasks that take the jobs
 * as they become due from one channel. */
#include "jobs.h"
#include "weir_peer.h"

#include <weir/chan.h>
#include <weir/pool.h>
#include <weir/scope.h>
#include <weir/task.h>

enum { OPEN_TASKS = 1024 };

static int work(void *arg)
{
    jobs_work(arg);
    return 0;
}

static int keep_one_in_flight(void *arg)
{
    struct jobs_job *job = arg;

    do
        trial_check(weir_pool_run(work, job, WEIR_FOREVER), "weir_pool_run");
    while (meter_count(&job->meter));
    return 0;
}

struct open {
    struct jobs_job *job;
    struct weir_chan *due;
};

static int take_jobs(void *arg)
{
    const struct open *open = arg;
    uint64_t due_ns;

    while (weir_chan_recv(open->due, &due_ns, WEIR_FOREVER) >= 0) {
        trial_check(weir_pool_run(work, open->job, WEIR_FOREVER), "weir_pool_run");
        jobs_done(open->job, due_ns);
    }
    return 0;
}

static int give_jobs(void *arg)
{
    const struct open *open = arg;
    uint64_t due_ns;

    while ((due_ns = jobs_next_due(open->job)) != 0) {
        if ((int64_t)due_ns > weir_now_ns())
            trial_check(weir_sleep((int64_t)due_ns), "weir_sleep");
        trial_check(weir_chan_send(open->due, &due_ns, WEIR_FOREVER), "weir_chan_send");
    }
    return weir_chan_close(open->due, 0);
}

static int run_jobs(void *arg)
{
    struct jobs_job *job = arg;
    struct open open = { .job = job };
    struct weir_scope *scope;
    int result;

    trial_check(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), "weir_scope_create");
    trial_check(weir_chan_create(&open.due, sizeof(uint64_t), JOBS_OPEN_MAX, NULL),
                "weir_chan_create");
    for (unsigned index = 0; index < job->depth; index++)
        trial_check(weir_spawn(scope, keep_one_in_flight, job, NULL), "weir_spawn");
    for (unsigned index = 0; index < OPEN_TASKS && job->kind == JOBS_OPEN; index++)
        trial_check(weir_spawn(scope, take_jobs, &open, NULL), "weir_spawn");
    if (job->kind == JOBS_OPEN)
        trial_check(weir_spawn(scope, give_jobs, &open, NULL), "weir_spawn");
    result = weir_scope_join(scope, WEIR_FOREVER);
    trial_check(weir_chan_release(open.due), "weir_chan_release");
    return result;
}

void weir_jobs(struct jobs_job *job)
{
    struct weir_options options = weir_peer_options();

    if (job->spin_ns > 0)
        options.spin_max_ns = (int64_t)job->spin_ns;
    weir_peer_run(run_jobs, job, &options);
}
