/* SPDX-License-Identifier: MIT */
/*
 * Benches in ns per operation: the contender does a given number of operations and says how long
 * they took; the number grows until that is long enough, so the early tries are the warm-up.
 */
#include "bench.h"

#include "machine.h"

#include <stdio.h>

#define MICRO_OPS_MIN  3200
#define MICRO_NS       (60 * NS_PER_MS)
#define MICRO_NS_QUICK (20 * NS_PER_MS)
#define MICRO_OPS_MAX  (UINT64_C(1) << 40)

double micro_measure(const struct trial *trial, micro_once_fn *once)
{
    uint64_t enough_ns = trial->settings->quick ? MICRO_NS_QUICK : MICRO_NS;
    uint64_t op_count = MICRO_OPS_MIN, elapsed_ns = 0;

    for (; op_count < MICRO_OPS_MAX; op_count *= 4) {
        elapsed_ns = once(trial, op_count);
        if (elapsed_ns >= enough_ns)
            break;
    }
    return (double)elapsed_ns / (double)op_count;
}

static uint64_t run_once(const struct trial *trial, uint64_t op_count)
{
    return trial->contender->micro(op_count);
}

static void micro_run(const struct trial *trial, struct outcome *outcome)
{
    outcome->values[METRIC_NS_PER_OP] = micro_measure(trial, run_once);
}

const struct family micro_family = {
    .policy = "one loop on one CPU; raw is the limit",
    .run = micro_run,
    .rounds = 7,
    .rounds_quick = 3,
    .limit_s = 8,
};
