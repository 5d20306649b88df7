/* SPDX-License-Identifier: MIT */
/* The real clock; see clock.h. */
#include "base/clock.h"

#include "base/exempt.h"

#include <time.h>

enum { NS_PER_SECOND = 1000000000 };

int64_t weir__clock_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

void weir__clock_sleep(int64_t duration_ns)
{
    struct timespec pause = {
        .tv_sec = (time_t)(duration_ns / NS_PER_SECOND),
        .tv_nsec = (long)(duration_ns % NS_PER_SECOND),
    };

    weir__exempt_open();
    clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    weir__exempt_shut();
}

int64_t weir__clock_add(int64_t base_ns, int64_t duration_ns)
{
    int64_t sum_ns;

    if (__builtin_add_overflow(base_ns, duration_ns, &sum_ns))
        return duration_ns > 0 ? INT64_MAX : 1;
    return sum_ns > 0 ? sum_ns : 1;
}
