/* SPDX-License-Identifier: MIT */
/*
 * The one table of counters: enum weir_counter names them, base/counter.c their names. One block a
 * loop, written by that loop alone, read by anybody.
 */
#ifndef WEIR_BASE_COUNTER_H
#define WEIR_BASE_COUNTER_H

#include <weir/stats.h>

#include <stdatomic.h>

struct weir__counters {
    _Atomic uint64_t values[WEIR_COUNTER_COUNT];
};

static inline void weir__counter_set(struct weir__counters *counters, enum weir_counter id,
                                     uint64_t value)
{
    /* relaxed: one writer; readers want a recent figure, not an order */
    atomic_store_explicit(&counters->values[id], value, memory_order_relaxed);
}

static inline uint64_t weir__counter_get(const struct weir__counters *counters,
                                         enum weir_counter id)
{
    return atomic_load_explicit(&counters->values[id], memory_order_relaxed);
}

/* A plain add: no other thread writes this block. */
static inline void weir__counter_add(struct weir__counters *counters, enum weir_counter id,
                                     uint64_t amount)
{
    weir__counter_set(counters, id, weir__counter_get(counters, id) + amount);
}

/* A high-water mark. */
static inline void weir__counter_raise(struct weir__counters *counters, enum weir_counter id,
                                       uint64_t level)
{
    if (__builtin_expect(weir__counter_get(counters, id) < level, 0))
        weir__counter_set(counters, id, level);
}

#endif
