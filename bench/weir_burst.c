/* SPDX-License-Identifier: MIT */
/*
 * Requests beside a burst: 10 000 tasks that read blocks of the test file from the disk, and work
 * 10 us on each, as fast as they may, on one loop. Every 500 us a request is due, which reads one
 * block too; its latency runs from then until it has the block.
 *
 * The requests are of the latency class and the burst of the background; or all are of one class;
 * or there is no burst.
 */
#include "file.h"
#include "weir_peer.h"

#include <weir/file.h>
#include <weir/scope.h>
#include <weir/task.h>

#include <stdlib.h>

enum {
    BURST = 10000,
    REQUESTS_PER_S = 2000,
    WARM_REQUESTS = 200,
    WORK_NS = 10000,
};

enum way { WAY_ALONE, WAY_CLASSES, WAY_ONE_CLASS };

struct burst {
    enum way way;
    uint64_t request_count; /* measured ones, after the warm-up */
    uint64_t random;
    bool done;
    char *buffer; /* all read into it: nobody looks */
    struct histogram latency_ns;
};

struct request {
    struct burst *burst;
    uint64_t due_ns;
    bool counts;
};

static int64_t read_block(struct burst *burst)
{
    uint64_t block = random_next(&burst->random) % file_direct_block_count();

    return weir_pread(file_direct_fd(), burst->buffer, FILE_BLOCK_BYTES,
                      (int64_t)(block * FILE_BLOCK_BYTES), WEIR_FOREVER);
}

static int churn(void *arg)
{
    struct burst *burst = arg;

    while (!burst->done) {
        int64_t result = read_block(burst);
        uint64_t end_ns = now_ns() + WORK_NS;

        if (result < 0) /* cancelled */
            return 0;
        while (now_ns() < end_ns)
            ;
        if (weir_yield() < 0)
            return 0;
    }
    return 0;
}

static int answer(void *arg)
{
    struct request *request = arg;
    struct burst *burst = request->burst;

    file_check(read_block(burst), "a request");
    if (request->counts)
        histogram_add(&burst->latency_ns, now_ns() - request->due_ns);
    free(request);
    return 0;
}

static void spawn_as(struct weir_scope *scope, enum weir_priority priority, weir_task_fn *fn,
                     void *arg)
{
    struct weir_spawn_options options = { .sets_priority = true, .priority = priority };

    trial_check(weir_spawn(scope, fn, arg, &options), "weir_spawn");
}

/* The requests, as they are due. */
static void ask(struct burst *burst, struct weir_scope *scope, enum weir_priority priority)
{
    uint64_t due_ns = now_ns();

    for (uint64_t count = 0; count < WARM_REQUESTS + burst->request_count; count++) {
        struct request *request = malloc(sizeof *request);

        if (request == NULL)
            trial_fail("no memory for a request");
        due_ns += NS_PER_S / REQUESTS_PER_S;
        trial_check(weir_sleep((int64_t)due_ns), "weir_sleep");
        *request = (struct request){ burst, due_ns, count >= WARM_REQUESTS };
        spawn_as(scope, priority, answer, request);
    }
}

static int root(void *arg)
{
    struct burst *burst = arg;
    bool classes = burst->way == WAY_CLASSES;
    enum weir_priority ours = classes ? WEIR_PRIORITY_LATENCY : WEIR_PRIORITY_NORMAL;
    enum weir_priority theirs = classes ? WEIR_PRIORITY_BACKGROUND : WEIR_PRIORITY_NORMAL;
    struct weir_scope *requests, *others;

    trial_check(weir_scope_create(&requests, WEIR_SCOPE_COLLECT, NULL), "weir_scope_create");
    trial_check(weir_scope_create(&others, WEIR_SCOPE_COLLECT, NULL), "weir_scope_create");
    for (unsigned count = 0; count < BURST && burst->way != WAY_ALONE; count++)
        spawn_as(others, theirs, churn, burst);
    trial_check(weir_set_priority(ours), "weir_set_priority");
    ask(burst, requests, ours);
    trial_check(weir_scope_join(requests, WEIR_FOREVER), "weir_scope_join");
    burst->done = true;
    trial_check(weir_scope_cancel(others), "weir_scope_cancel");
    weir_scope_join(others, WEIR_FOREVER);
    return 0;
}

static void run(const struct trial *trial, struct outcome *outcome, enum way way)
{
    static struct burst burst;
    struct weir_options options = weir_peer_options();

    burst.way = way;
    burst.random = UINT64_C(0x9E3779B97F4A7C15) + trial->round;
    burst.request_count = trial->settings->quick ? REQUESTS_PER_S / 2 : REQUESTS_PER_S;
    burst.buffer = aligned_alloc(FILE_BLOCK_BYTES, FILE_BLOCK_BYTES);
    if (burst.buffer == NULL)
        trial_fail("no memory for a block");
    weir_peer_run(root, &burst, &options);
    outcome->values[METRIC_P50_US] = histogram_quantile(&burst.latency_ns, 0.5) / 1e3;
    outcome->values[METRIC_P99_US] = histogram_quantile(&burst.latency_ns, 0.99) / 1e3;
}

void weir_burst_alone(const struct trial *trial, struct outcome *outcome)
{
    run(trial, outcome, WAY_ALONE);
}

void weir_burst_classes(const struct trial *trial, struct outcome *outcome)
{
    run(trial, outcome, WAY_CLASSES);
}

void weir_burst_one_class(const struct trial *trial, struct outcome *outcome)
{
    run(trial, outcome, WAY_ONE_CLASS);
}
