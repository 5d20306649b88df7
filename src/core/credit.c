/* SPDX-License-Identifier: MIT */
/* Credits; see credit.h. */
#include "core/credit.h"

#include "base/clock.h"
#include "core/park.h"

#include <weir/queue.h>

#include <errno.h>

void weir__credits_init(struct weir__credits *credits, const struct weir__reason *reason,
                        size_t limit, enum weir_when_full when_full, int64_t wait_limit_ns)
{
    *credits = (struct weir__credits){
        .reason = reason,
        .limit = limit,
        .background_limit = limit,
        .when_full = when_full,
        .wait_limit_ns = wait_limit_ns,
        .shares = weir__shares_standard,
    };
    for (int i = 0; i < WEIR_PRIORITY_COUNT; i++)
        weir__list_init(&credits->waiters[i]);
}

void weir__credits_share(struct weir__credits *credits, const struct weir__shares *shares,
                         size_t background_limit)
{
    credits->shares = *shares;
    credits->background_limit = background_limit > 0 ? background_limit : 1;
}

/* Under the lock: whether one that is free may go to this class. */
static bool may_have(const struct weir__credits *credits, enum weir_priority class)
{
    return class != WEIR_PRIORITY_BACKGROUND ||
           credits->background_used < credits->background_limit;
}

/* Under the lock: 0 with a credit, or why the newcomer may not even wait. */
static int take_or_refuse(struct weir__credits *credits, enum weir_priority class,
                          int64_t deadline_ns)
{
    int error;

    if (credits->used < credits->limit && may_have(credits, class)) {
        if (++credits->used > credits->used_max)
            credits->used_max = credits->used;
        credits->background_used += class == WEIR_PRIORITY_BACKGROUND;
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

/* Under the lock: the wait has ended. */
static void count_wait(struct weir__credits *credits, int64_t start_ns, int code)
{
    uint64_t waited_ns = (uint64_t)(weir__clock_now() - start_ns);

    credits->waiting--;
    credits->waited_count++;
    credits->wait_ns += waited_ns;
    if (credits->wait_max_ns < waited_ns)
        credits->wait_max_ns = waited_ns;
    credits->expired_count += code == -ETIME;
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
    count_wait(credits, start_ns, code);
    weir__lock_release(&credits->lock);
    return code;
}

int weir__credits_take_as(struct weir__credits *credits, enum weir_priority class,
                          int64_t deadline_ns)
{
    struct weir__waiter waiter;
    int outcome;

    weir__lock_acquire(&credits->lock);
    outcome = take_or_refuse(credits, class, deadline_ns);
    if (outcome <= 0) {
        weir__lock_release(&credits->lock);
        return outcome;
    }
    waiter = (struct weir__waiter){ .wait = weir__wait_self(), .alone = true };
    weir__wait_begin(waiter.wait, credits->reason, credits);
    weir__list_append(&credits->waiters[class], &waiter.link);
    if (++credits->waiting > credits->waiting_max)
        credits->waiting_max = credits->waiting;
    weir__lock_release(&credits->lock);
    return wait_for_credit(credits, &waiter, deadline_ns);
}

/* Under the lock: the classes that have waiters who may have one. */
static unsigned find_waiting(const struct weir__credits *credits)
{
    unsigned waiting = 0;

    for (unsigned i = 0; i < WEIR_PRIORITY_COUNT; i++)
        if (!weir__list_empty(&credits->waiters[i]) && may_have(credits, (enum weir_priority)i))
            waiting |= 1U << i;
    return waiting;
}

/* Under the lock: hands a free credit on; the waiter that has it now, to be woken, or NULL. */
static struct weir__waiter *hand_on(struct weir__credits *credits)
{
    unsigned waiting;

    while ((waiting = find_waiting(credits)) != 0) {
        enum weir_priority class = weir__shares_take(&credits->shares, waiting);
        struct weir__waiter *waiter = weir__waiter_claim_first(&credits->waiters[class]);

        if (waiter) {
            credits->background_used += class == WEIR_PRIORITY_BACKGROUND;
            return waiter;
        }
    }
    return NULL;
}

void weir__credits_give_as(struct weir__credits *credits, enum weir_priority class)
{
    struct weir__waiter *next;

    weir__lock_acquire(&credits->lock);
    credits->background_used -= class == WEIR_PRIORITY_BACKGROUND;
    next = hand_on(credits);
    if (!next)
        credits->used--;
    weir__lock_release(&credits->lock);
    if (next)
        weir__wait_wake(next->wait);
}

void weir__credits_read(struct weir__credits *credits, struct weir_queue_stats *stats)
{
    weir__lock_acquire(&credits->lock);
    stats->limit = credits->limit;
    stats->now = credits->used;
    stats->now_max = credits->used_max;
    stats->waiting = credits->waiting;
    stats->waiting_max = credits->waiting_max;
    stats->waited_count = credits->waited_count;
    stats->wait_ns = credits->wait_ns;
    stats->wait_max_ns = credits->wait_max_ns;
    stats->refused_count = credits->refused_count;
    stats->expired_count = credits->expired_count;
    weir__lock_release(&credits->lock);
}
