/* SPDX-License-Identifier: MIT */
/*
 * Credits: the right to have one bounded thing in flight (a disk operation, a queued job). A full
 * queue parks the newcomer in order, refuses it, or lets it expire, as its owner chose; every wait
 * is counted. A credit that comes back goes to a waiter directly: of the class whose turn it is
 * (see priority.h) the oldest. Giving one back never waits.
 *
 * Background work may hold a part only. Whenever the lock is free:
 *  - a credit is free only if nobody waits, but for background that has its part in full;
 *  - so a newcomer that takes a free credit overtakes nobody who could have had it.
 */
#ifndef WEIR_CORE_CREDIT_H
#define WEIR_CORE_CREDIT_H

#include "base/list.h"
#include "base/lock.h"
#include "core/priority.h"

#include <weir/base.h>

struct weir__reason;

struct weir__credits {
    struct weir__lock lock;
    const struct weir__reason *reason;
    size_t limit;
    size_t background_limit; /* of those, at most so many in the hands of background work */
    enum weir_when_full when_full;
    int64_t wait_limit_ns; /* under WEIR_WHEN_FULL_EXPIRE */
    /* Under the lock. */
    struct weir__shares shares;
    size_t used;
    size_t used_max;
    size_t background_used;
    struct weir__list waiters[WEIR_PRIORITY_COUNT]; /* weir__waiter.link */
    size_t waiting;                                 /* parked now */
    size_t waiting_max;
    uint64_t waited_count;
    uint64_t wait_ns; /* sum over those who waited */
    uint64_t wait_max_ns;
    uint64_t refused_count;
    uint64_t expired_count;
};

/* `reason` is why somebody waits for one. */
void weir__credits_init(struct weir__credits *credits, const struct weir__reason *reason,
                        size_t limit, enum weir_when_full when_full, int64_t wait_limit_ns);

/* Before the first is taken: the classes have these shares, background at most that many. */
void weir__credits_share(struct weir__credits *credits, const struct weir__shares *shares,
                         size_t background_limit);

/*
 * 0 with a credit; without one -EBUSY refused, -EAGAIN or -ETIME none by the deadline or by the
 * queue's own limit, -ECANCELED. Parks.
 */
int weir__credits_take_as(struct weir__credits *credits, enum weir_priority class,
                          int64_t deadline_ns);

/* Any thread. The class is the one that it was taken with. */
void weir__credits_give_as(struct weir__credits *credits, enum weir_priority class);

struct weir_queue_stats;

/* Any thread: all figures but the names and the loop. */
void weir__credits_read(struct weir__credits *credits, struct weir_queue_stats *stats);

/* For what has no classes. */
static inline int weir__credits_take(struct weir__credits *credits, int64_t deadline_ns)
{
    return weir__credits_take_as(credits, WEIR_PRIORITY_NORMAL, deadline_ns);
}

static inline void weir__credits_give(struct weir__credits *credits)
{
    weir__credits_give_as(credits, WEIR_PRIORITY_NORMAL);
}

#endif
