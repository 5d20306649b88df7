/* SPDX-License-Identifier: MIT */
/*
 * Random numbers for fairness, not for secrets: xoroshiro128+ (Blackman and Vigna, 2018), one
 * state per owner, seeded from the kernel. Replaceable at link time, so that a run can be replayed.
 */
#ifndef WEIR_BASE_RANDOM_H
#define WEIR_BASE_RANDOM_H

#include "base/point.h"

#include <stdint.h>

struct weir__random {
    uint64_t state[2];
};

void weir__random_seed(struct weir__random *random);

static inline uint64_t weir__random_next(struct weir__random *random)
{
    uint64_t first = random->state[0];
    uint64_t second = random->state[1];
    uint64_t result = first + second;

    second ^= first;
    random->state[0] = ((first << 24) | (first >> 40)) ^ second ^ (second << 16);
    random->state[1] = (second << 37) | (second >> 27);
    return result;
}

/* A number in [0, bound), bound > 0; the bias is below bound / 2^32. */
static inline uint32_t weir__random_below(struct weir__random *random, uint32_t bound)
{
    return weir__point_choose(bound, (uint32_t)(((weir__random_next(random) >> 32) * bound) >> 32));
}

#endif
