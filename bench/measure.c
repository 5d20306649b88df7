/* SPDX-License-Identifier: MIT */
/* Clocks, medians, the meter and the histogram. */
#include "measure.h"

#include <math.h>
#include <stdlib.h>

uint64_t clock_ns(clockid_t clock)
{
    struct timespec time = { 0 };

    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_nsec;
}

uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return (a > b) - (a < b);
}

double median(double *values, size_t count)
{
    if (count == 0)
        return NAN;
    qsort(values, count, sizeof values[0], compare_doubles);
    if (count % 2 == 1)
        return values[count / 2];
    return (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* --- Meter ----------------------------------------------------------------------------------- */

enum { METER_LOOKS_PER_MS = 4 };

/*
 * Fast operations are looked at rarely, so that reading the clock costs them nothing. The step
 * grows by doubling: the first operations say little about the rate.
 */
static uint64_t next_look_step(const struct meter *meter, uint64_t now)
{
    uint64_t elapsed_ns = now - meter->start_ns + 1;
    uint64_t wanted = meter->op_count * NS_PER_MS / elapsed_ns / METER_LOOKS_PER_MS;
    uint64_t step = meter->look_step * 2;

    if (step > wanted)
        step = wanted;
    return step < 1 ? 1 : step;
}

bool meter_look(struct meter *meter)
{
    uint64_t now = now_ns();

    if (meter_over(meter))
        return false;
    if (meter->start_ns == 0)
        meter->start_ns = now;
    if (meter->first_ns == 0 && now - meter->start_ns >= meter->warm_ns) {
        meter->first_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        meter->first_op_count = meter->op_count;
        meter->first_ns = now;
    } else if (meter->first_ns != 0 && now - meter->first_ns >= meter->measure_ns) {
        meter->last_cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        meter->last_op_count = meter->op_count;
        meter->last_ns = now;
        return false;
    }
    meter->look_step = next_look_step(meter, now);
    meter->look_at = meter->op_count + meter->look_step;
    return true;
}

double meter_ops_per_s(const struct meter *meter)
{
    uint64_t ops = meter->last_op_count - meter->first_op_count;

    return (double)ops * (double)NS_PER_S / (double)(meter->last_ns - meter->first_ns);
}

double meter_cpu_ns_per_op(const struct meter *meter)
{
    uint64_t ops = meter->last_op_count - meter->first_op_count;

    return (double)(meter->last_cpu_ns - meter->first_cpu_ns) / (double)ops;
}

/* --- Histogram ------------------------------------------------------------------------------- */

static unsigned histogram_slot(uint64_t value)
{
    uint64_t largest = (UINT64_C(1) << HISTOGRAM_VALUE_BITS) - 1;
    unsigned exponent, octave;

    if (value > largest)
        value = largest;
    if (value < (1u << HISTOGRAM_STEP_BITS))
        return (unsigned)value;
    exponent = 63 - (unsigned)__builtin_clzll(value);
    octave = exponent - HISTOGRAM_STEP_BITS;
    /* The leading bit is dropped by the octave: the next seven bits are the step. */
    return ((octave + 1) << HISTOGRAM_STEP_BITS) +
           (unsigned)((value >> octave) & ((1u << HISTOGRAM_STEP_BITS) - 1));
}

/* The middle of the values that fall into the slot. */
static double histogram_slot_value(unsigned slot)
{
    unsigned steps = 1u << HISTOGRAM_STEP_BITS;
    unsigned octave = slot / steps;
    uint64_t low;

    if (octave == 0)
        return slot;
    low = (uint64_t)(steps + slot % steps) << (octave - 1);
    return (double)low + (double)(UINT64_C(1) << (octave - 1)) / 2;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->slots[histogram_slot(value)]++;
    histogram->count++;
}

double histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t rank = (uint64_t)ceil(share * (double)histogram->count);
    uint64_t seen = 0;

    for (unsigned slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
        seen += histogram->slots[slot];
        if (seen >= rank && seen > 0)
            return histogram_slot_value(slot);
    }
    return NAN;
}
