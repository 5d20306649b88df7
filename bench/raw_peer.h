/* SPDX-License-Identifier: MIT */
/* The bare limits of the benches in ns per operation, and of a parked task. */
#ifndef BENCH_RAW_PEER_H
#define BENCH_RAW_PEER_H

#include "bench.h"

micro_fn raw_switch, raw_wake_asleep, raw_wake_spinning;
trial_fn raw_parked;
reason_fn needs_two_cpus;

#endif
