/* SPDX-License-Identifier: MIT */
/*
 * Credits: the right to have one bounded thing in flight (a disk operation, a queued job). A full
 * queue parks the newcomer in order, refuses it, or lets it expire, as its owner chose; every wait
 * is counted. A credit that comes back goes to the oldest waiter directly. Giving one back never
 * waits.
 */
#ifndef WEIR_CORE_CREDIT_H
#define WEIR_CORE_CREDIT_H

#include "base/list.h"
#include "base/lock.h"

#include <weir/base.h>

struct weir__reason;

struct weir__credits {
    struct weir__lock lock;
    const struct weir__reason *reason;
    size_t limit;
    enum weir_when_full when_full;
    int64_t wait_limit_ns; /* under WEIR_WHEN_FULL_EXPIRE */
    /* Under the lock. */
    size_t used;
    size_t used_max;
    struct weir__list waiters; /* weir__waiter.link */
    uint64_t waited_count;
    uint64_t wait_ns; /* sum over those who waited */
    uint64_t refused_count;
    uint64_t expired_count;
};

/* `reason` is why somebody waits for one. */
void weir__credits_init(struct weir__credits *credits, const struct weir__reason *reason,
                        size_t limit, enum weir_when_full when_full, int64_t wait_limit_ns);

/*
 * 0 with a credit; without one -EBUSY refused, -EAGAIN or -ETIME none by the deadline or by the
 * queue's own limit, -ECANCELED. Parks.
 */
int weir__credits_take(struct weir__credits *credits, int64_t deadline_ns);

/* Any thread. */
void weir__credits_give(struct weir__credits *credits);

#endif
