/* SPDX-License-Identifier: MIT */
/* The families of the chan-* benches; they differ in how many loops there are for how many CPUs. */
#include "chan.h"

#include "raw_peer.h"

static uint64_t run_once(const struct trial *trial, uint64_t op_count)
{
    struct chan_job job = {
        .shape = (enum chan_shape)trial->bench->kind,
        .size = trial->bench->size,
        .loop_count = trial->threads == 0 ? 1 : trial->threads,
        .op_count = op_count,
    };

    return trial->contender->chan(&job);
}

/* In these shapes the number of operations is the size. */
static bool is_whole(enum chan_shape shape)
{
    return shape == CHAN_SIEVE || shape == CHAN_CLOSE;
}

static void chan_run(const struct trial *trial, struct outcome *outcome)
{
    unsigned size = trial->bench->size;

    if (is_whole((enum chan_shape)trial->bench->kind))
        outcome->values[METRIC_NS_PER_OP] = (double)run_once(trial, size) / size;
    else
        outcome->values[METRIC_NS_PER_OP] = micro_measure(trial, run_once);
}

const struct family chan_family = {
    .policy = "one loop on one CPU; go: GOMAXPROCS=1; boost: one thread, round robin; its buffers "
              "hold 2^n - 1: 1, 15 and 255 for 1, 10 and 128",
    .run = chan_run,
    .rounds = 3,
    .rounds_quick = 1,
    .limit_s = 20,
};

const struct family chan_loops_family = {
    .policy = "two loops, each on its CPU, the tasks dealt out in turn; go: GOMAXPROCS=2, where "
              "goroutines may meet on one CPU; go-bound: each on its thread; boost: a thread on "
              "each CPU; all but boost spin before they sleep",
    .why_not = needs_two_cpus,
    .run = chan_run,
    .rounds = 5,
    .rounds_quick = 1,
    .limit_s = 20,
};

const struct family chan_crowd_family = {
    .policy = "eight loops or threads share the CPUs given; weir-2: the same work on two",
    .why_not = needs_two_cpus,
    .run = chan_run,
    .rounds = 5,
    .rounds_quick = 1,
    .limit_s = 20,
};
