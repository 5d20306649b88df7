/* SPDX-License-Identifier: MIT */
/*
 * Storms of small calls on many small files, all of them warm: what is measured is the way to a
 * call that answers at once, not the disk.
 *
 * A contender keeps job->depth operations in flight, each on a file drawn at random, by names in
 * the current folder; at each end it calls meter_count(&job->meter) on its loop's thread.
 */
#ifndef BENCH_STORM_H
#define BENCH_STORM_H

#include "bench.h"

#include <sys/stat.h>

enum {
    STORM_DEPTH = 64,
    STORM_FILE_BYTES = 4096,
    STORM_NAME_BYTES = 16,
    STORM_STATX_MASK = STATX_BASIC_STATS,
};

enum storm_kind {
    STORM_STAT, /* statx by name */
    STORM_OPEN, /* open by name, read all, close */
};

struct storm_job {
    struct meter meter;
    enum storm_kind kind;
    unsigned depth;
    unsigned threads; /* of the contender's pool */
    unsigned file_count;
    uint64_t random;
};

/* The name of the next operation's file. */
void storm_next(struct storm_job *job, char name[static STORM_NAME_BYTES]);

/* The operation by blocking calls. Returns 0 or -errno. */
int storm_operate(enum storm_kind kind, const char *name);

storm_fn raw_storm, threads_storm, weir_storm, weir_pool_storm;

#endif
