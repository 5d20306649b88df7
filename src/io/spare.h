/* SPDX-License-Identifier: MIT */
/*
 * Waiting for a descriptor to spare: who got -EMFILE parks here until weir_close has made one free,
 * on any loop of the process. What is closed behind weir's back is not heard of: bound the wait.
 *
 *     seen = weir__spare_watch();
 *     while (still short of descriptors)          tried after the watch began: no close is missed
 *         weir__spare_wait(&seen, a bound);
 *     weir__spare_unwatch();
 *
 * A close costs one fence and one load while nobody watches.
 */
#ifndef WEIR_IO_SPARE_H
#define WEIR_IO_SPARE_H

#include <stdatomic.h>
#include <stdint.h>

/* How many watch now; any thread. */
extern atomic_uint weir__spare_watchers;

/* From now on closes are noticed. Returns how many have been. */
uint32_t weir__spare_watch(void);
void weir__spare_unwatch(void);

/* Parks until more closes were noticed than *seen, which is then up to date. 0; -ETIME;
 * -ECANCELED. */
int weir__spare_wait(uint32_t *seen, int64_t deadline_ns);

/* Wakes all who wait, so that they look again. Any thread. */
void weir__spare_notify(void);

/* A descriptor has been closed. */
static inline void weir__spare_closed(void)
{
    /* seq_cst; pairs with the one in weir__spare_watch: either this sees the watcher, or the
     * watcher's next try sees the free descriptor */
    atomic_thread_fence(memory_order_seq_cst);
    if (__builtin_expect(atomic_load_explicit(&weir__spare_watchers, memory_order_relaxed) != 0, 0))
        weir__spare_notify();
}

#endif
