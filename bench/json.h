/* SPDX-License-Identifier: MIT */
/* The results for programs: one object a line, first the figures of a bench, then comparisons. */
#ifndef BENCH_JSON_H
#define BENCH_JSON_H

#include "harness.h"

#include <stdio.h>

void json_write(FILE *out, const struct results *results);

#endif
