/* SPDX-License-Identifier: MIT */
/* Credits; see credit.h. */
#include "core/credit.h"

#include "base/clock.h"
#include "core/park.h"

#include <errno.h>

void weir__credits_init(struct weir__credits *credits, const struct weir__reason *reason,
                        size_t limit, enum weir_when_full when_full, int64_t wait_limit_ns)
{
    *credits = (struct weir__credits){
        .reason = reason,
        .limit = limit,
        .when_full = when_full,
        .wait_limit_ns = wait_limit_ns,
    };
    weir__list_init(&credits->waiters);
}

/* Under the lock: 0 with a credit, or why the newcomer may not even wait. */
static int take_or_refuse(struct weir__credits *credits, int64_t deadline_ns)
{
    int error;

    if (credits->used < credits->limit) {
        if (++credits->used > credits->used_max)
            credits->used_max = credits->used;
        return 0;
    }
    if (credits->when_full == WEIR_WHEN_FULL_REFUSE) {
        credits->refused_count++;
        return -EBUSY;
    }
    error = weir__wait_refuse(deadline_ns);
    credits->refused_count += error == -EAGAIN;
    credits->expired_count += error == -ETIME;
    if (error < 0)
        return error;
    return 1;
}

static int wait_for_credit(struct weir__credits *credits, struct weir__waiter *waiter,
                           int64_t deadline_ns)
{
    int64_t start_ns = weir__clock_now();
    int64_t limit_ns = weir__clock_add(start_ns, credits->wait_limit_ns);
    bool own_limit = credits->when_full == WEIR_WHEN_FULL_EXPIRE && limit_ns < deadline_ns;
    int code =
        weir__wait_park(waiter->wait, own_limit ? limit_ns : deadline_ns, WEIR__PARK_CANCELLABLE);

    weir__lock_acquire(&credits->lock);
    if (code < 0)
        weir__list_unlink(&waiter->link);
    credits->waited_count++;
    credits->wait_ns += (uint64_t)(weir__clock_now() - start_ns);
    credits->expired_count += code == -ETIME;
    weir__lock_release(&credits->lock);
    return code;
}

int weir__credits_take(struct weir__credits *credits, int64_t deadline_ns)
{
    struct weir__waiter waiter;
    int outcome;

    weir__lock_acquire(&credits->lock);
    outcome = take_or_refuse(credits, deadline_ns);
    if (outcome <= 0) {
        weir__lock_release(&credits->lock);
        return outcome;
    }
    waiter = (struct weir__waiter){ .wait = weir__wait_self(), .alone = true };
    weir__wait_begin(waiter.wait, credits->reason, credits);
    weir__list_append(&credits->waiters, &waiter.link);
    weir__lock_release(&credits->lock);
    return wait_for_credit(credits, &waiter, deadline_ns);
}

void weir__credits_give(struct weir__credits *credits)
{
    struct weir__waiter *oldest;

    weir__lock_acquire(&credits->lock);
    oldest = weir__waiter_claim_first(&credits->waiters);
    if (!oldest)
        credits->used--;
    weir__lock_release(&credits->lock);
    if (oldest)
        weir__wait_wake(oldest->wait);
}
