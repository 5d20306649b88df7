/* SPDX-License-Identifier: MIT */
/*
 * A bound on bytes, shared by all that take memory for tasks and buffers in a runtime. Taking never
 * waits: there is room, or not. Who wants to wait for room leaves a waiter and tries again when it
 * is told that bytes came back (core/room.h).
 *
 * What holds: `used` never exceeds `limit`, and is the sum of what was taken and not given back.
 * Bytes that come back are told to those who wait: a giver gives, then looks whether anybody waits;
 * one who waits says so, then tries once more. All sequentially consistent, so one sees the other.
 */
#ifndef WEIR_BASE_BUDGET_H
#define WEIR_BASE_BUDGET_H

#include "base/list.h"
#include "base/lock.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir__budget {
    size_t limit;       /* bytes; SIZE_MAX: none. Constant */
    atomic_size_t used; /* bytes */
    atomic_size_t used_max;
    _Atomic uint64_t refused_count;
    atomic_uint waiting_count;
    atomic_uint holders; /* the runtime, and what may outlive it */
    /* Bytes came back, and somebody waits: any thread. Constant. */
    void (*notify)(struct weir__budget *budget);
    struct weir__lock lock;
    /* Under the lock. */
    struct weir__list waiters; /* weir__waiter.link */
    uint64_t waited_count;
    uint64_t wait_ns; /* sum over those who waited */
    uint64_t wait_max_ns;
    uint64_t expired_count;
};

/* For one holder; NULL without memory. A limit of 0 is none. */
struct weir__budget *weir__budget_create(size_t limit, void (*notify)(struct weir__budget *budget));

/* One more holder; one less, who has given all back: the last one frees it. */
void weir__budget_hold(struct weir__budget *budget);
void weir__budget_leave(struct weir__budget *budget);

/* Any thread: so many bytes more; false, without side effect, beyond the limit, which is counted.
 */
bool weir__budget_take(struct weir__budget *budget, size_t bytes);

/* Any thread. */
void weir__budget_give(struct weir__budget *budget, size_t bytes);

#endif
