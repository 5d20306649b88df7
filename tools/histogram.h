/* SPDX-License-Identifier: MIT */
/* Latencies in buckets, eight to an octave: a quantile is right within an eighth. */
#ifndef TOOLS_HISTOGRAM_H
#define TOOLS_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_PARTS = 8, /* of an octave */
    HISTOGRAM_BUCKETS = 40 * HISTOGRAM_PARTS,
};

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;
};

static inline unsigned histogram_bucket(int64_t ns)
{
    uint64_t value = ns > 8 ? (uint64_t)ns : 8;
    unsigned octave = 63 - (unsigned)__builtin_clzll(value);
    unsigned part = (unsigned)(value >> (octave - 3)) & 7;

    return octave * HISTOGRAM_PARTS + part;
}

static inline double histogram_bucket_us(unsigned bucket)
{
    unsigned octave = bucket / HISTOGRAM_PARTS;

    return (double)((8 + (uint64_t)(bucket % HISTOGRAM_PARTS) + 1) << (octave - 3)) / 1000;
}

static inline void histogram_add(struct histogram *histogram, int64_t ns)
{
    unsigned bucket = histogram_bucket(ns);

    histogram->counts[bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1]++;
    histogram->total++;
}

static inline double histogram_us(const struct histogram *histogram, double share)
{
    uint64_t rank = (uint64_t)((double)histogram->total * share), seen = 0;

    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen > rank)
            return histogram_bucket_us(bucket);
    }
    return 0;
}

#endif
