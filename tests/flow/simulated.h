/* SPDX-License-Identifier: MIT */
/*
 * Simulated time: a program that includes this has a clock of its own, which stands still until a
 * test moves it. So no figure depends on the machine.
 */
#ifndef WEIR_TESTS_FLOW_SIMULATED_H
#define WEIR_TESTS_FLOW_SIMULATED_H

#include "base/clock.h"
#include "core/sched.h"

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

enum { US = 1000, MS = 1000 * US, SECOND = 1000 * MS };

static _Atomic int64_t simulated_ns;

int64_t weir__clock_now(void)
{
    return atomic_load(&simulated_ns);
}

void weir__clock_sleep(int64_t duration_ns)
{
    const struct timespec pause = { .tv_nsec = duration_ns % SECOND };

    nanosleep(&pause, NULL);
}

int64_t weir__clock_add(int64_t base_ns, int64_t duration_ns)
{
    return duration_ns > INT64_MAX - base_ns ? INT64_MAX : base_ns + duration_ns;
}

/* Before the runtime starts: near the real time, which the kernel's own timeouts go by. */
static inline int start_clock(void **state)
{
    struct timespec now;

    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &now);
    atomic_store(&simulated_ns, (int64_t)now.tv_sec * SECOND);
    return 0;
}

/* Lets time pass, and then everybody act who can. */
static inline void pass_time(int64_t duration_ns)
{
    atomic_fetch_add(&simulated_ns, duration_ns);
    weir__sched_settle();
}

#endif
