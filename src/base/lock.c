/* SPDX-License-Identifier: MIT */
/* The slow side of the short lock: wait a little, then sleep, with growing pauses. */
#include "base/lock.h"

#include "base/clock.h"

enum {
    FIRST_PAUSES = 8, /* before the first look, then twice as many, ... */
    LAST_PAUSES = 32, /* ... to here: about a microsecond in all */
    SLEEP_MIN_NS = 2000,
    SLEEP_MAX_NS = 200000,
};

void (*weir__lock_release_hook)(void);

static int lock_try(struct weir__lock *lock)
{
    /* relaxed: only a hint; the exchange decides */
    if (atomic_load_explicit(&lock->held, memory_order_relaxed))
        return 0;
    /* acquire; pairs with the release in weir__lock_release */
    return !atomic_exchange_explicit(&lock->held, 1, memory_order_acquire);
}

void weir__lock_contend(struct weir__lock *lock)
{
    int64_t sleep_ns = SLEEP_MIN_NS;

    for (;;) {
        for (int pauses = FIRST_PAUSES; pauses <= LAST_PAUSES; pauses *= 2) {
            for (int i = 0; i < pauses; i++)
                weir__cpu_pause();
            if (lock_try(lock))
                return;
        }
        weir__clock_sleep(sleep_ns);
        if (sleep_ns < SLEEP_MAX_NS)
            sleep_ns *= 2;
    }
}
