/* SPDX-License-Identifier: MIT */
/*
 * The verbs of wait.h as the hot paths use them: inline, with the rare cases in wait.c. Every call
 * that may suspend goes: check, look under a lock, refuse or begin and add, park.
 */
#ifndef WEIR_CORE_PARK_H
#define WEIR_CORE_PARK_H

#include "base/clock.h"
#include "core/sched.h"
#include "core/wait.h"

#include <errno.h>

/* The rare sides; wait.c. */
struct weir__wait *weir__wait_of_thread(void);
struct weir__random *weir__wait_random_of_thread(void);
int weir__wait_refusal(int64_t deadline_ns); /* the same, of a call that may succeed all the same */
int weir__wait_refuse_deadline(int64_t deadline_ns);
void weir__wait_wake_elsewhere(struct weir__wait *wait);
int weir__wait_park_slowly(struct weir__wait *wait, int64_t deadline_ns, unsigned flags);

/* The wait of the calling task, or of the calling thread when it runs no task. */
static inline struct weir__wait *weir__wait_self(void)
{
    struct weir__loop *loop = weir__loop_current;

    return WEIR_LIKELY(loop != NULL) ? &loop->current->wait : weir__wait_of_thread();
}

/* The random numbers of the calling task's loop, or of the calling thread. */
static inline struct weir__random *weir__wait_random(void)
{
    struct weir__loop *loop = weir__loop_current;

    return WEIR_LIKELY(loop != NULL) ? &loop->random : weir__wait_random_of_thread();
}

/* -ECANCELED when the caller is a cancelled task without a shield, -EOWNERDEAD in a forked child;
 * else 0. */
static inline int weir__wait_check(void)
{
    struct weir__loop *loop = weir__loop_current;

    if (WEIR_LIKELY(loop != NULL))
        return weir__task_is_interrupted(loop->current) ? -ECANCELED : 0;
    return WEIR_UNLIKELY(weir__loop_forked) ? -EOWNERDEAD : 0;
}

/* What a call returns instead of parking when its deadline cannot be waited for; 0 when it can:
 * -EAGAIN for WEIR_NOW, -ETIME for one that has passed. */
static inline int weir__wait_refuse(int64_t deadline_ns)
{
    return WEIR_LIKELY(deadline_ns == WEIR_FOREVER) ? 0 : weir__wait_refuse_deadline(deadline_ns);
}

/* How long the caller may wait. Nobody can cancel a thread, so it keeps itself the deadline of the
 * job that it runs. */
static inline int64_t weir__wait_deadline(int64_t deadline_ns)
{
    int64_t above_ns = weir__inherited_of_thread.deadline_ns;

    return !weir__loop_current && above_ns < deadline_ns ? above_ns : deadline_ns;
}

/* Makes the owner of a wait that the caller has claimed runnable. Outside of any lock. */
static inline void weir__wait_wake(struct weir__wait *wait)
{
    struct weir__loop *home = wait->loop;

    if (WEIR_LIKELY(home == weir__loop_current && home != NULL))
        weir__sched_ready(home, weir__task_of(wait));
    else
        weir__wait_wake_elsewhere(wait);
}

/*
 * Parks the owner, who must be the caller, until the wait is claimed and its wake has come; returns
 * the code. The deadline interrupts it with -ETIME, a cancel with -ECANCELED, unless `flags` says
 * that it is a release call.
 */
static inline int weir__wait_park(struct weir__wait *wait, int64_t deadline_ns, unsigned flags)
{
    struct weir__loop *loop = wait->loop;

    if (WEIR_UNLIKELY(!loop || deadline_ns != WEIR_FOREVER || weir__task_of(wait)->cancelled))
        return weir__wait_park_slowly(wait, deadline_ns, flags);
    weir__task_of(wait)->park_flags = (uint8_t)flags;
    weir__sched_park(loop);
    /* acquire; pairs with the claim: what the winner knew before it is seen */
    return atomic_load_explicit(&wait->word, memory_order_acquire);
}

enum { WEIR__FETCHED_LINES = 6, WEIR__LINE_BYTES = 64 };

/*
 * Claims and wakes a wait of a task of this loop that only this loop claims: no compare-exchange.
 * The task's stack has lain still for as long as its peer took: it is fetched meanwhile.
 */
static inline void weir__wait_fire_here(struct weir__wait *wait, int code)
{
    const char *stack = (const char *)weir__task_of(wait)->fiber.sp;

    WEIR_DEBUG_ASSERT(wait->loop == weir__loop_current);
    if (!weir__wait_is_open(wait))
        return;
    weir__point_pass(WEIR__POINT_CLAIM, wait);
    /* relaxed: owner and claimer are the same thread */
    atomic_store_explicit(&wait->word, code, memory_order_relaxed);
    weir__sched_ready(wait->loop, weir__task_of(wait));
    for (int line = 0; line < WEIR__FETCHED_LINES; line++)
        __builtin_prefetch(stack + line * WEIR__LINE_BYTES);
}

/* Wakes all of a chain of claimed waits. */
static inline void weir__wait_wake_all(struct weir__wait *wake)
{
    while (wake) {
        struct weir__wait *next = wake->also; /* read first: the wake gives the wait back */

        weir__wait_wake(wake);
        wake = next;
    }
}

/* Puts a claimed wait at the end of a chain; returns where the next one goes. */
static inline struct weir__wait **weir__wait_chain(struct weir__wait **wake,
                                                   struct weir__wait *wait)
{
    while (*wake)
        wake = &(*wake)->also;
    *wake = wait;
    return &wait->also;
}

/* After a call that did not park: wakes the peers it met, if any, and pays for the turn. */
static inline void weir__wait_settle(struct weir__wait *wake)
{
    struct weir__loop *loop = weir__loop_current;

    weir__wait_wake_all(wake);
    if (WEIR_LIKELY(loop != NULL))
        weir__sched_pay(loop);
}

/*
 * Takes a waiter off its list (under its lock) and claims its wait; false when that is decided
 * elsewhere.
 *
 * A wait with one waiter, of this very loop, needs no compare-exchange: other loops claim it only
 * under the lock that is held here, and its own loop is where we are.
 */
static inline bool weir__waiter_claim(struct weir__waiter *waiter)
{
    struct weir__wait *wait = waiter->wait;

    weir__list_remove(&waiter->link);
    if (WEIR_LIKELY(waiter->alone && wait->loop == weir__loop_current && wait->loop)) {
        if (weir__wait_is_open(wait)) {
            weir__point_pass(WEIR__POINT_CLAIM, wait);
            /* relaxed: owner and claimer are the same thread */
            atomic_store_explicit(&wait->word, waiter->index, memory_order_relaxed);
            return true;
        }
    } else if (weir__wait_claim(wait, waiter->index)) {
        return true;
    }
    /* Its owner will ask whether it is queued; a winner's does not. */
    weir__list_init(&waiter->link);
    return false;
}

/* The oldest waiter whose wait can still be claimed, claimed and taken off; NULL when there is
 * none. Those whose wait is decided elsewhere are taken off too. */
static inline struct weir__waiter *weir__waiter_claim_first(struct weir__list *waiters)
{
    while (!weir__list_empty(waiters)) {
        struct weir__waiter *waiter = WEIR_CONTAINER_OF(waiters->next, struct weir__waiter, link);

        if (weir__waiter_claim(waiter))
            return waiter;
    }
    return NULL;
}

/* The time as the running loop last read it; a plain thread reads the clock. */
static inline int64_t weir__wait_now(void)
{
    struct weir__loop *loop = weir__loop_current;

    return WEIR_LIKELY(loop != NULL) ? loop->now_ns : weir__clock_now();
}

#endif
