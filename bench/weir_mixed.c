/* SPDX-License-Identifier: MIT */
/*
 * A pipeline that ticks while 64 tasks do blocking work on the same loop.
 *
 * Every 250 us a tick enters a chain of three channels; its latency runs from the time when it was
 * due until the last task has it. Meanwhile each of the 64 tasks reads one block of the test file
 * from the disk and pauses for 5 ms: inside the task by pread (the wrong way: the loop stands
 * still), on the pool, or on the ring.
 */
#include "file.h"
#include "weir_peer.h"

#include <weir/chan.h>
#include <weir/file.h>
#include <weir/pool.h>
#include <weir/scope.h>
#include <weir/task.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    WORKERS = 64,
    STAGES = 3, /* channels of the pipeline */
    STAGE_CAPACITY = 16,
    TICKS_PER_S = 4000,
    WARM_TICKS = 400,
    PAUSE_MS = 5,
};

enum way { WAY_IDLE, WAY_INSIDE, WAY_POOL, WAY_RING };

struct mixed;

struct worker {
    struct mixed *mixed;
    uint64_t random;
    uint64_t offset;
    char *buffer;
};

struct stage {
    struct weir_chan *source, *sink;
};

struct mixed {
    enum way way;
    uint64_t tick_count; /* measured ones, after the warm-up */
    struct weir_chan *chans[STAGES];
    struct stage stages[STAGES - 1];
    struct worker workers[WORKERS];
    struct histogram latency_ns;
};

/* --- The blocking work ----------------------------------------------------------------------- */

static int blocking_read(void *arg)
{
    struct worker *worker = arg;
    ssize_t count =
        pread(file_direct_fd(), worker->buffer, FILE_BLOCK_BYTES, (off_t)worker->offset);

    return count < 0 ? -errno : (int)count;
}

static int64_t work_once(struct worker *worker)
{
    switch (worker->mixed->way) {
    case WAY_RING:
        return weir_pread(file_direct_fd(), worker->buffer, FILE_BLOCK_BYTES,
                          (int64_t)worker->offset, WEIR_FOREVER);
    case WAY_POOL:
        return weir_pool_run(blocking_read, worker, WEIR_FOREVER);
    default:
        return blocking_read(worker);
    }
}

static int work(void *arg)
{
    struct worker *worker = arg;
    int64_t result = 0;

    while (result != -ECANCELED && weir_sleep(weir_in_ms(PAUSE_MS)) >= 0) {
        worker->offset =
            random_next(&worker->random) % file_direct_block_count() * FILE_BLOCK_BYTES;
        result = work_once(worker);
        if (result != -ECANCELED) /* the end, met in the pool's queue or on the ring */
            file_check(result, "the blocking work");
    }
    return 0;
}

/* --- The pipeline ---------------------------------------------------------------------------- */

static int pass_on(void *arg)
{
    const struct stage *stage = arg;
    uint64_t due_ns;

    while (weir_chan_recv(stage->source, &due_ns, WEIR_FOREVER) >= 0)
        trial_check(weir_chan_send(stage->sink, &due_ns, WEIR_FOREVER), "weir_chan_send");
    return weir_chan_close(stage->sink, 0);
}

static int tick(void *arg)
{
    struct mixed *mixed = arg;
    uint64_t due_ns = now_ns();

    for (uint64_t count = 0; count < WARM_TICKS + mixed->tick_count; count++) {
        due_ns += NS_PER_S / TICKS_PER_S;
        trial_check(weir_sleep((int64_t)due_ns), "weir_sleep");
        trial_check(weir_chan_send(mixed->chans[0], &due_ns, WEIR_FOREVER), "weir_chan_send");
    }
    return weir_chan_close(mixed->chans[0], 0);
}

/* The root task: takes what comes out of the pipeline. */
static int run_pipeline(void *arg)
{
    struct mixed *mixed = arg;
    struct weir_scope *scope;
    uint64_t due_ns, seen = 0;

    trial_check(weir_scope_create(&scope, WEIR_SCOPE_COLLECT, NULL), "weir_scope_create");
    for (unsigned index = 0; index < STAGES; index++)
        trial_check(weir_chan_create(&mixed->chans[index], sizeof due_ns, STAGE_CAPACITY, NULL),
                    "weir_chan_create");
    for (unsigned index = 0; index + 1 < STAGES; index++) {
        mixed->stages[index] = (struct stage){ mixed->chans[index], mixed->chans[index + 1] };
        trial_check(weir_spawn(scope, pass_on, &mixed->stages[index], NULL), "weir_spawn");
    }
    for (unsigned index = 0; index < WORKERS && mixed->way != WAY_IDLE; index++)
        trial_check(weir_spawn(scope, work, &mixed->workers[index], NULL), "weir_spawn");
    trial_check(weir_spawn(scope, tick, mixed, NULL), "weir_spawn");
    while (weir_chan_recv(mixed->chans[STAGES - 1], &due_ns, WEIR_FOREVER) >= 0)
        if (++seen > WARM_TICKS)
            histogram_add(&mixed->latency_ns, now_ns() - due_ns);
    trial_check(weir_scope_cancel(scope), "weir_scope_cancel");
    weir_scope_join(scope, WEIR_FOREVER);
    for (unsigned index = 0; index < STAGES; index++)
        trial_check(weir_chan_release(mixed->chans[index]), "weir_chan_release");
    return 0;
}

static void run(const struct trial *trial, struct outcome *outcome, enum way way)
{
    static struct mixed mixed;
    struct weir_options options = weir_peer_options();

    mixed.way = way;
    mixed.tick_count = trial->settings->quick ? TICKS_PER_S / 2 : TICKS_PER_S;
    for (unsigned index = 0; index < WORKERS; index++) {
        struct worker *worker = &mixed.workers[index];
        worker->mixed = &mixed;
        worker->random = UINT64_C(0x9E3779B97F4A7C15) * (index + 1) + trial->round;
        worker->buffer = aligned_alloc(FILE_BLOCK_BYTES, FILE_BLOCK_BYTES);
        if (worker->buffer == NULL)
            trial_fail("no memory for a block");
    }
    weir_peer_run(run_pipeline, &mixed, &options);
    outcome->values[METRIC_P50_US] = histogram_quantile(&mixed.latency_ns, 0.5) / 1e3;
    outcome->values[METRIC_P99_US] = histogram_quantile(&mixed.latency_ns, 0.99) / 1e3;
}

void weir_mixed_idle(const struct trial *trial, struct outcome *outcome)
{
    run(trial, outcome, WAY_IDLE);
}

void weir_mixed_inside(const struct trial *trial, struct outcome *outcome)
{
    run(trial, outcome, WAY_INSIDE);
}

void weir_mixed_pool(const struct trial *trial, struct outcome *outcome)
{
    run(trial, outcome, WAY_POOL);
}

void weir_mixed_ring(const struct trial *trial, struct outcome *outcome)
{
    run(trial, outcome, WAY_RING);
}
