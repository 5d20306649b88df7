/* SPDX-License-Identifier: MIT */
/*
 * Sets of states, which remember 128 bits of each: among a million states, two that differ are
 * taken for one with a probability of 2^-88.
 */
#ifndef WEIR_TESTS_MODEL_SET_H
#define WEIR_TESTS_MODEL_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fingerprint {
    uint64_t low, high;
};

struct set {
    struct fingerprint *slots; /* both words 0: free */
    size_t slot_count;         /* a power of two */
    size_t count;
};

/* `bytes` is a multiple of 8, and so is the address. */
struct fingerprint fingerprint_of(const void *data, size_t bytes);

/* A zeroed set is empty, too. */
void set_clear(struct set *set);
void set_free(struct set *set);

/* False when it was in already. */
bool set_add(struct set *set, struct fingerprint print);
bool set_has(const struct set *set, struct fingerprint print);

#endif
