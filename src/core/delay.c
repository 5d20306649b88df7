/* SPDX-License-Identifier: MIT */
/* Delays of the ready queue, counted by powers of two; see delay.h. */
#include "core/delay.h"

#include "base/clock.h"

void weir__delay_mark(struct weir__delay *delay, const struct weir__mail *last)
{
    delay->marked = last;
    /* relaxed, as all here: one writer; readers want a recent figure, not an order */
    atomic_store_explicit(&delay->since_ns, weir__clock_now(), memory_order_relaxed);
}

static unsigned bucket_of(int64_t duration_ns)
{
    unsigned bucket = duration_ns > 0 ? 63 - (unsigned)__builtin_clzll((uint64_t)duration_ns) : 0;

    return bucket < WEIR_DELAY_BUCKETS ? bucket : WEIR_DELAY_BUCKETS - 1;
}

void weir__delay_note(struct weir__delay *delay)
{
    int64_t since_ns = atomic_load_explicit(&delay->since_ns, memory_order_relaxed);
    _Atomic uint64_t *count = &delay->counts[bucket_of(weir__clock_now() - since_ns)];

    delay->marked = NULL;
    atomic_store_explicit(&delay->since_ns, 0, memory_order_relaxed);
    atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}
