/* SPDX-License-Identifier: MIT */
/*
 * weir: as many tasks as operations in flight, each in a plain loop of calls; or, in weir-pool, of
 * jobs of the user's own, with all blocking calls of an operation in one trip to the pool.
 */
#include "storm.h"
#include "weir_peer.h"

#include <weir/attribute.h>
#include <weir/descriptor.h>
#include <weir/file.h>
#include <weir/pool.h>
#include <weir/scope.h>
#include <weir/task.h>

#include <fcntl.h>

static void operate(const struct storm_job *job, const char *name)
{
    char content[STORM_FILE_BYTES];
    struct statx result;
    int fd;

    if (job->kind == STORM_STAT) {
        trial_check(weir_statx(AT_FDCWD, name, 0, STORM_STATX_MASK, &result, WEIR_FOREVER),
                    "weir_statx");
        return;
    }
    fd = trial_check(weir_openat(AT_FDCWD, name, O_RDONLY, 0, WEIR_FOREVER), "weir_openat");
    if (weir_pread(fd, content, sizeof content, 0, WEIR_FOREVER) != STORM_FILE_BYTES)
        trial_fail("weir_pread: not the whole file");
    trial_check(weir_close(fd), "weir_close");
}

static int keep_one_in_flight(void *arg)
{
    struct storm_job *job = arg;
    char name[STORM_NAME_BYTES];

    do {
        storm_next(job, name);
        operate(job, name);
    } while (meter_count(&job->meter));
    return 0;
}

struct pool_call {
    enum storm_kind kind;
    char name[STORM_NAME_BYTES];
};

static int operate_on_pool(void *arg)
{
    const struct pool_call *call = arg;

    return storm_operate(call->kind, call->name);
}

static int keep_one_on_pool(void *arg)
{
    struct storm_job *job = arg;
    struct pool_call call = { .kind = job->kind };

    do {
        storm_next(job, call.name);
        trial_check(weir_pool_run(operate_on_pool, &call, WEIR_FOREVER), "weir_pool_run");
    } while (meter_count(&job->meter));
    return 0;
}

struct storm {
    struct storm_job *job;
    weir_task_fn *keep_one;
};

static int keep_all_in_flight(void *arg)
{
    const struct storm *storm = arg;
    struct weir_scope *scope;

    trial_check(weir_scope_create(&scope, WEIR_SCOPE_FAIL_FAST, NULL), "weir_scope_create");
    for (unsigned index = 0; index < storm->job->depth; index++)
        trial_check(weir_spawn(scope, storm->keep_one, storm->job, NULL), "weir_spawn");
    return weir_scope_join(scope, WEIR_FOREVER);
}

void weir_storm(struct storm_job *job)
{
    struct weir_options options = weir_peer_options();
    struct storm storm = { job, keep_one_in_flight };

    weir_peer_run(keep_all_in_flight, &storm, &options);
}

void weir_pool_storm(struct storm_job *job)
{
    struct weir_options options = weir_peer_options();
    struct storm storm = { job, keep_one_on_pool };

    weir_peer_run(keep_all_in_flight, &storm, &options);
}
