/* SPDX-License-Identifier: MIT */
/* Memory of a parked task: a million guarded tasks, each waiting in a receive that never comes. */
#include "weir_peer.h"

#include "parked.h"

#include <weir/chan.h>
#include <weir/scope.h>
#include <weir/task.h>

#include <unistd.h>

struct crowd {
    unsigned count;
    unsigned parked; /* tasks that have begun: each parks next */
    struct weir_chan *never;
    struct outcome *outcome;
};

static int wait_forever(void *arg)
{
    struct crowd *crowd = arg;

    crowd->parked++;
    return weir_chan_recv(crowd->never, NULL, WEIR_FOREVER);
}

/* Ends the process when it has measured: a million wakes would only take time. */
static int park_all(void *arg)
{
    struct crowd *crowd = arg;
    struct weir_scope *scope;
    uint64_t before = parked_resident_bytes();

    trial_check(weir_chan_create(&crowd->never, 0, 0, NULL), "weir_chan_create");
    trial_check(weir_scope_create(&scope, WEIR_SCOPE_SUPERVISE, NULL), "weir_scope_create");
    for (unsigned task = 0; task < crowd->count; task++) {
        trial_check(weir_spawn(scope, wait_forever, crowd, NULL), "weir_spawn");
        if (task % 64 == 0)
            trial_check(weir_yield(), "weir_yield");
    }
    while (crowd->parked < crowd->count)
        trial_check(weir_yield(), "weir_yield");
    crowd->outcome->values[METRIC_BYTES_PER_TASK] =
        (double)(parked_resident_bytes() - before) / (double)crowd->count;
    _exit(0);
}

void weir_parked(const struct trial *trial, struct outcome *outcome)
{
    struct weir_options options = weir_peer_options();
    struct crowd crowd = { .count = parked_count(trial, outcome), .outcome = outcome };

    options.tasks_per_loop = crowd.count + 64;
    weir_peer_run(park_all, &crowd, &options);
}
