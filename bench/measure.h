/* SPDX-License-Identifier: MIT */
/*
 * Clocks, medians, a latency histogram, and the meter that cuts one run into warm-up and measure.
 *
 * CPU time is the process's: user and system, all its threads, also those that have ended and the
 * kernel's io-wq workers. A run has a process of its own, so nothing else is in it.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)

uint64_t now_ns(void);
uint64_t clock_ns(clockid_t clock);

#if defined(__x86_64__)
#define CPU_RELAX() __builtin_ia32_pause()
#else
#define CPU_RELAX() __asm__ volatile("yield")
#endif

/* xorshift64: the same seed gives each contender the same offsets and gaps. */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

/* Sorts the values. */
double median(double *values, size_t count);

/* --- Meter ----------------------------------------------------------------------------------- */

/* Counts completed operations on one thread: first warm-up, then the measured time. */
struct meter {
    uint64_t warm_ns;    /* durations, set by whoever makes the meter */
    uint64_t measure_ns; /* durations, set by whoever makes the meter */
    uint64_t op_count;   /* completed since the start of the warm-up */
    uint64_t look_at;    /* read the clock when op_count reaches it */
    uint64_t look_step;  /* operations between two looks */
    uint64_t start_ns;   /* of the warm-up; 0: it has not begun */
    uint64_t first_ns, first_cpu_ns, first_op_count;
    uint64_t last_ns, last_cpu_ns, last_op_count; /* last_ns 0: still measuring */
};

bool meter_look(struct meter *meter);

/* One operation is complete. Returns false when the measured time is over: start no more. */
static inline bool meter_count(struct meter *meter)
{
    if (++meter->op_count < meter->look_at)
        return true;
    return meter_look(meter);
}

static inline bool meter_over(const struct meter *meter)
{
    return meter->last_ns != 0;
}

double meter_ops_per_s(const struct meter *meter);
double meter_cpu_ns_per_op(const struct meter *meter);

/* --- Histogram ------------------------------------------------------------------------------- */

/* Log-linear: 128 steps to each power of two, so a quantile is off by less than 0.8 %. */
enum {
    HISTOGRAM_STEP_BITS = 7,
    HISTOGRAM_VALUE_BITS = 40, /* 18 minutes in ns; more counts as that */
    HISTOGRAM_SLOTS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS,
};

struct histogram {
    uint64_t count;
    uint64_t slots[HISTOGRAM_SLOTS];
};

void histogram_add(struct histogram *histogram, uint64_t value);
/* The value that a share of the samples (0.999) does not exceed; NAN of none. */
double histogram_quantile(const struct histogram *histogram, double share);

#endif
