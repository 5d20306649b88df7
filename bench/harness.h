/* SPDX-License-Identifier: MIT */
/* Runs the rounds of a bench and holds what came out. */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include "bench.h"

enum {
    ROUNDS_MAX = 9,
    CONTENDERS_MAX = 12,
};

/* One contender's answers. */
struct entry {
    const struct contender *contender;
    unsigned threads;                        /* of its pool; 0: it has none */
    bool skipped;                            /* it cannot run here: no fault */
    char reason[240];                        /* why it was skipped or failed; "": it ran */
    char note[80];                           /* for the tables */
    double values[METRIC_COUNT][ROUNDS_MAX]; /* NAN: not measured */
};

struct results {
    const struct bench *bench;
    unsigned round_count;
    unsigned entry_count;
    struct entry entries[CONTENDERS_MAX];
};

struct figure {
    double median, least, most;
    unsigned runs; /* 0: not measured */
};

void harness_run(const struct bench *bench, const struct settings *settings,
                 struct results *results);

bool entry_ran(const struct entry *entry);
bool entry_is_weir(const struct entry *entry);
struct figure entry_figure(const struct entry *entry, enum metric metric);

/*
 * Whether the two are compared: weir's plain form with every other contender under the same spin
 * policy, its other forms with the bare limit.
 */
bool entries_compare(const struct entry *weir, const struct entry *against);

/* The median over the rounds of weir's value / the other's; NAN: not comparable. */
double entries_ratio(const struct entry *weir, const struct entry *against, enum metric metric);

/* How much worse weir is: 0.1 for ten per cent; negative: better. */
double ratio_loss(double ratio, enum metric metric);

#endif
