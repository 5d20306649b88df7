/* SPDX-License-Identifier: MIT */
/* The timer wheel; see timer.h for the picture. */
#include "core/timer.h"

#include "base/assert.h"

enum {
    LAST_LEVEL = WEIR__TIMER_LEVELS - 1,
    SLOT_MASK = WEIR__TIMER_SLOTS - 1,
};

/* The last tick the levels can tell apart: 146 years of uptime, which is as good as never. */
#define MAX_TICK ((1ull << (WEIR__TIMER_LEVELS * WEIR__TIMER_SLOT_BITS)) - 1)

static uint64_t tick_of(int64_t deadline_ns)
{
    uint64_t ns = deadline_ns > 0 ? (uint64_t)deadline_ns : 0;
    uint64_t tick = (ns + ((1u << WEIR__TIMER_TICK_BITS) - 1)) >> WEIR__TIMER_TICK_BITS;

    return tick < MAX_TICK ? tick : MAX_TICK;
}

/* The level of the highest base-64 digit in which the two ticks differ. */
static unsigned level_of(uint64_t now, uint64_t tick)
{
    uint64_t differs = (now ^ tick) | SLOT_MASK;
    unsigned highest_bit = 63u - (unsigned)__builtin_clzll(differs);

    return highest_bit / WEIR__TIMER_SLOT_BITS;
}

static unsigned index_of(uint64_t tick, unsigned level)
{
    return (unsigned)(tick >> (level * WEIR__TIMER_SLOT_BITS)) & SLOT_MASK;
}

void weir__wheel_init(struct weir__wheel *wheel, int64_t now_ns)
{
    *wheel = (struct weir__wheel){ .tick = (uint64_t)now_ns >> WEIR__TIMER_TICK_BITS };
    for (unsigned slot = 0; slot < WEIR__TIMER_LEVELS * WEIR__TIMER_SLOTS; slot++)
        weir__list_init(&wheel->slots[slot]);
}

void weir__timer_arm(struct weir__wheel *wheel, struct weir__timer *timer, int64_t deadline_ns)
{
    uint64_t tick = tick_of(deadline_ns);
    unsigned level, index;

    if (tick < wheel->tick)
        tick = wheel->tick;
    level = level_of(wheel->tick, tick);
    index = index_of(tick, level);
    timer->deadline_ns = deadline_ns;
    timer->slot = (uint16_t)(level * WEIR__TIMER_SLOTS + index);
    weir__list_append(&wheel->slots[timer->slot], &timer->link);
    wheel->busy[level] |= 1ull << index;
    wheel->count++;
}

void weir__timer_disarm(struct weir__wheel *wheel, struct weir__timer *timer)
{
    unsigned slot = timer->slot;

    if (!weir__timer_armed(timer))
        return;
    weir__list_unlink(&timer->link);
    wheel->count--;
    if (weir__list_empty(&wheel->slots[slot]))
        wheel->busy[slot / WEIR__TIMER_SLOTS] &= ~(1ull << (slot & SLOT_MASK));
}

/* The first tick from the wheel's own on at which a slot wants attention; MAX_TICK when none. */
static uint64_t next_tick(const struct weir__wheel *wheel)
{
    for (unsigned level = 0; level < WEIR__TIMER_LEVELS; level++) {
        unsigned shift = level * WEIR__TIMER_SLOT_BITS;
        unsigned current = index_of(wheel->tick, level);
        uint64_t ahead = wheel->busy[level] >> current << current;

        if (ahead) {
            uint64_t index = (uint64_t)__builtin_ctzll(ahead);
            uint64_t base = wheel->tick >> shift >> WEIR__TIMER_SLOT_BITS << WEIR__TIMER_SLOT_BITS;
            uint64_t start = (base | index) << shift;

            return start > wheel->tick ? start : wheel->tick;
        }
    }
    return MAX_TICK;
}

/* Empties the slots that begin at the wheel's tick: higher levels move down, level 0 fires. */
static void run_tick(struct weir__wheel *wheel)
{
    struct weir__list due;

    weir__list_init(&due);
    for (int digit = LAST_LEVEL; digit >= 0; digit--) {
        unsigned level = (unsigned)digit;
        unsigned index = index_of(wheel->tick, level);
        struct weir__list *slot = &wheel->slots[level * WEIR__TIMER_SLOTS + index];
        struct weir__list moving;
        struct weir__list *link;

        if (!(wheel->busy[level] & (1ull << index)))
            continue;
        weir__list_init(&moving);
        weir__list_splice(&moving, slot);
        wheel->busy[level] &= ~(1ull << index);
        if (level == 0) {
            weir__list_splice(&due, &moving);
            break;
        }
        while ((link = weir__list_pop(&moving))) {
            struct weir__timer *timer = WEIR_CONTAINER_OF(link, struct weir__timer, link);

            wheel->count--;
            weir__timer_arm(wheel, timer, timer->deadline_ns);
        }
    }
    /* A timer in `due` may still be disarmed by one that fires before it: it is linked here. */
    while (!weir__list_empty(&due)) {
        struct weir__timer *timer = WEIR_CONTAINER_OF(due.next, struct weir__timer, link);

        weir__list_unlink(&timer->link);
        wheel->count--;
        timer->fire(timer);
    }
}

void weir__wheel_expire(struct weir__wheel *wheel, int64_t now_ns)
{
    uint64_t now = (uint64_t)now_ns >> WEIR__TIMER_TICK_BITS;

    while (wheel->count) {
        uint64_t tick = next_tick(wheel);

        if (tick > now)
            break;
        wheel->tick = tick;
        run_tick(wheel);
    }
    if (wheel->tick < now)
        wheel->tick = now;
}

int64_t weir__wheel_next(const struct weir__wheel *wheel)
{
    return wheel->count ? (int64_t)(next_tick(wheel) << WEIR__TIMER_TICK_BITS) : INT64_MAX;
}

void weir__wheel_verify(const struct weir__wheel *wheel)
{
    uint64_t count = 0;

    for (unsigned slot = 0; slot < WEIR__TIMER_LEVELS * WEIR__TIMER_SLOTS; slot++) {
        const struct weir__list *head = &wheel->slots[slot];
        bool busy = wheel->busy[slot / WEIR__TIMER_SLOTS] >> (slot & SLOT_MASK) & 1;

        WEIR_ASSERT(busy == !weir__list_empty(head));
        for (const struct weir__list *link = head->next; link != head; link = link->next) {
            const struct weir__timer *timer = WEIR_CONTAINER_OF(link, struct weir__timer, link);

            WEIR_ASSERT(link->next->prev == link);
            WEIR_ASSERT(timer->slot == slot);
            count++;
        }
    }
    WEIR_ASSERT(count == wheel->count);
}
