/* SPDX-License-Identifier: MIT */
/* How many tasks are parked in parked-1m, and what they take. */
#ifndef BENCH_PARKED_H
#define BENCH_PARKED_H

#include "bench.h"

/* A million, fewer in quick runs and where memory is short; the outcome's note says so. */
unsigned parked_count(const struct trial *trial, struct outcome *outcome);

/* Resident memory of the process. */
uint64_t parked_resident_bytes(void);

reason_fn parked_why_not;

#endif
