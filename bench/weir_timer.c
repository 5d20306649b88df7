/* SPDX-License-Identifier: MIT */
/*
 * Arming and cancelling a timer while a million others are armed: the loop's own wheel, without the
 * park around it. The armed ones lie within a minute, the recent one within 100 ms.
 */
#include "weir_peer.h"

#include "core/timer.h"

#include <stdlib.h>

enum {
    TIMERS = 1 << 20,
    RECENT = 64, /* timers that take turns */
};

static struct weir__wheel wheel;

static void never(struct weir__timer *timer)
{
    (void)timer;
    trial_fail("a timer fired in a wheel that nobody turns");
}

static void arm_a_million(int64_t now, uint64_t *random)
{
    struct weir__timer *timers = malloc(TIMERS * sizeof *timers);

    if (timers == NULL)
        trial_fail("no memory for the timers");
    weir__wheel_init(&wheel, now);
    for (unsigned index = 0; index < TIMERS; index++) {
        weir__timer_init(&timers[index], never);
        weir__timer_arm(&wheel, &timers[index],
                        now + (int64_t)(random_next(random) % (60 * NS_PER_S)));
    }
}

uint64_t weir_timers(uint64_t op_count)
{
    static bool armed;
    struct weir__timer recent[RECENT];
    uint64_t random = 88172645463325252u;
    int64_t now = (int64_t)now_ns();
    uint64_t start_ns;

    if (!armed)
        arm_a_million(now, &random);
    armed = true;
    for (unsigned index = 0; index < RECENT; index++)
        weir__timer_init(&recent[index], never);
    start_ns = now_ns();
    for (uint64_t op = 0; op < op_count; op++) {
        struct weir__timer *timer = &recent[op % RECENT];
        weir__timer_arm(&wheel, timer, now + (int64_t)(random_next(&random) % (100 * NS_PER_MS)));
        weir__timer_disarm(&wheel, timer);
    }
    return now_ns() - start_ns;
}
