/* SPDX-License-Identifier: MIT */
/*
 * The one park. Everything that suspends (channel, select, op, sleep, join, pool job, waiting for
 * a credit) is a waiter on a wait, with three verbs:
 *
 *   add    begin a wait, and leave waiters where others will find them
 *   park   give up the loop until the wait was claimed
 *   fire   claim the wait for one waiter, record the outcome, wake its owner
 *
 * The wait's word is written once per wait, by whoever commits:
 *
 *               begin                 claim(code): exactly one wins
 *   IDLE/code ---------> OPEN ---------------------------------------> code
 *                          |                                             |
 *                          |  deadline or cancel, on the home loop:      |  wake, exactly one,
 *                          |  interrupt(reason), by default a claim      |  by the winner
 *                          `---------------------------------------------+-----> park returns code
 *
 *   code >= 0   the index of the waiter that fired       -ETIME       the deadline came first
 *                                                        -ECANCELED   the task was cancelled first
 *
 * What holds:
 *  - A waiter may be found by others only between begin and the end of its wait; its owner unlinks
 *    it (under the lock of where it hangs) before its frame goes.
 *  - Whoever claims also wakes, and touches nothing of the wait after the wake.
 *  - The outcome is written between claim and wake, so the owner, who returns from park only by
 *    that wake, sees it.
 *  - A wake reaches a task through its home loop (its ready queue, or its mailbox), so a task is
 *    never resumed before it has switched out.
 *  - An owner that finds its wait already claimed must still park: the wake is on its way.
 *  - Only the home loop interrupts. A wait whose memory others use until a later event (an op in
 *    the kernel, a running job) sets `interrupt` to ask for an early end instead of claiming one.
 *
 * The verbs that suspend and wake are in park.h.
 *
 * A plain thread waits the same way, on a futex: its wait has no loop.
 */
#ifndef WEIR_CORE_WAIT_H
#define WEIR_CORE_WAIT_H

#include "base/list.h"
#include "base/point.h"
#include "core/mailbox.h"
#include "core/timer.h"

#include <limits.h>
#include <stdint.h>

#include <weir/base.h>

struct weir__loop;

/* Why somebody waits: one constant for each place that parks. */
struct weir__reason {
    const char *name;
    enum weir_phase phase;
    /* What the wait's object is, in words, from its home loop while it lasts; optional. */
    void (*describe)(const void *object, char *text, size_t bytes);
};

enum {
    WEIR__WAIT_IDLE = INT_MIN,
    WEIR__WAIT_OPEN = INT_MIN + 1,
};

struct weir__wait {
    atomic_int word;         /* see above */
    struct weir__loop *loop; /* home; NULL: a plain thread */
    /* Home loop only. What an early end means for this wait; NULL: claim it with the reason. */
    void (*interrupt)(struct weir__wait *wait, int reason);
    void *subject; /* what `interrupt` is about */
    /* Of the owner, valid while the wait is open: for those who look. */
    const struct weir__reason *reason;
    const void *object; /* what it waits on; by `reason`, may be NULL */
    /* Of the claimer, until the wake: the next wait that it claimed under the same lock. */
    struct weir__wait *also;
    void (*wake)(struct weir__wait *wait); /* how, when there is no loop */
    struct weir__mail mail; /* the wake node: in a mailbox, then in the ready queue */
};

/* The wait of a plain thread. */
struct weir__thread_wait {
    struct weir__wait wait;
    struct weir__list timers; /* clause timers, see weir__wait_arm_timer */
    atomic_uint futex;        /* 1 once woken */
};

/* One way in which a wait can end. Lives in the frame of the one who waits. */
struct weir__waiter {
    struct weir__list link; /* where others find it; stale once it has fired */
    struct weir__wait *wait;
    void *elem; /* bytes to send, or room for what is received */
    int index;  /* the code it claims with */
    int result; /* the outcome, by the one who fires */
    bool alone; /* the only waiter of its wait, and found under one lock only */
    /* What else the place where it hangs must know. */
    bool is_async;    /* channels: counts against the limit of async operations */
    uint8_t watch;    /* channels: what a watcher waits for */
    size_t weight;    /* channels: of the element to send, or the level that is waited for */
    int64_t since_ns; /* also spawns: when it began to wait, by the loop's reading of the clock */
};

/* Opens the wait. Waiters published after this (by a lock's release) may fire at once. */
static inline void weir__wait_begin(struct weir__wait *wait, const struct weir__reason *reason,
                                    const void *object)
{
    wait->reason = reason;
    wait->object = object;
    wait->interrupt = NULL;
    wait->also = NULL;
    /* relaxed: the release of the lock under which a waiter is linked publishes it */
    atomic_store_explicit(&wait->word, WEIR__WAIT_OPEN, memory_order_relaxed);
}

/* Whether the wait is decided already. A hint for those who may claim it. */
static inline bool weir__wait_is_open(const struct weir__wait *wait)
{
    /* relaxed: weir__wait_claim decides */
    return atomic_load_explicit(&wait->word, memory_order_relaxed) == WEIR__WAIT_OPEN;
}

/* Commits the wait to `code`; true for exactly one caller. */
static inline bool weir__wait_claim(struct weir__wait *wait, int code)
{
    int open = WEIR__WAIT_OPEN;

    weir__point_pass(WEIR__POINT_CLAIM, wait);
    /* acq_rel: the winner sees what its owner wrote before begin, and the losers' reload of the
     * word sees the winner. Pairs with itself and with the acquire in park. */
    return atomic_compare_exchange_strong_explicit(&wait->word, &open, code, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

/* Claims and wakes. For those who have nothing to record in between. */
bool weir__wait_fire(struct weir__wait *wait, int code);

enum weir__park_flags {
    WEIR__PARK_CANCELLABLE = 0,
    WEIR__PARK_RELEASE = 1 << 0, /* a release call: cancel does not interrupt it */
};

/* Home loop, or the owner itself: ends the wait early, or asks for it. */
void weir__wait_interrupt(struct weir__wait *wait, int reason);

/* A timer of the wait's owner: on its loop's wheel, or, for a plain thread, watched by its park. */
void weir__wait_arm_timer(struct weir__wait *wait, struct weir__timer *timer, int64_t deadline_ns);
void weir__wait_disarm_timer(struct weir__wait *wait, struct weir__timer *timer);

#endif
