/* SPDX-License-Identifier: MIT */
/* The semaphore. While somebody waits no permit is free: one that is given goes to the oldest
 * waiter directly. */
#include "sync/semaphore.h"

#include "base/memory.h"
#include "core/park.h"
#include "sync/line.h"

#include <errno.h>
#include <stdio.h>

struct weir_semaphore {
    struct weir__line line;
    /* Under its lock. */
    size_t count;
    uint64_t taken_total;
    size_t limit; /* constant */
};

static void describe(const void *object, char *text, size_t bytes)
{
    const struct weir_semaphore *semaphore = object;

    snprintf(text, bytes, "semaphore \"%s\" of %zu permits", semaphore->line.name,
             semaphore->limit);
}

const struct weir__reason weir__semaphore_awaits = { "take", WEIR_PHASE_TASK, describe };

int weir_semaphore_create(struct weir_semaphore **semaphore, const char *name, size_t count,
                          size_t limit)
{
    struct weir_semaphore *made;
    void *memory;
    int error;

    if (!semaphore || limit == 0 || count > limit)
        return -EINVAL;
    error = weir__line_create(&memory, sizeof *made, name, "semaphore");
    if (error < 0)
        return error;
    made = memory;
    made->count = count;
    made->limit = limit;
    *semaphore = made;
    return 0;
}

int weir_semaphore_destroy(struct weir_semaphore *semaphore)
{
    bool busy;

    if (!semaphore)
        return 0;
    weir__lock_acquire(&semaphore->line.lock);
    busy = semaphore->line.waiting > 0;
    weir__lock_release(&semaphore->line.lock);
    if (busy)
        return -EBUSY;
    weir__memory_free(semaphore);
    return 0;
}

int weir_semaphore_take(struct weir_semaphore *semaphore, int64_t deadline_ns)
{
    int error = weir__wait_check();

    if (!semaphore)
        return -EINVAL;
    if (error < 0)
        return error;
    weir__wait_settle(NULL); /* not when it has the permit: others would wait for that, too */
    weir__lock_acquire(&semaphore->line.lock);
    if (semaphore->count > 0) {
        semaphore->count--;
        semaphore->taken_total++;
        weir__lock_release(&semaphore->line.lock);
        return 0;
    }
    return weir__line_wait(&semaphore->line, &weir__semaphore_awaits, semaphore, deadline_ns);
}

int weir_semaphore_give(struct weir_semaphore *semaphore)
{
    struct weir__waiter *oldest;
    int error = 0;

    if (!semaphore)
        return -EINVAL;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    weir__lock_acquire(&semaphore->line.lock);
    oldest = weir__waiter_claim_first(&semaphore->line.waiters);
    if (oldest)
        semaphore->taken_total++;
    else if (semaphore->count < semaphore->limit)
        semaphore->count++;
    else
        error = -EOVERFLOW;
    weir__lock_release(&semaphore->line.lock);
    if (oldest)
        weir__wait_wake(oldest->wait);
    return error;
}

int weir_semaphore_read_stats(struct weir_semaphore *semaphore, struct weir_semaphore_stats *stats)
{
    if (!semaphore || !stats)
        return -EINVAL;
    weir__lock_acquire(&semaphore->line.lock);
    *stats = (struct weir_semaphore_stats){
        .count = semaphore->count,
        .limit = semaphore->limit,
        .waiting = semaphore->line.waiting,
        .waiting_max = semaphore->line.waiting_max,
        .taken_total = semaphore->taken_total,
        .waited_total = semaphore->line.waited_total,
        .wait_ns = semaphore->line.wait_ns,
        .wait_max_ns = semaphore->line.wait_max_ns,
        .refused_total = semaphore->line.refused_total,
        .expired_total = semaphore->line.expired_total,
    };
    weir__lock_release(&semaphore->line.lock);
    return 0;
}
