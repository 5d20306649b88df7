/* SPDX-License-Identifier: MIT */
/* The results for people: a table per bench, ratio first, and two summaries. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "harness.h"

#include <stdio.h>

/* Of one bench. */
void report_table(FILE *out, const struct results *results);

/* What weir gives over thread-pool I/O, and where it loses. */
void report_summary(FILE *out, const struct results *results, unsigned count);

#endif
