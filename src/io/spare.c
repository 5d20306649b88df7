/* SPDX-License-Identifier: MIT */
/* Waiting for a descriptor to spare; see spare.h. Descriptors are the process's, and so is this. */
#include "io/spare.h"

#include "core/park.h"

atomic_uint weir__spare_watchers;

static struct weir__lock lock;
static uint32_t notice_count;                              /* under the lock */
static struct weir__list waiters = { &waiters, &waiters }; /* weir__waiter.link, under the lock */

uint32_t weir__spare_watch(void)
{
    uint32_t seen;

    weir__lock_acquire(&lock);
    seen = notice_count;
    weir__lock_release(&lock);
    atomic_fetch_add_explicit(&weir__spare_watchers, 1, memory_order_relaxed);
    /* seq_cst; pairs with the one in weir__spare_closed */
    atomic_thread_fence(memory_order_seq_cst);
    return seen;
}

void weir__spare_unwatch(void)
{
    atomic_fetch_sub_explicit(&weir__spare_watchers, 1, memory_order_relaxed);
}

static const struct weir__reason awaits_spare = { "free descriptor", WEIR_PHASE_TASK, NULL };

int weir__spare_wait(uint32_t *seen, int64_t deadline_ns)
{
    struct weir__waiter waiter = { .wait = weir__wait_self(), .alone = true };
    int code = weir__wait_check();
    bool news;

    if (code < 0)
        return code;
    weir__lock_acquire(&lock);
    news = notice_count != *seen;
    if (!news) {
        weir__wait_begin(waiter.wait, &awaits_spare, NULL);
        weir__list_append(&waiters, &waiter.link);
    }
    *seen = notice_count;
    weir__lock_release(&lock);
    if (news) {
        weir__wait_settle(NULL);
        return 0;
    }
    code = weir__wait_park(waiter.wait, deadline_ns, WEIR__PARK_CANCELLABLE);
    weir__lock_acquire(&lock);
    if (code < 0)
        weir__list_unlink(&waiter.link);
    *seen = notice_count;
    weir__lock_release(&lock);
    return code < 0 ? code : 0;
}

void weir__spare_notify(void)
{
    struct weir__wait *wake = NULL, **last = &wake;
    struct weir__waiter *waiter;

    weir__lock_acquire(&lock);
    notice_count++;
    while ((waiter = weir__waiter_claim_first(&waiters)))
        last = weir__wait_chain(last, waiter->wait);
    weir__lock_release(&lock);
    weir__wait_wake_all(wake);
}
