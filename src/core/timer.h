/* SPDX-License-Identifier: MIT */
/*
 * Timers: a hierarchical wheel per loop that holds a million and arms or cancels in O(1).
 *
 * Time is cut into ticks of 2^14 ns (16 us). A timer's tick is its deadline rounded up, so it never
 * fires early. Level L has 64 slots of 64^L ticks; a timer sits on the level of the highest digit
 * (base 64) in which its tick differs from the wheel's. When the wheel reaches a slot of a higher
 * level, its timers move down ("cascade"). One bitmap per level finds the next busy slot.
 *
 *   level   0      1      2      3      4      5      6      7
 *   slot    16 us  1 ms   67 ms  4.3 s  4.6 m  4.9 h  13 d   2.3 y
 *
 * Owned by one loop; no locks.
 */
#ifndef WEIR_CORE_TIMER_H
#define WEIR_CORE_TIMER_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    WEIR__TIMER_TICK_BITS = 14,
    WEIR__TIMER_SLOT_BITS = 6,
    WEIR__TIMER_SLOTS = 1 << WEIR__TIMER_SLOT_BITS,
    WEIR__TIMER_LEVELS = 8,
};

struct weir__timer {
    struct weir__list link; /* in a slot; at itself when not armed */
    int64_t deadline_ns;
    uint16_t slot; /* level * WEIR__TIMER_SLOTS + index, valid while armed */
    /* Runs on the loop, disarmed, when the deadline has passed. May not park. */
    void (*fire)(struct weir__timer *timer);
};

struct weir__wheel {
    uint64_t tick;  /* all earlier ticks have been expired */
    uint64_t count; /* timers armed */
    uint64_t busy[WEIR__TIMER_LEVELS];
    struct weir__list slots[WEIR__TIMER_LEVELS * WEIR__TIMER_SLOTS];
};

void weir__wheel_init(struct weir__wheel *wheel, int64_t now_ns);

/* The timer's fire must be set. The deadline may have passed: it fires at the next expiry. */
void weir__timer_arm(struct weir__wheel *wheel, struct weir__timer *timer, int64_t deadline_ns);

/* A no-op when it is not armed. */
void weir__timer_disarm(struct weir__wheel *wheel, struct weir__timer *timer);

static inline void weir__timer_init(struct weir__timer *timer,
                                    void (*fire)(struct weir__timer *timer))
{
    weir__list_init(&timer->link);
    timer->fire = fire;
}

static inline bool weir__timer_armed(const struct weir__timer *timer)
{
    return !weir__list_empty(&timer->link);
}

/* Fires what is due. */
void weir__wheel_expire(struct weir__wheel *wheel, int64_t now_ns);

/* When to look next: not later than the earliest timer; INT64_MAX when there is none. */
int64_t weir__wheel_next(const struct weir__wheel *wheel);

/* Walks the whole wheel and asserts its invariants. */
void weir__wheel_verify(const struct weir__wheel *wheel);

#endif
