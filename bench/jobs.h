/* SPDX-License-Identifier: MIT */
/*
 * Jobs through a pool of threads: what the way there and back costs, and how long it takes under
 * load.
 *
 * Closed: a contender keeps job->depth jobs in flight; each calls jobs_work once, on a thread of
 * the pool, and at each end the loop's thread calls meter_count(&job->meter).
 *
 * Open: jobs come when they come, by a schedule that is the same for all (jobs_next_due), whether
 * those before are done or not. At each end, on the loop's thread, jobs_done notes how long it took
 * from when it was due; it returns false when that was the last.
 */
#ifndef BENCH_JOBS_H
#define BENCH_JOBS_H

#include "bench.h"

enum {
    JOBS_DEPTH = 64,
    JOBS_OPEN_MAX = 8192,
    JOBS_SPIN_NS = 30000, /* weir's default */
};

enum jobs_kind { JOBS_CLOSED, JOBS_OPEN };

struct jobs_job {
    enum jobs_kind kind;
    struct meter meter;
    unsigned depth;
    unsigned threads;   /* of the contender's pool */
    uint64_t spin_ns;   /* before a thread sleeps; 0: it sleeps at once */
    uint64_t work_ns;   /* that a job computes */
    uint64_t gap_ns;    /* open: between two jobs, on the average */
    uint64_t due_count; /* open: jobs to come in all */
    uint64_t given, done;
    uint64_t warm_count; /* open: the first so many are not noted */
    uint64_t due_ns;     /* of the last one that was given; 0: none yet */
    uint64_t random;
    struct histogram latency_ns;
};

/* On a thread of the pool: the work of one job. */
void jobs_work(const struct jobs_job *job);

/* When the next job is due; 0: there is none any more. */
uint64_t jobs_next_due(struct jobs_job *job);

bool jobs_done(struct jobs_job *job, uint64_t due_ns);

jobs_fn raw_jobs, threads_jobs, weir_jobs;

#endif
