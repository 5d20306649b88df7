/* SPDX-License-Identifier: MIT */
/*
 * Whose turn it is, among classes of work (enum weir_priority) that wait for the same thing.
 *
 * The rule, everywhere: in a cycle each class has as many turns as its share. The turn goes to the
 * most urgent class that has somebody waiting and turns left: latency, then normal, then
 * background. When no class that waits has turns left, a new cycle begins, all shares whole. So a
 * class waits at most for the shares of the other two, and turns that nobody wants are nobody's.
 */
#ifndef WEIR_CORE_PRIORITY_H
#define WEIR_CORE_PRIORITY_H

#include <weir/base.h>

struct weir_options;

struct weir__shares {
    uint8_t whole[WEIR_PRIORITY_COUNT]; /* turns a cycle, each at least 1; constant */
    uint8_t left[WEIR_PRIORITY_COUNT];  /* of this cycle */
};

/* 8 : 4 : 1, for latency, normal and background. */
extern const struct weir__shares weir__shares_standard;

/* As the runtime's options say, filled in. */
struct weir__shares weir__shares_of(const struct weir_options *options);

/* Takes a turn: the class it goes to, of those that wait (bit i: class i; not none). */
enum weir_priority weir__shares_take(struct weir__shares *shares, unsigned waiting);

#endif
