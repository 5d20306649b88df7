/* SPDX-License-Identifier: MIT */
/*
 * Random numbers for fairness, not for secrets: PCG RXS-M-XS 64 (O'Neill, 2014), one state per
 * owner, seeded from the kernel. Replaceable at link time, so that a run can be replayed.
 */
#ifndef WEIR_BASE_RANDOM_H
#define WEIR_BASE_RANDOM_H

#include "base/point.h"

#include <stdint.h>

struct weir__random {
    uint64_t state;
};

void weir__random_seed(struct weir__random *random);

/* The generator underneath: the high half is good for choices, the low bits are weak. */
static inline uint64_t weir__random_step(struct weir__random *random)
{
    return random->state = random->state * 6364136223846793005U + 1442695040888963407U;
}

static inline uint64_t weir__random_next(struct weir__random *random)
{
    uint64_t state = weir__random_step(random);
    uint64_t word = ((state >> ((state >> 59) + 5)) ^ state) * 12605985483714917081U;

    return (word >> 43) ^ word;
}

/* A number in [0, bound), bound > 0; the bias is below bound / 2^32. */
static inline uint32_t weir__random_below(struct weir__random *random, uint32_t bound)
{
    return weir__point_choose(bound, (uint32_t)(((weir__random_step(random) >> 32) * bound) >> 32));
}

#endif
