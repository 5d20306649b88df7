/* SPDX-License-Identifier: MIT */
/* The semaphore. While somebody waits no permit is free: one that is given goes to the oldest
 * waiter directly. */
#include "sync/semaphore.h"

#include "base/memory.h"
#include "core/park.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct weir_semaphore {
    struct weir__lock lock;
    /* Under the lock. */
    size_t count;
    size_t waiting;            /* those who may still come back to the lock */
    struct weir__list waiters; /* weir__waiter.link */
    uint64_t taken_total;
    uint64_t waited_total;
    uint64_t wait_ns;
    /* Constant. */
    size_t limit;
    char name[WEIR_NAME_BYTES];
};

static void describe(const void *object, char *text, size_t bytes)
{
    const struct weir_semaphore *semaphore = object;

    snprintf(text, bytes, "semaphore \"%s\" of %zu permits", semaphore->name, semaphore->limit);
}

const struct weir__reason weir__semaphore_awaits = { "take", WEIR_PHASE_TASK, describe };

int weir_semaphore_create(struct weir_semaphore **semaphore, const char *name, size_t count,
                          size_t limit)
{
    struct weir_semaphore *made;

    if (!semaphore || limit == 0 || count > limit)
        return -EINVAL;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    if (name && strlen(name) >= sizeof made->name)
        return -E2BIG;
    made = weir__memory_zalloc(weir__loop_current ? weir__loop_current->heap : NULL, sizeof *made);
    if (!made)
        return -ENOMEM;
    made->count = count;
    made->limit = limit;
    weir__list_init(&made->waiters);
    strcpy(made->name, name ? name : "semaphore");
    *semaphore = made;
    return 0;
}

int weir_semaphore_destroy(struct weir_semaphore *semaphore)
{
    bool busy;

    if (!semaphore)
        return 0;
    weir__lock_acquire(&semaphore->lock);
    busy = semaphore->waiting > 0;
    weir__lock_release(&semaphore->lock);
    if (busy)
        return -EBUSY;
    weir__memory_free(semaphore);
    return 0;
}

/* Called under the lock, returns without it. */
static int wait_for(struct weir_semaphore *semaphore, int64_t deadline_ns)
{
    struct weir__waiter waiter = { .wait = weir__wait_self(), .alone = true };
    int64_t start_ns = weir__wait_now();
    int code;

    weir__wait_begin(waiter.wait, &weir__semaphore_awaits, semaphore);
    weir__list_append(&semaphore->waiters, &waiter.link);
    semaphore->waiting++;
    weir__lock_release(&semaphore->lock);
    code = weir__wait_park(waiter.wait, deadline_ns, WEIR__PARK_CANCELLABLE);
    weir__lock_acquire(&semaphore->lock);
    if (code < 0)
        weir__list_unlink(&waiter.link);
    semaphore->waiting--;
    semaphore->waited_total++;
    semaphore->wait_ns += (uint64_t)(weir__wait_now() - start_ns);
    weir__lock_release(&semaphore->lock);
    return code < 0 ? code : 0;
}

int weir_semaphore_take(struct weir_semaphore *semaphore, int64_t deadline_ns)
{
    int error = weir__wait_check();

    if (!semaphore)
        return -EINVAL;
    if (error < 0)
        return error;
    weir__wait_settle(NULL); /* not when it has the permit: others would wait for that, too */
    weir__lock_acquire(&semaphore->lock);
    if (semaphore->count > 0) {
        semaphore->count--;
        semaphore->taken_total++;
    } else {
        error = weir__wait_refuse(deadline_ns);
        if (error >= 0)
            return wait_for(semaphore, deadline_ns);
    }
    weir__lock_release(&semaphore->lock);
    return error;
}

int weir_semaphore_give(struct weir_semaphore *semaphore)
{
    struct weir__waiter *oldest;
    int error = 0;

    if (!semaphore)
        return -EINVAL;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    weir__lock_acquire(&semaphore->lock);
    oldest = weir__waiter_claim_first(&semaphore->waiters);
    if (oldest)
        semaphore->taken_total++;
    else if (semaphore->count < semaphore->limit)
        semaphore->count++;
    else
        error = -EOVERFLOW;
    weir__lock_release(&semaphore->lock);
    if (oldest)
        weir__wait_wake(oldest->wait);
    return error;
}

int weir_semaphore_read_stats(struct weir_semaphore *semaphore, struct weir_semaphore_stats *stats)
{
    if (!semaphore || !stats)
        return -EINVAL;
    weir__lock_acquire(&semaphore->lock);
    *stats = (struct weir_semaphore_stats){
        .count = semaphore->count,
        .limit = semaphore->limit,
        .waiting = semaphore->waiting,
        .taken_total = semaphore->taken_total,
        .waited_total = semaphore->waited_total,
        .wait_ns = semaphore->wait_ns,
    };
    weir__lock_release(&semaphore->lock);
    return 0;
}
