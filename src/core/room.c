/* SPDX-License-Identifier: MIT */
/* Waiting for memory; see room.h. */
#include "core/room.h"

#include "core/park.h"

#include <errno.h>

enum { NOT_NEEDED, NOTIFIED }; /* what a wait ends with */

static const struct weir__reason awaits_memory = { "memory for a task", WEIR_PHASE_SPAWN_QUEUE,
                                                   NULL };

void weir__room_notify(struct weir__budget *budget)
{
    struct weir__wait *wake = NULL, **last = &wake;
    struct weir__waiter *waiter;

    weir__lock_acquire(&budget->lock);
    while ((waiter = weir__waiter_claim_first(&budget->waiters)))
        last = weir__wait_chain(last, waiter->wait);
    weir__lock_release(&budget->lock);
    weir__wait_wake_all(wake);
}

unsigned weir__room_find_waiting(const struct weir__loop *loop)
{
    unsigned waiting = 0;

    for (unsigned i = 0; i < WEIR_PRIORITY_COUNT; i++)
        if (loop->arrivals[i].head || !weir__list_empty(&loop->room_waiters[i]))
            waiting |= 1U << i;
    return waiting;
}

bool weir__room_is_for_arrival(const struct weir__loop *loop, enum weir_priority class)
{
    const struct weir__mail *arrival = loop->arrivals[class].head;
    const struct weir__list *first = loop->room_waiters[class].next;

    if (!arrival || first == &loop->room_waiters[class])
        return arrival != NULL;
    return weir__task_of_mail((struct weir__mail *)(uintptr_t)arrival)->born_ns <=
           WEIR_CONTAINER_OF(first, const struct weir__waiter, link)->since_ns;
}

/* One wait: until somebody gave bytes back, or did before it was seen that we wait. */
static int wait_once(struct weir__loop *loop, int (*try)(struct weir__loop *loop, void *context),
                     void *context, int64_t deadline_ns)
{
    struct weir__budget *budget = loop->runtime->memory;
    struct weir__waiter waiter = { .wait = weir__wait_self(), .index = NOTIFIED, .alone = true };
    int code, result;

    weir__lock_acquire(&budget->lock);
    weir__wait_begin(waiter.wait, &awaits_memory, budget);
    weir__list_append(&budget->waiters, &waiter.link);
    weir__lock_release(&budget->lock);
    result = try(loop, context);
    if (result != -EAGAIN)
        weir__wait_fire(waiter.wait, NOT_NEEDED);
    code = weir__wait_park(waiter.wait, deadline_ns, WEIR__PARK_CANCELLABLE);
    if (code != NOTIFIED) { /* else it was taken off */
        weir__lock_acquire(&budget->lock);
        weir__list_unlink(&waiter.link);
        weir__lock_release(&budget->lock);
    }
    return result == -EAGAIN && code < 0 ? code : result;
}

int weir__room_wait(struct weir__loop *loop, int (*try)(struct weir__loop *loop, void *context),
                    void *context, int64_t deadline_ns)
{
    struct weir__budget *budget = loop->runtime->memory;
    int result;

    loop->memory_waiting++;
    /* seq_cst; pairs with the ones in weir__budget_give */
    atomic_fetch_add_explicit(&budget->waiting_count, 1, memory_order_seq_cst);
    do
        result = wait_once(loop, try, context, deadline_ns);
    while (result == -EAGAIN);
    atomic_fetch_sub_explicit(&budget->waiting_count, 1, memory_order_relaxed);
    loop->memory_waiting--;
    return result;
}
