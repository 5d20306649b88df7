/* SPDX-License-Identifier: MIT */
/*
 * The trials of jobs, and the bare limit: two threads that hand each other a word by futex.
 *
 * Policy: as for the file benches: weir's loop is bound to the server's CPU, a pool and the thread
 * in front of it may use every CPU. Nobody spins but those that are named so: each of their
 * threads, the loop's too, looks for up to 30 us before it sleeps, which is weir's default. A job
 * computes for a number of steps that was measured once, so it takes longer when its thread has to
 * share a CPU.
 */
#include "jobs.h"

#include "machine.h"

#include <linux/futex.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    TAIL_LOAD_PERCENT = 70,
    CALIBRATION_STEPS = 2000000,
    PERCENT = 100,
};

static double steps_per_ns;

static void compute(uint64_t steps)
{
    for (volatile uint64_t step = 0; step < steps; step++)
        ;
}

static void jobs_prepare(const struct bench *bench, const struct settings *settings)
{
    uint64_t best_ns = UINT64_MAX;

    (void)bench;
    (void)settings;
    for (int attempt = 0; attempt < 5 && steps_per_ns == 0; attempt++) {
        uint64_t start_ns = now_ns();

        compute(CALIBRATION_STEPS);
        start_ns = now_ns() - start_ns;
        best_ns = start_ns < best_ns ? start_ns : best_ns;
    }
    if (steps_per_ns == 0)
        steps_per_ns = (double)CALIBRATION_STEPS / (double)best_ns;
}

void jobs_work(const struct jobs_job *job)
{
    if (job->work_ns > 0)
        compute((uint64_t)((double)job->work_ns * steps_per_ns));
}

/* --- The schedule of an open load ------------------------------------------------------------- */

uint64_t jobs_next_due(struct jobs_job *job)
{
    double share;

    if (job->given == job->due_count)
        return 0;
    if (job->due_ns == 0)
        job->due_ns = now_ns();
    share = (double)(random_next(&job->random) >> 11) / (double)(UINT64_C(1) << 53);
    job->due_ns += (uint64_t)(-log(1 - share) * (double)job->gap_ns);
    job->given++;
    return job->due_ns;
}

bool jobs_done(struct jobs_job *job, uint64_t due_ns)
{
    if (job->done++ >= job->warm_count)
        histogram_add(&job->latency_ns, now_ns() - due_ns);
    return job->done < job->due_count;
}

/* --- A trial ---------------------------------------------------------------------------------- */

static void jobs_run(const struct trial *trial, struct outcome *outcome)
{
    static struct jobs_job job;
    bool quick = trial->settings->quick;
    uint64_t measure_ns = (trial->tuning ? 60 : quick ? 150 : 400) * NS_PER_MS;

    job.kind = trial->bench->size > 0 ? JOBS_CLOSED : JOBS_OPEN;
    job.depth = trial->bench->size;
    job.threads = trial->threads;
    job.spin_ns = trial->contender->spin ? JOBS_SPIN_NS : 0;
    job.work_ns = (uint64_t)trial->bench->kind;
    job.random = UINT64_C(0x9E3779B97F4A7C15) + trial->round;
    job.meter.warm_ns = 30 * NS_PER_MS;
    job.meter.measure_ns = measure_ns;
    if (job.kind == JOBS_OPEN) {
        job.gap_ns = job.work_ns * PERCENT / TAIL_LOAD_PERCENT / machine_cpu_count();
        job.due_count = (quick || trial->tuning ? 1 : 2) * NS_PER_S / job.gap_ns;
        job.warm_count = job.due_count / 10;
    }
    trial->contender->jobs(&job);
    if (job.kind == JOBS_CLOSED) {
        outcome->values[METRIC_OPS_PER_S] = meter_ops_per_s(&job.meter);
        outcome->values[METRIC_CPU_NS_PER_OP] = meter_cpu_ns_per_op(&job.meter);
        return;
    }
    outcome->values[METRIC_CPU_NS_PER_OP] =
        (double)clock_ns(CLOCK_PROCESS_CPUTIME_ID) / (double)job.done;
    outcome->values[METRIC_P50_US] = histogram_quantile(&job.latency_ns, 0.5) / 1e3;
    outcome->values[METRIC_P99_US] = histogram_quantile(&job.latency_ns, 0.99) / 1e3;
    outcome->values[METRIC_P999_US] = histogram_quantile(&job.latency_ns, 0.999) / 1e3;
    if (trial->tuning) /* the number of threads is best that has the shortest tail */
        outcome->values[METRIC_OPS_PER_S] = 1e6 / outcome->values[METRIC_P99_US];
}

/* --- The bare limit: a hand-over there and back ----------------------------------------------- */

struct pair {
    atomic_uint asked, answered; /* the number of the round */
    unsigned end;                /* the round that ends it, once known; before asked */
};

static void await_word(atomic_uint *word, unsigned value)
{
    unsigned seen;

    while ((seen = atomic_load(word)) != value)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void set_word(atomic_uint *word, unsigned value)
{
    atomic_store(word, value);
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *answer(void *argument)
{
    struct pair *pair = argument;

    for (unsigned round = 1;; round++) {
        await_word(&pair->asked, round);
        set_word(&pair->answered, round);
        if (pair->end == round)
            return NULL;
    }
}

void raw_jobs(struct jobs_job *job)
{
    struct pair pair = { 0 };
    pthread_t thread;
    bool more = true;

    trial_check(-pthread_create(&thread, NULL, answer, &pair), "pthread_create");
    for (unsigned round = 1; more; round++) {
        more = meter_count(&job->meter);
        if (!more)
            pair.end = round;
        set_word(&pair.asked, round);
        await_word(&pair.answered, round);
    }
    pthread_join(thread, NULL);
}

const struct family jobs_family = {
    .policy = "jobs that compute; weir's loop is bound to one CPU, the pools and the thread in "
              "front of them use all; -spin: each thread may spin 30 us before it sleeps; "
              "pool-tail: 100 us each, at 70 % of all CPUs, from when a job was due until its "
              "result is back",
    .prepare = jobs_prepare,
    .run = jobs_run,
    .rounds = 3,
    .rounds_quick = 2,
    .limit_s = 10,
};
