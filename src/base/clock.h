/* SPDX-License-Identifier: MIT */
/*
 * The only place that reads the clock: CLOCK_MONOTONIC, in ns. Replaceable at link time, so that a
 * simulated machine can stand in. A reading costs ten stack switches: loops cache one per turn.
 */
#ifndef WEIR_BASE_CLOCK_H
#define WEIR_BASE_CLOCK_H

#include <stdint.h>

int64_t weir__clock_now(void);

/* Sleeps the calling thread for at least `duration_ns`, signals aside. */
void weir__clock_sleep(int64_t duration_ns);

/* `base + duration`, saturating at INT64_MAX and 1: a computed deadline is never WEIR_NOW. */
int64_t weir__clock_add(int64_t base_ns, int64_t duration_ns);

/* Tells the core that this is a spin loop. */
#if defined(__x86_64__)
#define WEIR__CPU_PAUSE "pause"
#else
#define WEIR__CPU_PAUSE "yield"
#endif

static inline void weir__cpu_pause(void)
{
    __asm__ volatile(WEIR__CPU_PAUSE ::: "memory");
}

#endif
