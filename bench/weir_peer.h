/* SPDX-License-Identifier: MIT */
/* weir's contenders that no other family's header names. */
#ifndef BENCH_WEIR_PEER_H
#define BENCH_WEIR_PEER_H

#include "bench.h"

#include <weir/runtime.h>

#include <stdio.h>

/*
 * The options that every weir contender runs with: one loop, bound to the first CPU that was given,
 * and no spinning.
 */
struct weir_options weir_peer_options(void);

/* weir_run that ends the trial when the runtime cannot start or the root task fails. */
void weir_peer_run(weir_task_fn *root, void *arg, const struct weir_options *options);

/* One line on what weir obtains from this kernel. */
void weir_peer_print(FILE *out);

reason_fn weir_peer_why_not;

micro_fn weir_yields, weir_spawns, weir_rendezvous, weir_buffered, weir_select2, weir_timers;
micro_fn weir_wake_asleep, weir_wake_spinning, weir_switches;
trial_fn weir_mixed_idle, weir_mixed_inside, weir_mixed_pool, weir_mixed_ring;
trial_fn weir_burst_alone, weir_burst_classes, weir_burst_one_class;
trial_fn weir_parked;
trial_fn weir_limiter_adaptive, weir_limiter_1, weir_limiter_2, weir_limiter_4, weir_limiter_8,
    weir_limiter_32;

#endif
