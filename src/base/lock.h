/* SPDX-License-Identifier: MIT */
/*
 * The short lock: one word, taken by one exchange, given back by one store (about 2 ns a pair when
 * nobody contends). It is held for pointer moves and one copy, never across a wake, a callback, an
 * allocation or a system call.
 *
 * Contention: wait with growing pauses, looking rarely, for about a microsecond, then sleep with
 * growing pauses. Each look takes the holder's cache line away: who looks seldom lets the holder
 * run on, and gets more done itself (4 senders and 4 receivers on two loops: 9 ns a message, 56
 * when it looked at every pause). A holder that was preempted needs the core more than the one who
 * waits for it: with more threads than cores pure spinning fell to a quarter of this throughput,
 * with waits of 740 ms instead of 20.
 */
#ifndef WEIR_BASE_LOCK_H
#define WEIR_BASE_LOCK_H

#include "base/assert.h"
#include "base/point.h"

#include <stdatomic.h>

struct weir__lock {
    atomic_uint held; /* 0 free, 1 held */
};

void weir__lock_contend(struct weir__lock *lock);

/* Tests set it to inject a yield wherever a lock is released; NULL otherwise. Debug builds only. */
extern void (*weir__lock_release_hook)(void);

static inline void weir__lock_acquire(struct weir__lock *lock)
{
    weir__point_pass(WEIR__POINT_LOCK, lock);
    /* acquire; pairs with the release in weir__lock_release */
    if (WEIR_UNLIKELY(atomic_exchange_explicit(&lock->held, 1, memory_order_acquire)))
        weir__lock_contend(lock);
}

static inline void weir__lock_release(struct weir__lock *lock)
{
    /* release; pairs with the acquire in weir__lock_acquire and weir__lock_contend */
    atomic_store_explicit(&lock->held, 0, memory_order_release);
    weir__point_pass(WEIR__POINT_UNLOCK, lock);
    if (WEIR_DEBUG && WEIR_UNLIKELY(weir__lock_release_hook != 0))
        weir__lock_release_hook();
}

#endif
