/* SPDX-License-Identifier: MIT */
/* The mutex; see mutex.h for its states. */
#include "sync/mutex.h"

#include "base/assert.h"
#include "base/log.h"
#include "base/memory.h"
#include "core/park.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { OWNER_TEXT_BYTES = 64 };

/* Under the lock, or by one who only describes. */
static void describe_owner(const struct weir_mutex *mutex, char *text, size_t bytes)
{
    if (mutex->owner_task)
        snprintf(text, bytes, "task \"%s\"", mutex->owner_task->name);
    else if (mutex->owner)
        snprintf(text, bytes, "thread %d", mutex->owner_thread);
    else
        snprintf(text, bytes, "nobody");
}

static void describe(const void *object, char *text, size_t bytes)
{
    struct weir_mutex *mutex = (struct weir_mutex *)(uintptr_t)object;
    char owner[OWNER_TEXT_BYTES];

    weir__lock_acquire(&mutex->line.lock);
    describe_owner(mutex, owner, sizeof owner);
    weir__lock_release(&mutex->line.lock);
    snprintf(text, bytes, "mutex \"%s\" held by %s", mutex->line.name, owner);
}

const struct weir__reason weir__mutex_awaits = { "lock", WEIR_PHASE_TASK, describe };

/* The task has ended, and holds it: what it protects may be half done, so nobody gets it again. */
static void abandon(struct weir__task_end *end)
{
    struct weir_mutex *mutex = WEIR_CONTAINER_OF(end, struct weir_mutex, end);
    struct weir__waiter *waiter;
    struct weir__wait *wake = NULL;

    weir__log_line("weir: task \"%s\" ended while it held mutex \"%s\": who waits for it, or locks "
                   "it, gets -ENOTRECOVERABLE; unlock it on every way out of the task",
                   mutex->owner_task->name, mutex->line.name);
    weir__lock_acquire(&mutex->line.lock);
    mutex->abandoned = true;
    mutex->owner = NULL;
    mutex->owner_task = NULL;
    while ((waiter = weir__waiter_claim_first(&mutex->line.waiters))) {
        waiter->result = -ENOTRECOVERABLE;
        weir__wait_chain(&wake, waiter->wait);
    }
    weir__lock_release(&mutex->line.lock);
    weir__wait_wake_all(wake);
}

struct weir_mutex *weir__mutex_of_end(struct weir__task_end *end)
{
    return end->run == abandon ? WEIR_CONTAINER_OF(end, struct weir_mutex, end) : NULL;
}

int weir_mutex_create(struct weir_mutex **mutex, const char *name)
{
    struct weir_mutex *made;
    void *memory;
    int error;

    if (!mutex)
        return -EINVAL;
    error = weir__line_create(&memory, sizeof *made, name, "mutex");
    if (error < 0)
        return error;
    made = memory;
    weir__list_init(&made->end.link);
    made->end.run = abandon;
    *mutex = made;
    return 0;
}

int weir_mutex_destroy(struct weir_mutex *mutex)
{
    bool busy;

    if (!mutex)
        return 0;
    weir__lock_acquire(&mutex->line.lock);
    busy = mutex->owner || mutex->line.waiting > 0;
    weir__lock_release(&mutex->line.lock);
    if (busy)
        return -EBUSY;
    weir__memory_free(mutex);
    return 0;
}

/* Under the lock: from here on it is the wait's. */
static void own(struct weir_mutex *mutex, struct weir__wait *wait)
{
    mutex->owner = wait;
    mutex->owner_task = wait->loop ? weir__task_of(wait) : NULL;
    mutex->since_ns = weir__wait_now();
    mutex->locked_total++;
}

/* The new owner itself: its end is to find the mutex. */
static void note_owned(struct weir_mutex *mutex, struct weir__wait *self)
{
    struct weir_task *task;

    if (!self->loop) {
        weir__lock_acquire(&mutex->line.lock);
        mutex->owner_thread = gettid();
        weir__lock_release(&mutex->line.lock);
        return;
    }
    task = weir__task_of(self);
    weir__lock_acquire(&task->lock);
    weir__task_add_end(task, &mutex->end);
    weir__lock_release(&task->lock);
}

int weir_mutex_lock(struct weir_mutex *mutex, int64_t deadline_ns)
{
    struct weir__wait *self;
    int error = weir__wait_check();

    if (!mutex)
        return -EINVAL;
    if (error < 0)
        return error;
    weir__wait_settle(NULL); /* not when it has the mutex: others would wait for that, too */
    self = weir__wait_self();
    weir__lock_acquire(&mutex->line.lock);
    if (WEIR_UNLIKELY(mutex->abandoned))
        error = -ENOTRECOVERABLE;
    else if (!mutex->owner)
        own(mutex, self);
    else if (mutex->owner == self)
        error = -EDEADLK;
    if (mutex->owner == self || error < 0)
        weir__lock_release(&mutex->line.lock);
    else
        error = weir__line_wait(&mutex->line, &weir__mutex_awaits, mutex, deadline_ns);
    if (error >= 0)
        note_owned(mutex, self);
    return error;
}

/* The task itself: it is no longer what its end must look for. */
static void note_given(struct weir_mutex *mutex, struct weir__wait *self)
{
    struct weir_task *task;

    if (!self->loop)
        return;
    task = weir__task_of(self);
    weir__lock_acquire(&task->lock);
    weir__list_unlink(&mutex->end.link);
    weir__lock_release(&task->lock);
}

int weir_mutex_unlock(struct weir_mutex *mutex)
{
    struct weir__wait *self;
    struct weir__waiter *next;

    if (!mutex)
        return -EINVAL;
    if (weir__loop_forked)
        return -EOWNERDEAD;
    self = weir__wait_self();
    weir__lock_acquire(&mutex->line.lock);
    if (mutex->owner != self) {
        weir__lock_release(&mutex->line.lock);
        return -EPERM;
    }
    note_given(mutex, self);
    next = weir__waiter_claim_first(&mutex->line.waiters);
    if (next) {
        next->result = 0;
        own(mutex, next->wait);
    } else {
        mutex->owner = NULL;
        mutex->owner_task = NULL;
    }
    weir__lock_release(&mutex->line.lock);
    if (next)
        weir__wait_wake(next->wait);
    return 0;
}

int weir_mutex_read_stats(struct weir_mutex *mutex, struct weir_mutex_stats *stats)
{
    if (!mutex || !stats)
        return -EINVAL;
    weir__lock_acquire(&mutex->line.lock);
    *stats = (struct weir_mutex_stats){
        .held = mutex->owner != NULL,
        .waiting = mutex->line.waiting,
        .waiting_max = mutex->line.waiting_max,
        .locked_total = mutex->locked_total,
        .waited_total = mutex->line.waited_total,
        .wait_ns = mutex->line.wait_ns,
        .wait_max_ns = mutex->line.wait_max_ns,
        .refused_total = mutex->line.refused_total,
        .expired_total = mutex->line.expired_total,
    };
    weir__lock_release(&mutex->line.lock);
    return 0;
}
