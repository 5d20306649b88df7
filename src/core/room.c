/* SPDX-License-Identifier: MIT */
/* Waiting for a place among the tasks, and for memory; see room.h. */
#include "core/room.h"

#include "base/clock.h"
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

/* --- A place. --------------------------------------------------------------------------------- */

static const struct weir__reason awaits_room = { "room for a task", WEIR_PHASE_SPAWN_QUEUE, NULL };

/* False: refused. */
static bool begin_wait(struct weir__loop *loop, const struct weir__patience *patience)
{
    struct weir__counters *counters = &loop->counters;

    if (!patience) {
        weir__counter_add(counters, WEIR_SPAWNS_REFUSED, 1);
        return false;
    }
    weir__counter_add(counters, WEIR_SPAWNS_WAITING_NOW, 1);
    weir__counter_raise(counters, WEIR_SPAWNS_WAITING_MAX,
                        weir__counter_get(counters, WEIR_SPAWNS_WAITING_NOW));
    return true;
}

/* A spawn that waits for a task's place, then for memory, has waited once. Returns how long it
 * waited now. */
static uint64_t count_wait(struct weir__loop *loop, struct weir__patience *patience,
                           int64_t start_ns, int code)
{
    uint64_t waited_ns = (uint64_t)(weir__clock_now() - start_ns);

    weir__counter_add(&loop->counters, WEIR_SPAWNS_WAITING_NOW, (uint64_t)-1);
    weir__counter_add(&loop->counters, WEIR_SPAWNS_WAITED, !patience->has_waited);
    weir__counter_add(&loop->counters, WEIR_SPAWN_WAIT_NS, waited_ns);
    patience->has_waited = true;
    patience->waited_ns += waited_ns;
    weir__counter_raise(&loop->counters, WEIR_SPAWN_WAIT_MAX_NS, patience->waited_ns);
    if (code == -ETIME)
        weir__counter_add(&loop->counters, WEIR_SPAWNS_EXPIRED, 1);
    return waited_ns;
}

int weir__room_wait_for_place(struct weir__loop *loop, struct weir__patience *patience)
{
    int64_t start_ns = weir__clock_now();
    struct weir__waiter waiter = { .wait = weir__wait_self(), .since_ns = loop->now_ns };
    int code;

    if (!begin_wait(loop, patience))
        return -EAGAIN;
    weir__wait_begin(waiter.wait, &awaits_room, loop);
    weir__list_append(&loop->room_waiters[weir__room_class(patience->options)], &waiter.link);
    loop->room_wanted++;
    code = weir__wait_park(waiter.wait, weir__patience_until(patience, start_ns),
                           WEIR__PARK_CANCELLABLE);
    loop->room_wanted--;
    if (code < 0)
        weir__list_unlink(&waiter.link);
    count_wait(loop, patience, start_ns, code);
    return code;
}

/* --- Memory. ---------------------------------------------------------------------------------- */

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

static void count_in_budget(struct weir__budget *budget, uint64_t waited_ns, int code)
{
    weir__lock_acquire(&budget->lock);
    budget->waited_count++;
    budget->wait_ns += waited_ns;
    if (budget->wait_max_ns < waited_ns)
        budget->wait_max_ns = waited_ns;
    budget->expired_count += code == -ETIME;
    weir__lock_release(&budget->lock);
}

int weir__room_wait_for_memory(struct weir__loop *loop,
                               int (*try)(struct weir__loop *loop, void *context), void *context,
                               struct weir__patience *patience)
{
    struct weir__budget *budget = loop->runtime->memory;
    int64_t start_ns = weir__clock_now();
    int result;

    if (!begin_wait(loop, patience))
        return -EAGAIN;
    loop->memory_waiting++;
    /* seq_cst; pairs with the ones in weir__budget_give */
    atomic_fetch_add_explicit(&budget->waiting_count, 1, memory_order_seq_cst);
    do
        result = wait_once(loop, try, context, weir__patience_until(patience, start_ns));
    while (result == -EAGAIN);
    atomic_fetch_sub_explicit(&budget->waiting_count, 1, memory_order_relaxed);
    loop->memory_waiting--;
    count_in_budget(budget, count_wait(loop, patience, start_ns, result), result);
    return result;
}
